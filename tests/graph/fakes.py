"""A light stand-in for camera, arm driver and policy: real messages on the loopback, on a clock the test moves.

The clock moves only by ``World.run``; assertions are made on message stamps, so a slow machine changes nothing.
"""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionServer
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from vipa_msgs.action import MoveGripper
from vipa_msgs.msg import ActionChunk, ExecutionState, PolicyStatus
from vipa_policy import geometry
from vipa_policy.contract import ActionContract, CameraSpec, ProprioceptionField
from vipa_policy.errors import InstructionError, ObservationError
from vipa_policy.nodes.conversions import (
    matrix_from_pose,
    seconds_of,
    stamp_from_nanoseconds,
    transform_stamped,
)
from vipa_policy.observation import Chunk, CommittedTail, Observation

WIDTH, HEIGHT = 64, 48
STEP = 10_000_000  # ns of simulated time
CAMERA_PERIOD = 7  # steps
SPEED = 0.3  # m/s the fake policy wants
PATIENCE = 20.0  # s of wall time for anything that must come
BASE, TIP, CAMERA = "fr3_link0", "fr3_hand_tcp", "camera_color_optical_frame"
RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

START = np.eye(4)
START[:3, :3] = Rotation.from_euler("x", np.pi).as_matrix()
START[:3, 3] = (0.4, 0.0, 0.3)
BASE_FROM_CAMERA = np.eye(4)
BASE_FROM_CAMERA[:3, :3] = Rotation.from_euler("xz", [-2.2, np.pi / 2]).as_matrix()
BASE_FROM_CAMERA[:3, 3] = (1.1, 0.0, 0.55)

CONTRACT = ActionContract(
    reference_camera="scene",
    tip_frame=TIP,
    control_period=1.0 / 15.0,
    horizon=16,
    cameras=(CameraSpec("scene", WIDTH, HEIGHT),),
    proprioception=(ProprioceptionField("gripper_width", 1, "", "m"),),
)


def rows_towards(start: np.ndarray, goal: np.ndarray, contract: ActionContract, speed: float = SPEED) -> np.ndarray:
    """Return the rows (n, 4, 4) of a chunk that leads the tip from a pose straight to a place (3,)."""
    rows = np.tile(start, (contract.horizon, 1, 1))
    way = goal - start[:3, 3]
    due = (np.arange(contract.horizon) + 1) * contract.control_period
    share = np.minimum(due * speed / max(float(np.linalg.norm(way)), 1e-9), 1.0)
    rows[:, :3, 3] += share[:, None] * way
    return rows


class FakePolicy:
    """Understands "reach the red block" and "go left"; sends the tip to a fixed place in the base frame."""

    def __init__(self, contract: ActionContract = CONTRACT) -> None:
        self.contract = contract
        self.name, self.device = "fake", "cpu"
        self.goals = {"reach the red block": np.array([0.6, 0.1, 0.1]), "go left": np.array([0.4, 0.3, 0.3])}
        self.observations: list[Observation] = []
        self.committed: list[CommittedTail | None] = []
        self.fail = False

    def check_instruction(self, text: str) -> None:
        if text not in self.goals:
            raise InstructionError(f"unknown words in {text!r}")

    def predict(
        self,
        observation: Observation,
        instruction: str,
        *,
        committed: CommittedTail | None,
        seed: int | None,
        flow_steps: int | None,
    ) -> Chunk:
        if self.fail:
            raise RuntimeError("out of memory")
        view = observation.views[0]
        if view.rgb.shape[:2] != (HEIGHT, WIDTH):
            raise ObservationError(f"expected an image of {WIDTH} x {HEIGHT} pixels, got {view.rgb.shape[1::-1]}")
        if not np.isfinite(view.depth).any() or not (np.nan_to_num(view.depth) > 0.0).any():
            raise ObservationError("expected depth, got none in any pixel")
        self.observations.append(observation)
        self.committed.append(committed)
        start = BASE_FROM_CAMERA @ observation.camera_from_tip
        rows = rows_towards(start, self.goals[instruction], self.contract)
        return Chunk(
            stamp=observation.stamp,
            camera_from_tip=geometry.inverse(BASE_FROM_CAMERA) @ rows,
            gripper=np.full(self.contract.horizon, 0.08),
            pointed=np.array([0.0, 0.0, 0.5]),
            pointed_confidence=1.0,
            instruction=instruction,
        )


class World(Node):
    """Publishes the clock, one RGB-D camera, joint states and TF; follows pose targets at once; keeps what it hears."""

    def __init__(self, executor: Executor) -> None:
        super().__init__("world")
        self.executor_used = executor
        self.steps = 0
        self.base_from_tip = START
        self.broken: set[str] = set()  # "colour", "depth", "info", "joints", "tf", "nan", "size", "future tf"
        self.image_age = 0.0  # s by which pictures are stamped earlier than they are taken
        self.draw: Callable[[str], np.ndarray] | None = None  # what the camera sees: "colour", "depth"
        self.clock_ahead = 0  # ns by which the clock is ahead of all stamps
        self.tip_shift = np.zeros(3)  # m by which TF is wrong about the tip
        self.followers: list[Node] = []
        self.each_step: list[Callable[[Any], None]] = []  # called with the stamp, before the clock moves
        self.targets: list[PoseStamped] = []
        self.states: list[ExecutionState] = []
        self.statuses: list[PolicyStatus] = []
        self.chunks: list[ActionChunk] = []
        self.health: dict[str, str] = {}
        self.gripper_goals: list[float] = []
        self._clock_publisher = self.create_publisher(Clock, "clock", 10)
        self._colour = self.create_publisher(Image, "camera/camera/color/image_raw", RELIABLE)
        self._depth = self.create_publisher(Image, "camera/camera/aligned_depth_to_color/image_raw", RELIABLE)
        self._info = self.create_publisher(CameraInfo, "camera/camera/color/camera_info", RELIABLE)
        self._joints = self.create_publisher(JointState, "joint_states", RELIABLE)
        self._words = self.create_publisher(String, "instruction", RELIABLE)
        self.chunk_publisher = self.create_publisher(ActionChunk, "policy/chunk", 1)
        self.status_publisher = self.create_publisher(PolicyStatus, "policy/status", LATCHED)
        self._tf, self._static = TransformBroadcaster(self), StaticTransformBroadcaster(self)
        self._static.sendTransform(transform_stamped(BASE_FROM_CAMERA, BASE, CAMERA, stamp_from_nanoseconds(0)))
        self.create_subscription(PoseStamped, "target_pose", self._on_target, RELIABLE)
        self.create_subscription(ExecutionState, "arm/execution_state", self.states.append, RELIABLE)
        self.create_subscription(PolicyStatus, "policy/status", self.statuses.append, LATCHED)
        self.create_subscription(ActionChunk, "policy/chunk", self.chunks.append, RELIABLE)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_health, RELIABLE)
        self._gripper = ActionServer(self, MoveGripper, "gripper/move", self._on_gripper)

    @property
    def time(self) -> float:
        """Simulated time in s."""
        return self.steps * STEP * 1e-9

    def say(self, words: str) -> None:
        self._words.publish(String(data=words))

    def run(self, steps: int = 1, until: Callable[[], bool] | None = None) -> bool:
        """Move the clock by steps, or until a condition holds; returns whether it held (True without one)."""
        for _ in range(steps):
            if until is not None and until():
                return True
            self._step()
        return until is None or until()

    def wait(self, condition: Callable[[], bool]) -> bool:
        """Let messages pass, the clock standing still, until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.executor_used.spin_once(timeout_sec=0.01)
        return True

    def settle(self, quiet: float = 0.002) -> None:
        """Let messages pass until none came for a little wall time, twice in a row."""
        silences = 0
        deadline = time.monotonic() + PATIENCE
        while silences < 2 and time.monotonic() < deadline:
            began = time.monotonic()
            self.executor_used.spin_once(timeout_sec=quiet)
            silences = silences + 1 if time.monotonic() - began >= quiet else 0

    def _step(self) -> None:
        self.steps += 1
        stamp = stamp_from_nanoseconds(self.steps * STEP)
        if "tf" not in self.broken:
            ahead = 500_000_000 if "future tf" in self.broken else 0
            stamped = stamp_from_nanoseconds(self.steps * STEP + ahead)
            seen = self.base_from_tip.copy()
            seen[:3, 3] += self.tip_shift
            self._tf.sendTransform(transform_stamped(seen, BASE, TIP, stamped))
        if "joints" not in self.broken:
            joints = JointState(name=["fr3_finger_joint1", "fr3_finger_joint2"], position=[0.02, 0.03])
            joints.header.stamp = stamp
            self._joints.publish(joints)
        for act in self.each_step:
            act(stamp)
        if self.steps % CAMERA_PERIOD == 0:
            self._publish_images(stamp_from_nanoseconds(self.steps * STEP - round(self.image_age * 1e9)))
        nanoseconds = self.steps * STEP + self.clock_ahead
        self._clock_publisher.publish(Clock(clock=stamp_from_nanoseconds(nanoseconds)))
        assert self.wait(lambda: all(node.get_clock().now().nanoseconds == nanoseconds for node in self.followers))
        self.settle()

    def _publish_images(self, stamp: Any) -> None:
        width = WIDTH + 16 if "size" in self.broken else WIDTH
        depth = np.full((HEIGHT, width), np.nan if "nan" in self.broken else 0.8, np.float32)
        pictures = self._pictures({"colour": self._colours(width), "depth": depth})
        if self.draw is not None:
            pictures = {what: self.draw(what) for what in pictures}
        for what, publisher, encoding in (("colour", self._colour, "rgb8"), ("depth", self._depth, "32FC1")):
            pixels = pictures[what]
            message = Image(height=HEIGHT, width=width, encoding=encoding, step=pixels[0].nbytes)
            message.header.stamp, message.header.frame_id = stamp, CAMERA
            message.data = array.array("B", pixels.tobytes())
            if what not in self.broken:
                publisher.publish(message)
        info = CameraInfo(height=HEIGHT, width=width, k=[60.0, 0.0, 31.5, 0.0, 60.0, 23.5, 0.0, 0.0, 1.0])
        info.header.stamp, info.header.frame_id = stamp, CAMERA
        if "info" not in self.broken:
            self._info.publish(info)

    def _colours(self, width: int) -> np.ndarray:
        """A grey wall: without contrast, it proves neither that the camera lives nor that it is frozen."""
        return np.full((HEIGHT, width, 3), 90, np.uint8)

    def _pictures(self, plain: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the camera publishes: other worlds see something else."""
        return plain

    def _on_target(self, message: PoseStamped) -> None:
        self.targets.append(message)
        self.base_from_tip = matrix_from_pose(message.pose)

    def _on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.health[status.name] = status.message

    def _on_gripper(self, handle: Any) -> MoveGripper.Result:
        self.gripper_goals.append(handle.request.width)
        handle.succeed()
        return MoveGripper.Result(reached=True, width=handle.request.width)


def speeds(targets: Iterable[PoseStamped]) -> tuple[np.ndarray, np.ndarray]:
    """Return stamps (n - 1,) in s and speeds (n - 1,) in m/s between pose targets."""
    targets = list(targets)
    stamps = np.array([seconds_of(target.header.stamp) for target in targets])
    places = np.array([matrix_from_pose(target.pose)[:3, 3] for target in targets])
    return stamps[1:], np.linalg.norm(np.diff(places, axis=0), axis=1) / np.diff(stamps)
