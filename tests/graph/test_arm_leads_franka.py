"""The arm node leads franky-sim's robot by chunks, through the franka node: from the camera's frame to joint commands.

All on wall time, as with a real arm; what is judged is what arrived at the robot's end, and where the tip went.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph.cell_graph import NodeProcess
from graph.fakes import BASE_FROM_CAMERA, CAMERA, CONTRACT, rows_towards
from graph.franka_stage import BASE, KINEMATICS, Stage, assert_within_limits, franka_stage
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tf2_ros import StaticTransformBroadcaster

from vipa_msgs.msg import ActionChunk, ChunkTimings, DriverStatus, ExecutionState
from vipa_policy import geometry
from vipa_policy.nodes.conversions import chunk_to_message, seconds_of, stamp_from_nanoseconds, transform_stamped
from vipa_policy.nodes.qos import INSTRUCTION_QOS, NEWEST_QOS
from vipa_policy.observation import Chunk

pytest.importorskip("pylibfranka")
pytestmark = pytest.mark.graph

SPEED = 0.1  # m/s
CHUNK_EVERY = 0.15  # s
NEAR = 0.004  # m
RESTING = 0.4  # s
PATIENCE = 90.0  # s


class Lead:
    """The arm node between a policy played by the test and the robot."""

    def __init__(self, stage: Stage, arm: NodeProcess) -> None:
        self.stage, self.arm = stage, arm
        node = stage.observer.node
        self.states: list[ExecutionState] = stage.observer.listen(ExecutionState, "arm/execution_state")
        self.chunks = node.create_publisher(ActionChunk, "policy/chunk", NEWEST_QOS)
        self.words = node.create_publisher(String, "instruction", INSTRUCTION_QOS)
        self._static = StaticTransformBroadcaster(node)
        self._static.sendTransform(transform_stamped(BASE_FROM_CAMERA, BASE, CAMERA, stamp_from_nanoseconds(0)))
        self._clients = {name: node.create_client(Trigger, name) for name in ("arm/arm", "arm/recover")}
        self._count = 0

    def call(self, service: str) -> Any:
        client = self._clients[service]
        self.stage.wait(client.service_is_ready, service)
        return self.stage.observer.complete(client.call_async(Trigger.Request()), f"{service}: {self.told()}")

    def arm_it(self) -> None:
        """Arm, as soon as every guard passes; one that is armed stays so."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := self.call("arm/arm")).success:
            assert time.monotonic() < deadline, f"{answer.message}; {self.told()}"
            self.stage.observer.executor.spin_once(timeout_sec=0.1)

    def predict(self, goal: np.ndarray) -> None:
        """Publish the chunk that a policy would for the newest joint state: straight to a place (3,) in the base."""
        joints = self.stage.joints[-1]
        self._count += 1
        chunk = Chunk(
            stamp=seconds_of(joints.header.stamp),
            camera_from_tip=geometry.inverse(BASE_FROM_CAMERA) @ rows_towards(self.stage.tip(), goal, CONTRACT, SPEED),
            gripper=np.full(CONTRACT.horizon, 0.04),
            pointed=None,
            pointed_confidence=0.0,
            instruction="",
        )
        header = Header(stamp=joints.header.stamp, frame_id=CAMERA)
        self.chunks.publish(chunk_to_message(chunk, CONTRACT, self._count, header, ChunkTimings()))

    def go(self, goal: np.ndarray, until: Callable[[], bool], what: str) -> None:
        """Predict again and again until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        due = time.monotonic()
        while not until():
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.told()}"
            if time.monotonic() >= due:
                due += CHUNK_EVERY
                self.predict(goal)
            self.stage.observer.executor.spin_once(timeout_sec=0.01)

    def told(self) -> str:
        """What to say of a wait in vain."""
        said = [f"{state.state} {state.hold_reason} {state.mode_reason}" for state in self.states[-1:]]
        return f"{said}; tip at {self.stage.tip()[:3, 3]}; log:\n{self.arm.text()[-3000:]}"

    def tip(self) -> np.ndarray:
        """Where the tip is measured now, (3,) m: what was measured before may still wait to be heard."""
        asked = self.stage.observer.node.get_clock().now().nanoseconds * 1e-9
        self.stage.wait(lambda: seconds_of(self.stage.joints[-1].header.stamp) > asked, "a joint state")
        place: np.ndarray = self.stage.tip()[:3, 3]
        return place

    def rest(self) -> np.ndarray:
        """Return where (3,) m the tip rests, once it has been measured there for a while."""
        deadline = time.monotonic() + PATIENCE
        since, place = time.monotonic(), self.tip()
        while time.monotonic() - since < RESTING:
            assert time.monotonic() < deadline, f"waited in vain for an arm at rest: {self.told()}"
            here = self.tip()
            if np.linalg.norm(here - place) > 2e-4:
                since, place = time.monotonic(), here
        return place

    def off(self, goal: np.ndarray) -> float:
        """How far the measured tip is from a place, m."""
        return float(np.linalg.norm(self.tip() - goal))


@pytest.fixture(scope="module")
def lead(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lead]:
    folder: Path = tmp_path_factory.mktemp("lead")
    with franka_stage(folder) as stage:
        arm = NodeProcess("vipa_policy.nodes.arm_node", {}, stage.domain, folder / "arm.log")
        try:
            yield Lead(stage, arm)
        finally:
            assert arm.stop() == 0, arm.text()


def test_it_comes_up_disarmed_and_goes_where_chunks_lead_once_armed(lead: Lead) -> None:
    start = lead.tip()
    goal = start + np.array([0.02, 0.08, -0.05])
    before = len(lead.stage.robot.commands()[0])
    lead.stage.wait(lambda: bool(lead.states), "the arm node")
    lead.go(goal, lambda: lead.states[-1].mode_reason != "", "a reason for standing")
    assert lead.off(start) < 0.001
    lead.arm_it()
    lead.go(goal, lambda: lead.off(goal) < NEAR, "the tip to arrive")
    lead.rest()
    commands = lead.stage.robot.commands()[1][before:]
    ways = np.array([KINEMATICS.forward(joints)[:3, 3] - start for joints in commands[::20]])
    along = (goal - start) / np.linalg.norm(goal - start)
    aside = ways - np.outer(ways @ along, along)
    assert np.linalg.norm(aside, axis=1).max() < 0.004  # straight, as the chunks said
    assert_within_limits(lead.stage)


def test_a_reflex_on_the_way_is_confirmed_and_the_motion_begins_where_the_arm_is(lead: Lead) -> None:
    lead.arm_it()
    goal = lead.rest() + np.array([0.0, -0.12, 0.0])
    lead.go(goal, lambda: lead.off(goal) < 0.08, "a tip under way")
    lead.stage.robot.tell("reflex")
    lead.go(goal, lambda: lead.states[-1].mode == ExecutionState.FAULT, "a fault")
    assert "cartesian_reflex" in lead.states[-1].mode_reason
    answer = lead.call("arm/recover")
    assert answer.success, answer.message
    count = len(lead.stage.robot.commands()[0])
    lead.stage.wait(lambda: lead.stage.statuses[-1].state == DriverStatus.READY, "a driver that is ready")
    lead.predict(goal)
    there = lead.rest()
    assert len(lead.stage.robot.commands()[0]) == count  # recovering moves nothing, nor does a chunk before arm/arm
    lead.arm_it()
    lead.go(goal, lambda: lead.off(goal) < NEAR, "the tip to arrive")
    lead.rest()
    first = KINEMATICS.forward(lead.stage.robot.commands()[1][count])[:3, 3]
    assert np.linalg.norm(first - there) < 0.002
    assert_within_limits(lead.stage)


def test_stop_holds_whatever_chunks_come(lead: Lead) -> None:
    lead.arm_it()
    goal = lead.rest() + np.array([0.0, 0.12, 0.0])
    lead.go(goal, lambda: lead.off(goal) < 0.08, "a tip under way")
    lead.words.publish(String(data="stop"))
    lead.go(goal, lambda: lead.states[-1].state == ExecutionState.HOLDING, "a hold")
    there = lead.rest()
    count = len(lead.states)
    lead.go(goal, lambda: len(lead.states) > count + 20, "states of a stopped arm")
    assert lead.off(there) < 0.001
    assert lead.off(goal) > 0.02
    assert_within_limits(lead.stage)
