"""A policy without weights: answers pictures with the scripted expert's plan, made from the simulator's truth.

It takes the place of the policy node, with the same topics and the same contract, so that the whole graph runs, is
tested and records demonstrations before anything is trained. It knows the cell's truth and so works in the simulated
cell only. Guarded by tests/graph/test_evaluation_graph.py.
"""

from __future__ import annotations

import sys
import time
import uuid

import rclpy
from geometry_msgs.msg import PointStamped
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformException

from vipa_msgs.msg import ActionChunk, CellState, ChunkTimings, ExecutionState, PolicyStatus
from vipa_policy.geometry import Array, apply
from vipa_policy.instruction import STOP_WORD, Change, InstructionLatch
from vipa_policy.instruction_history import InstructionHistory
from vipa_policy.nodes.conversions import (
    chunk_to_message,
    matrix_from_transform,
    nanoseconds_of,
    seconds_of,
    stamp_from_seconds,
)
from vipa_policy.nodes.lifetime import Lifetime
from vipa_policy.nodes.policy_teller import use_to_message
from vipa_policy.nodes.qos import LATCHED_QOS
from vipa_policy.observation import Chunk
from vipa_policy.presets import franka_contract
from vipa_sim import experts
from vipa_sim.nodes.cell_messages import snapshot_of
from vipa_sim.scene import CellSnapshot

CAMERA_INFO = "camera/camera/color/camera_info"
SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
CHUNK_QOS = QoSProfile(depth=1)
STATIC_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# Truths and pictures that wait for their other half of the same stamp.
WAITING = 5
WORLD = "world"
# How soon a signal is noticed while no message comes.
SERVING = 0.2


class ScriptedPolicy(Node):
    """Publishes an expert's plan as an action chunk for every picture, while there are words in force."""

    def __init__(self) -> None:
        super().__init__("policy")
        self._contract = franka_contract()
        self._latch = InstructionLatch()
        self._arm_stopped = False
        self._words: experts.Words | None = None
        self._status = PolicyStatus()
        self._chunk_id = 0
        self._run = uuid.uuid4().hex[:12]
        self._history = InstructionHistory()
        self._truths: dict[int, CellState] = {}
        self._pictures: dict[int, CameraInfo] = {}
        self._buffer = Buffer()
        self._chunks = self.create_publisher(ActionChunk, "policy/chunk", CHUNK_QOS)
        self._pointed = self.create_publisher(PointStamped, "policy/pointed", CHUNK_QOS)
        self._statuses = self.create_publisher(PolicyStatus, "policy/status", LATCHED_QOS)
        self._inputs = [
            # The scene camera stands still in the world, so the moving transforms, 250 a second, are not needed.
            self.create_subscription(TFMessage, "/tf_static", self._take_static, STATIC_QOS),
            self.create_subscription(CellState, "cell/state", self._take_truth, SENSOR_QOS),
            self.create_subscription(CameraInfo, CAMERA_INFO, self._take_picture, SENSOR_QOS),
            self.create_subscription(String, "instruction", self._take_instruction, QoSProfile(depth=10)),
            self.create_subscription(ExecutionState, "arm/execution_state", self._take_execution, CHUNK_QOS),
        ]
        self._resume_service = self.create_service(Trigger, "policy/resume", self._resume)
        self._tell(PolicyStatus.WAITING, "no instruction yet")

    def _take_static(self, message: TFMessage) -> None:
        for transform in message.transforms:
            self._buffer.set_transform_static(transform, "tf_static")

    def _take_instruction(self, message: String) -> None:
        self._react(self._latch.offer(message.data, self.now))

    def _take_execution(self, message: ExecutionState) -> None:
        """Take what only the arm heard, and its latch: stopped there is stopped here, resumed there is resumed here."""
        self._react(self._latch.relay(message.heard, seconds_of(message.heard_stamp), self.now))
        if message.stopped == self._arm_stopped:
            return
        self._arm_stopped = message.stopped
        if message.stopped:
            self._latch.stop()
            self._note_words()
        elif self._latch.instruction:
            self._latch.resume()
            self._understand()

    @property
    def now(self) -> float:
        """Time on the node's clock, s."""
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _react(self, change: Change) -> None:
        if change is Change.NEW:
            self._understand()
        elif change is Change.STOP:
            self._note_words()
            self._tell(PolicyStatus.STOPPED, "told to stop")

    def _resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._latch.resume()
        if self._latch.instruction:
            self._understand()
        response.success = True
        response.message = f"in force: '{self._latch.instruction}'"
        return response

    def _understand(self) -> None:
        self._note_words()
        try:
            self._words = experts.parse_instruction(self._latch.instruction)
        except ValueError as error:
            self._words = None
            self._tell(PolicyStatus.REFUSED, str(error))

    def _note_words(self) -> None:
        self._history.in_force(STOP_WORD if self._latch.stopped else self._latch.instruction, self.now)

    def _take_truth(self, message: CellState) -> None:
        self._pair(nanoseconds_of(message.header.stamp), truth=message)

    def _take_picture(self, message: CameraInfo) -> None:
        self._pair(nanoseconds_of(message.header.stamp), picture=message)

    def _pair(self, stamp: int, truth: CellState | None = None, picture: CameraInfo | None = None) -> None:
        """Keep one half of an observation; with both halves of a stamp, answer it."""
        truth = truth or self._truths.get(stamp)
        picture = picture or self._pictures.get(stamp)
        if truth is not None and picture is not None:
            self._answer(truth, picture)
            self._truths, self._pictures = {}, {}
        elif truth is not None:
            self._truths = {**dict(list(self._truths.items())[-WAITING:]), stamp: truth}
        elif picture is not None:
            self._pictures = {**dict(list(self._pictures.items())[-WAITING:]), stamp: picture}

    def _answer(self, truth: CellState, picture: CameraInfo) -> None:
        if not self._latch.active or self._words is None:
            return
        began = time.monotonic()
        header = Header(stamp=picture.header.stamp, frame_id=picture.header.frame_id)
        try:
            lookup = self._buffer.lookup_transform(header.frame_id, WORLD, Time.from_msg(header.stamp))
            chunk = self._predict(snapshot_of(truth), matrix_from_transform(lookup.transform), self._words)
        except TransformException as error:
            self._tell(PolicyStatus.NO_OBSERVATION, f"no transform of the camera: {error}")
            return
        except KeyError as error:
            self._tell(PolicyStatus.REFUSED, str(error.args[0]))
            return
        self._chunk_id += 1
        now = self.get_clock().now().to_msg()
        timings = ChunkTimings(captured=header.stamp, synchronised=now, inferred=now, published=now)
        timings.inference = time.monotonic() - began
        message = chunk_to_message(chunk, self._contract, self._chunk_id, header, timings)
        message.run = self._run
        first = self._history.chunk(self._chunk_id, self._latch.instruction, self.now)
        self._chunks.publish(message)
        self._pointed.publish(PointStamped(header=header, point=message.pointed))
        self._tell(PolicyStatus.RUNNING, "", again=first)

    def _predict(self, snapshot: CellSnapshot, camera_from_world: Array, words: experts.Words) -> Chunk:
        """Return the expert's next rows in the camera's frame. Raises KeyError where the cell lacks what was named."""
        target = f"{words.colour}_block"
        destination = f"{words.bowl}_bowl" if words.bowl else None
        rows = experts.plan(
            words.task, snapshot, target, destination, self._contract.control_period, self._contract.horizon
        )
        return Chunk(
            stamp=snapshot.time,
            camera_from_tip=camera_from_world @ rows.base_from_tip,
            gripper=rows.gripper,
            pointed=apply(camera_from_world, snapshot.find(target).grasp_point),
            pointed_confidence=1.0,
            instruction=self._latch.instruction,
        )

    def _tell(self, state: int, reason: str, again: bool = False) -> None:
        """Publish the status where it says something new, or ``again`` all the same."""
        instruction = self._latch.instruction
        if not again and (state, reason, instruction) == (
            self._status.state,
            self._status.reason,
            self._status.instruction,
        ):
            return
        self._status = PolicyStatus(
            header=Header(stamp=self.get_clock().now().to_msg()),
            state=state,
            instruction=instruction,
            chunk_id=self._history.last_chunk,
            run=self._run,
            history=[use_to_message(use) for use in self._history.uses],
            reason=reason,
            checkpoint="scripted",
            device="cpu",
            heard=self._latch.heard,
            heard_stamp=stamp_from_seconds(self._latch.heard_stamp),
        )
        self._statuses.publish(self._status)


def main(arguments: list[str] | None = None) -> int:
    """Run the scripted policy until it is asked to end; returns the exit status."""
    lifetime = Lifetime()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = ScriptedPolicy()
    executor = EventsExecutor()
    executor.add_node(node)
    try:
        while not lifetime.ended:
            executor.spin_once(timeout_sec=SERVING)
        node.get_logger().info(f"stopping: {lifetime.reason}")
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
