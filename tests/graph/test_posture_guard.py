"""The watch on the posture in the arm node: slower near a joint's limit, held at it, led out of it by the way home."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph.fakes import LATCHED, RELIABLE
from graph.node_rig import rig
from graph.test_supervision import Supervised, supervised
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from vipa_policy.control.executor import State
from vipa_policy.control.kinematics import Kinematics
from vipa_sim.description import robot_description

pytestmark = pytest.mark.graph

NAMES = [f"fr3_joint{number}" for number in range(1, 8)]
GOOD = [0.0, -0.55, 0.0, -2.35, 0.0, 1.80, 0.785]
# rad, of joint 1, which changes nothing about singularities.
UPPER = float(Kinematics(robot_description(), "fr3_link0", "fr3_hand_tcp").upper[0])


class Joints:
    """Says where the joints are, and how fast joint 1 moves, at every step of the world's clock."""

    def __init__(self, arm: Supervised) -> None:
        self.angles, self.speed = list(GOOD), 0.0
        world = arm.world
        self._publisher = world.create_publisher(JointState, "joint_states", RELIABLE)
        self._description = world.create_publisher(String, "robot_description", LATCHED)
        self._description.publish(String(data=robot_description()))
        world.each_step.append(self._speak)
        assert world.wait(lambda: self._description.get_subscription_count() > 0)

    def _speak(self, stamp: Any) -> None:
        self.angles[0] += 0.01 * self.speed
        velocities = [0.0] * 7
        velocities[0] = self.speed
        states = JointState(name=NAMES, position=self.angles, velocity=velocities)
        states.header.stamp = stamp
        self._publisher.publish(states)


def test_it_slows_near_a_limit_holds_at_it_and_the_way_home_leads_out() -> None:
    with supervised(home_position=[0.5, -0.1, 0.25]) as arm:
        joints = Joints(arm)
        arm.world.broken = {"joints"}  # the fingers' own message is not needed
        arm.move()
        assert arm.state.speed == 1.0
        joints.angles[0] = UPPER - 0.10
        arm.chunks(5)
        assert arm.state.state == State.FOLLOWING, arm.state.guards
        assert arm.state.speed < 0.8
        assert "fr3_joint1" in arm.made.arm.diagnostic_values()["speed"]  # type: ignore[union-attr]
        joints.angles[0] = UPPER - 0.02
        arm.chunks(2)
        arm.stands()
        assert "posture: fr3_joint1 is 0.020 rad from its upper limit" in arm.state.hold_reason
        arm.chunks(2)
        assert arm.state.state == State.HOLDING
        assert arm.call("arm/home").success
        assert arm.state.hold_reason == "on the way home"
        assert arm.world.run(100, until=lambda: "posture" in arm.state.hold_reason)  # it does not lead out
        arm.stands()
        assert arm.call("arm/home").success
        arm.world.run(20)
        joints.speed = -0.1  # it leads out
        arm.world.run(60)
        assert arm.state.state == State.HOMING, arm.state.hold_reason
        joints.speed = 0.0
        joints.angles = list(GOOD)
        assert arm.world.run(900, until=lambda: arm.state.hold_reason == "home: arrived"), arm.state.hold_reason
        assert np.isfinite(float(arm.made.arm.diagnostic_values()["joint margin (rad)"]))  # type: ignore[union-attr]


def test_where_it_is_required_there_is_no_arming_without_a_description() -> None:
    with supervised(armed_at_start=False, posture_watch="required") as arm:
        arm.world.run(15)
        assert "posture: no robot description on /robot_description" in arm.call("arm/arm").message
    with rig(with_policy=False, policy_configures=False, posture_watch="perhaps") as made:
        assert made.world.wait(lambda: "expected posture_watch of" in made.world.health.get("arm", ""))
