"""Every kind of controller before its fake hardware: what it streams, when it does not, and what it says is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from graph.driver_rig import DriverRig, LightArm, driver_rig
from graph.fakes import BASE, START
from moveit_msgs.msg import ServoStatus
from moveit_msgs.srv import ServoCommandType

from vipa_policy.nodes.arm_parameters import DECLARATIONS
from vipa_policy.nodes.controllers import KINDS, ArmController, make_controller
from vipa_policy.nodes.controllers.servo_link import HALTS, SLOWS
from vipa_policy.nodes.conversions import seconds_of
from vipa_sim.nodes.arm_interfaces import ARM_INTERFACES, GRIPPER_INTERFACES
from vipa_sim.nodes.cell_parameters import CHOICES
from vipa_sim.nodes.fake_servo import FakeServo

pytestmark = pytest.mark.graph

TOPICS = {"servo_pose": "servo_node/pose_target_cmds", "servo_twist": "servo_node/delta_twist_cmds"}
SERVO = pytest.mark.parametrize("kind", TOPICS)
FORWARD = (0.1, 0.0, 0.0)


class Servo(FakeServo):
    """The fake MoveIt Servo, with faults: a type it refuses, a status it is made to tell, a speed it gets wrong."""

    def __init__(self, made: DriverRig[Any]) -> None:
        self.arm = LightArm(made.world)
        super().__init__(made.world, self.arm)  # type: ignore[arg-type]
        self.refused_type: int | None = None
        self.forced: int | None = None
        self.silent = False
        made.world.each_step.append(lambda stamp: self.update(seconds_of(stamp)))

    @property
    def type(self) -> int:
        return self._type

    @property
    def paused(self) -> bool:
        return self._paused

    def update(self, now: float) -> None:
        if self.silent:
            return
        super().update(now)
        if self.forced is not None and not self._paused:
            self._status.publish(ServoStatus(code=self.forced, message="forced"))

    def _switch(self, request: Any, response: Any) -> Any:
        if request.command_type == self.refused_type:
            response.success = False
            return response
        return super()._switch(request, response)


@contextmanager
def servo_rig(kind: str, **values: Any) -> Iterator[tuple[DriverRig[ArmController], Servo]]:
    with driver_rig(make_controller, controller=kind, **values) as made:
        yield made, Servo(made)


def tip(made: DriverRig[Any]) -> np.ndarray:
    return np.asarray(made.world.base_from_tip[:3, 3])


def test_every_kind_is_made_and_named_by_its_parameter() -> None:
    defaults = {name: default for name, default, _, _ in DECLARATIONS}
    assert defaults["controller"] in KINDS
    with pytest.raises(ValueError, match="expected a controller of pose, servo_pose, servo_twist"):
        make_controller(None, {"controller": "hydraulic"})  # type: ignore[arg-type]


def test_the_cell_has_every_interface_it_offers_to_choose() -> None:
    assert set(CHOICES["arm_interface"]) == set(ARM_INTERFACES)
    assert set(CHOICES["gripper_interface"]) == set(GRIPPER_INTERFACES)


@SERVO
def test_servo_is_told_what_it_gets_before_anything_is_streamed(kind: str) -> None:
    with driver_rig(make_controller, controller=kind) as made:
        heard: list[Any] = []
        message = PoseStamped if kind == "servo_pose" else TwistStamped
        made.world.create_subscription(message, TOPICS[kind], heard.append, 10)
        made.stream(20, FORWARD)
        assert heard == []  # no Servo is there to agree
        assert made.problem()
        servo = Servo(made)
        made.until(lambda: made.problem() == "")
        assert servo.type == (ServoCommandType.Request.POSE if kind == "servo_pose" else ServoCommandType.Request.TWIST)
        made.setpoint = made.setpoint.__class__(made.now, START, None)
        made.stream(45, FORWARD)
        made.stream(5)  # Servo goes on with a twist until it is stale: a plan ends at rest
        assert len(heard) == 50
        assert {command.header.frame_id for command in heard} == {BASE}
        assert seconds_of(heard[-1].header.stamp) == pytest.approx(made.setpoint.stamp)
        assert servo.accepted == 50
        made.world.run(5)
        assert tip(made) == pytest.approx(START[:3, 3] + (0.045, 0.0, 0.0), abs=0.003)


@SERVO
def test_a_refused_type_of_commands_is_told_and_nothing_is_streamed(kind: str) -> None:
    with servo_rig(kind) as (made, servo):
        servo.refused_type = ServoCommandType.Request.POSE if kind == "servo_pose" else ServoCommandType.Request.TWIST
        made.until(lambda: "refused commands of type" in made.problem())
        made.stream(20, FORWARD)
        assert servo.accepted == servo.refused == 0
        servo.refused_type = None
        made.until(lambda: made.problem() == "")


@SERVO
def test_a_second_publisher_of_commands_is_told_by_name(kind: str) -> None:
    with servo_rig(kind) as (made, _):
        made.until(lambda: made.problem() == "")
        rival = made.world.create_publisher(PoseStamped if kind == "servo_pose" else TwistStamped, TOPICS[kind], 1)
        made.until(lambda: "is published by /world, too" in made.problem())
        made.world.destroy_publisher(rival)
        made.until(lambda: made.problem() == "")


@SERVO
def test_a_halt_is_a_problem_for_a_while_where_commands_led_to_it(kind: str) -> None:
    with servo_rig(kind, servo_halt_pause=0.5) as (made, servo):
        made.until(lambda: made.problem() == "")
        servo.forced = ServoStatus.HALT_FOR_COLLISION
        made.world.run(50)
        assert made.problem() == ""  # what is told while nothing is commanded is about the past
        made.stream(20, FORWARD)
        assert "halted close to a collision" in made.problem()
        assert "forced" in made.problem()
        made.world.run(80)
        assert made.problem() == ""


@pytest.mark.parametrize("code", [*HALTS, *SLOWS])
def test_what_servo_does_about_a_command_is_told_in_words(code: int) -> None:
    with servo_rig("servo_pose") as (made, servo):
        made.until(lambda: made.problem() == "")
        servo.forced = code
        made.stream(15, FORWARD)
        words = {**HALTS, **SLOWS}[code]
        assert words in made.subject.values()["MoveIt Servo"]
        assert (words in made.problem()) == (code in HALTS)


@SERVO
def test_a_tip_out_of_reach_halts_where_it_is(kind: str) -> None:
    with servo_rig(kind) as (made, servo):
        made.until(lambda: made.problem() == "")
        servo.arm.reach = lambda target: bool(target[0, 3] < START[0, 3] + 0.02)
        made.stream(60, FORWARD)
        assert "halted close to a singularity" in made.problem()
        assert tip(made)[0] < START[0, 3] + 0.02


def test_a_servo_that_falls_silent_is_told_and_switched_anew_when_it_comes_back() -> None:
    with servo_rig("servo_twist") as (made, servo):
        made.until(lambda: made.problem() == "")
        servo.silent = True
        made.until(lambda: "no status of MoveIt Servo on /servo_node/status" in made.problem())
        accepted = servo.accepted
        made.stream(5, FORWARD)
        assert servo.accepted == accepted
        servo._type = ServoCommandType.Request.JOINT_JOG  # as one that was started anew
        servo.silent = False
        made.until(lambda: made.problem() == "")
        assert servo.type == ServoCommandType.Request.TWIST


def test_a_driver_gone_wrong_in_speed_is_kept_on_the_plan_by_what_is_measured() -> None:
    ends = {}
    for gain in (0.0, 2.0):
        with servo_rig("servo_twist", servo_gain=gain, lead=0.01) as (made, servo):
            made.until(lambda made=made: made.problem() == "")  # type: ignore[misc]
            twist = servo._motion.twist
            servo._motion.twist = lambda v, w, t, twist=twist: twist(v, w, 0.9 * t)  # type: ignore[method-assign,misc]
            for _ in range(40):
                made.stream(5, FORWARD)
                made.subject.measured(made.world.base_from_tip, made.now)
            ends[gain] = float(np.linalg.norm(tip(made) - made.setpoint.base_from_tip[:3, 3]))
    assert ends[0.0] == pytest.approx(0.02, abs=0.003)
    assert ends[2.0] < 0.4 * ends[0.0]


@SERVO
def test_servo_is_paused_at_rest_and_goes_on_with_the_next_setpoint(kind: str) -> None:
    with servo_rig(kind) as (made, servo):
        made.until(lambda: made.problem() == "")
        made.world.run(50)
        assert not servo.paused  # it was never used yet
        made.stream(10, FORWARD)
        made.subject.rest()
        made.subject.rest()
        made.until(lambda: servo.paused)
        made.world.run(60)
        assert made.problem() == ""  # a paused Servo is silent
        made.stream(20, FORWARD)
        assert not servo.paused
        assert servo.accepted > 20


def test_a_servo_that_somebody_else_resumed_is_theirs_until_the_next_setpoint() -> None:
    with servo_rig("servo_twist") as (made, servo):
        made.until(lambda: made.problem() == "")
        made.stream(10, FORWARD)
        made.subject.rest()
        made.until(lambda: servo.paused)
        made.world.run(30)
        servo._paused = False
        made.world.run(100)
        assert not servo.paused
        assert made.problem() == ""


def test_a_servo_left_paused_is_resumed_once_and_one_that_is_to_run_is_never_paused() -> None:
    with servo_rig("servo_pose", servo_pause=False) as (made, servo):
        servo._paused = True  # by an arm node that was killed
        made.until(lambda: made.problem() == "")
        made.stream(10, FORWARD)
        made.subject.rest()
        made.world.run(60)
        assert not servo.paused
