"""Every fault of the table comes to the end that the table requires: nodes on a simulated clock, judged by stamps.

``make faults`` does the same to running processes; tests/graph/test_fault_graph.py to some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from graph.fault_rig import WORDS, FaultRig, fault_rig
from rclpy.qos import QoSProfile

from vipa_msgs.msg import DriverStatus
from vipa_sim.faults.table import FAULTS, Fault
from vipa_sim.nodes.faults.injections import AHEAD, BACK, INJECTIONS, TF_JUMP

pytestmark = pytest.mark.graph

Doing = tuple[Callable[[], Any], Callable[[], Any]]
"""What strikes, and what lifts it."""


def breaking(*parts: str) -> Callable[[FaultRig], Doing]:
    def doing(made: FaultRig) -> Doing:
        return lambda: made.world.broken.update(parts), made.world.broken.clear

    return doing


def setting(name: str, value: Any, whole: Any) -> Callable[[FaultRig], Doing]:
    def doing(made: FaultRig) -> Doing:
        return lambda: setattr(made.world, name, value), lambda: setattr(made.world, name, whole)

    return doing


def hanging(made: FaultRig) -> Doing:
    return lambda: made.hang("policy"), lambda: made.go_on("policy")


def killing(name: str) -> Callable[[FaultRig], Doing]:
    return lambda made: (lambda: made.end(name), lambda: made.start(name))


def restarting(name: str) -> Callable[[FaultRig], Doing]:
    def doing(made: FaultRig) -> Doing:
        def lift() -> None:
            assert made.nodes[name].finished()
            made.end(name)
            made.start(name)

        return lambda: made.nodes[name].begin_finish("received SIGTERM"), lift

    return doing


def rejecting(made: FaultRig) -> Doing:
    return lambda: made.world.driver_is(DriverStatus.FAULT), lambda: None


def rivalling(made: FaultRig) -> Doing:
    world = made.world
    rival = world.create_node_beside("rival")

    def strike() -> None:
        publisher = rival.create_publisher(PoseStamped, "target_pose", QoSProfile(depth=1))
        assert world.wait(lambda: publisher.get_subscription_count() > 0)
        publisher.publish(world.rival_pose())

    return strike, lambda: world.remove_node_beside(rival)


def flooding(made: FaultRig) -> Doing:
    def strike() -> None:
        for number in range(200):
            made.world.say(("juggle", "go left")[number // 10 % 2] if number % 10 == 0 else WORDS)
            if number % 4 == 0:
                made.world.run(1)
        made.world.say(WORDS)

    return strike, lambda: None


DOINGS: Mapping[str, Callable[[FaultRig], Doing]] = {
    "camera_dies": breaking("colour", "depth", "info"),
    "camera_freezes": breaking("frozen"),
    "depth_stops": breaking("depth"),
    "tf_stops": breaking("tf"),
    "tf_jumps": setting("tip_shift", np.array(TF_JUMP), np.zeros(3)),
    "clock_jumps_ahead": setting("clock_ahead", round(AHEAD * 1e9), 0),
    "clock_jumps_back": setting("clock_ahead", round(BACK * 1e9), 0),
    "policy_hangs": hanging,
    "policy_killed": killing("policy"),
    "policy_restarted": restarting("policy"),
    "arm_killed": killing("arm"),
    "arm_restarted": restarting("arm"),
    "controller_rejects": rejecting,
    "controller_ignores": breaking("driver"),
    "two_publishers": rivalling,
    "instruction_flood": flooding,
    "traffic_loss": setting("lossy", 0.05, 0.0),
}


def test_every_fault_of_the_table_is_injected_here_and_into_processes() -> None:
    names = {fault.name for fault in FAULTS}
    assert set(DOINGS) == names
    assert set(INJECTIONS) == names


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_comes_to_the_required_end(fault: Fault) -> None:
    with fault_rig() as made:
        outcome = made.course(fault, *DOINGS[fault.name](made))
        assert outcome.as_required, (outcome.unsafe, outcome.shortfalls, made.world.health)
