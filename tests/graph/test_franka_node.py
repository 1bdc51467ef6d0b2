"""The franka node and its processes against franky-sim's robot: libfranka's own protocol on the loopback.

The robot's end records every command it gets, so what is judged is what arrived, by the robot's own count of time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph.cell_graph import LATCHED, NodeProcess, Observer
from graph.franka_stage import BASE, PERIOD, TIMEOUT, Stage, assert_within_limits, franka_stage
from support.franka_robot import START, free_address

from vipa_msgs.msg import DriverStatus
from vipa_policy.franka.limits import JOINT_NAMES
from vipa_sim.nodes.launched_graph import free_domain

pytest.importorskip("pylibfranka")
pytestmark = pytest.mark.graph


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with franka_stage(tmp_path_factory.mktemp("franka")) as made:
        yield made


def test_joint_states_transforms_and_wrench_come(stage: Stage) -> None:
    joints = stage.joints[-1]
    assert list(joints.name) == [*JOINT_NAMES, "fr3_finger_joint1", "fr3_finger_joint2"]
    assert np.allclose(joints.position[:7], START, atol=0.02)
    assert joints.position[7] == pytest.approx(0.02, abs=0.002)
    expected = {
        *((f"fr3_link{number}", f"fr3_link{number + 1}") for number in range(7)),
        ("fr3_hand", "fr3_leftfinger"),
        ("fr3_hand", "fr3_rightfinger"),
    }

    def edges() -> set[tuple[str, str]]:
        return {(item.header.frame_id, item.child_frame_id) for item in stage.transforms[-1].transforms}

    stage.wait(lambda: bool(stage.transforms) and edges() == expected, "the transforms of the arm and the fingers")
    stage.wait(lambda: bool(stage.wrenches), "a wrench")
    assert stage.wrenches[-1].header.frame_id == BASE
    assert stage.statuses[-1].hardware == f"FR3 at {stage.robot.address}"


def test_a_stream_is_followed_within_limits(stage: Stage) -> None:
    stage.lead(np.array([0.03, 0.10, -0.05]), 1.5)
    assert_within_limits(stage)


def test_a_stream_that_breaks_off_is_a_stop_in_place(stage: Stage) -> None:
    start = stage.tip()
    torn = start.copy()
    for step in range(1, 40):
        torn[1, 3] = start[1, 3] - 0.0012 * step * min(1.0, step / 20)
        stage.publish(torn)
        stage.observer.executor.spin_once(timeout_sec=0.0)
        time.sleep(PERIOD)
    stage.rest()
    assert f"the arm stops: no target for {TIMEOUT} s" in stage.node.text()
    assert_within_limits(stage)
    # It is told to stand, not left alone.
    stage.wait(lambda: standing(stage.robot.commands()[1]) > 10, "commands to stand")


def standing(commands: np.ndarray) -> int:
    """How many commands there were since the last one that moved something."""
    moved = np.flatnonzero(np.abs(np.diff(commands, axis=0)).max(axis=1) > 0.0)
    return len(commands) - 1 - int(moved[-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame": "camera_link"}, "expected a target in 'fr3_link0'"),
        ({"age": 3.0}, "it is 3.0"),
        ({"offset": 0.3}, "it jumps 0.300 m"),
        ({"offset": float("nan")}, "expected finite numbers in a target"),
    ],
)
def test_a_target_that_is_none_is_refused_and_moves_nothing(stage: Stage, change: dict[str, Any], words: str) -> None:
    pose = stage.tip()
    pose[0, 3] += change.get("offset", 0.001)
    before = stage.robot.commands()[1]
    count = len(stage.health)
    stage.publish(pose, change.get("frame", BASE), change.get("age", 0.0))
    stage.wait(lambda: any(words in stage.value(array, "last refusal") for array in stage.health[count:]), f"'{words}'")
    after = stage.robot.commands()[1]
    assert np.array_equal(after[len(before) :], np.tile(before[-1], (len(after) - len(before), 1)))


def test_the_hand_moves_open_and_grasps_closed(stage: Stage) -> None:
    opened = stage.move_gripper(0.07).result
    assert opened.reached
    assert opened.width == pytest.approx(0.07, abs=0.003)
    stage.wait(lambda: stage.joints[-1].position[7] == pytest.approx(0.035, abs=0.002), "open fingers")
    stage.robot.tell("block 0.04")
    held = stage.move_gripper(0.0, force=15.0).result
    assert (held.reached, held.stalled) == (False, True)
    assert held.width == pytest.approx(0.04, abs=0.003)
    stage.robot.tell("free")
    assert stage.move_gripper(0.2) is None
    assert "expected a width of 0 to 0.08 m" in stage.node.text()


def test_a_reflex_is_a_fault_with_its_name_until_recovered(stage: Stage) -> None:
    stage.lead(np.array([0.0, 0.04, 0.0]), 0.5)
    pose = stage.tip()
    stage.robot.tell("reflex")
    stage.publish(pose)
    stage.wait(lambda: stage.statuses[-1].state == DriverStatus.FAULT, "a fault")
    assert "cartesian_reflex" in stage.statuses[-1].reason
    before = len(stage.robot.commands()[0])
    stage.publish(pose)
    answer = stage.recover()
    assert answer.success, answer.message
    stage.wait(stage.ready, "a driver that is ready again")
    assert len(stage.robot.commands()[0]) == before  # recovery moves nothing, nor does what came before
    stage.lead(np.array([0.0, -0.04, 0.0]), 0.6)
    assert_within_limits(stage)


def test_the_stop_button_is_told_and_passes(stage: Stage) -> None:
    stage.robot.tell("pressed")
    stage.wait(lambda: stage.statuses[-1].state == DriverStatus.UNAVAILABLE, "an arm that is stopped")
    assert "stop button" in stage.statuses[-1].reason
    assert not stage.recover().success
    stage.robot.tell("released")
    stage.wait(lambda: stage.statuses[-1].state != DriverStatus.UNAVAILABLE, "an arm that is no longer stopped")
    assert stage.recover().success  # where it moved when it was stopped, that is asked for
    stage.wait(stage.ready, "a driver that is ready again")


def test_a_driver_that_dies_is_told_and_started_again_when_asked(stage: Stage) -> None:
    children = Path(f"/proc/{stage.node.process.pid}/task/{stage.node.process.pid}/children").read_text().split()
    arm = next(int(child) for child in children if b"arm_process" in Path(f"/proc/{child}/cmdline").read_bytes())
    os.kill(arm, signal.SIGKILL)
    stage.wait(lambda: stage.statuses[-1].state == DriverStatus.UNAVAILABLE, "a driver that is gone")
    assert "driver/recover starts it again" in stage.statuses[-1].reason
    assert stage.recover().success
    stage.wait(stage.ready, "a driver that is ready again")
    stage.lead(np.array([0.0, 0.02, 0.0]), 0.4)


def test_an_address_where_nobody_answers_is_told_and_the_node_stays(tmp_path: Path) -> None:
    domain, address = free_domain(), free_address()
    with Observer(domain) as observer:
        statuses = observer.listen(DriverStatus, "driver/status", LATCHED)
        parameters = {"robot_ip": address, "retry": 0.2, "hand": "false"}
        node = NodeProcess("vipa_policy.nodes.franka_node", dict(parameters), domain, tmp_path / "node.log")
        try:
            observer.wait(lambda: any(address in status.reason for status in statuses), "words on the address")
            assert statuses[-1].state == DriverStatus.UNAVAILABLE
            assert node.process.poll() is None
        finally:
            assert node.stop() == 0, node.text()
