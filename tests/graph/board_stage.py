"""A stage for the calibration nodes: clock, TF, one colour camera, the arm's services, all from one node of the tests.

Simulated time runs by a timer, a tenth of a second a tick, however fast the machine is.
"""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock as RclpyClock
from rclpy.clock import ClockType
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger
from support.board_scene import LENS
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from vipa_msgs.srv import SetSpeed, Stop
from vipa_policy.calibration.lens import Lens
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import matrix_from_transform, stamp_from_nanoseconds, transform_stamped
from vipa_policy.nodes.managed import ManagedNode
from vipa_sim.nodes.launched_graph import free_domain

BASE, HAND, OPTICAL, LINK = "fr3_link0", "fr3_hand", "camera_color_optical_frame", "camera_link"
TICK = 100_000_000  # ns of simulated time
WALL_TICK = 0.015
IMAGE_TICKS = 3
PATIENCE = 40.0
LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)

Scene = tuple[np.ndarray, Array]
"""A picture (height, width, 3) RGB and the hand's pose (4, 4) in the base at which it is taken."""


class Stage(Node):
    """Shows scenes, and keeps what the nodes under test say."""

    def __init__(self, executor: EventsExecutor, lens: Lens = LENS) -> None:
        super().__init__("stage")
        self.spinner = executor
        self.lens = lens
        self.ticks = 0
        self.scene: Callable[[int], Scene] | None = None
        self.moving = False
        self.health: dict[str, tuple[bytes, str]] = {}
        self.values: dict[str, dict[str, str]] = {}
        self.edges: list[tuple[str, str, Array]] = []
        self.stops = 0
        self.reasons: list[str] = []
        self.speeds: list[tuple[str, float, str]] = []
        self._time = self.create_publisher(Clock, "/clock", 10)
        self._image = self.create_publisher(Image, "camera/camera/color/image_raw", QoSProfile(depth=5))
        self._info = self.create_publisher(CameraInfo, "camera/camera/color/camera_info", QoSProfile(depth=5))
        self._tf, self._static = TransformBroadcaster(self), StaticTransformBroadcaster(self)
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_health, 50)
        self.create_subscription(TFMessage, "/tf_static", self._on_static, LATCHED)
        self.create_service(Stop, "arm/stop_because", self._on_stop)
        self.create_service(SetSpeed, "arm/set_speed", self._on_speed)
        self.create_timer(WALL_TICK, self._tick, clock=RclpyClock(clock_type=ClockType.STEADY_TIME))

    def hang(self, *edges: tuple[str, str, Array]) -> None:
        """Publish static transforms."""
        stamp = stamp_from_nanoseconds(self.ticks * TICK)
        self._static.sendTransform([transform_stamped(pose, parent, child, stamp) for parent, child, pose in edges])

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}; {self.health}; {self.values}"
            self.spinner.spin_once(timeout_sec=0.05)

    def run(self, seconds: float) -> None:
        """Let simulated time pass."""
        end = self.ticks + round(seconds * 1e9 / TICK)
        self.wait(lambda: self.ticks >= end, f"{seconds} simulated s")

    def call(self, name: str) -> Trigger.Response:
        client = self.create_client(Trigger, name)
        self.wait(client.service_is_ready, name)
        future = client.call_async(Trigger.Request())
        self.wait(future.done, f"an answer of {name}")
        self.destroy_client(client)
        return future.result()

    def _tick(self) -> None:
        self.ticks += 1
        stamp = stamp_from_nanoseconds(self.ticks * TICK)
        if self.scene is not None:
            picture, base_from_hand = self.scene(self.ticks)
            if self.moving:
                base_from_hand = base_from_hand.copy()
                base_from_hand[0, 3] += 0.01 * (self.ticks % 50)
            self._tf.sendTransform(transform_stamped(base_from_hand, BASE, HAND, stamp))
            if self.ticks % IMAGE_TICKS == 0:
                self._publish(picture, stamp)
        self._time.publish(Clock(clock=stamp))

    def _publish(self, picture: np.ndarray, stamp: Any) -> None:
        height, width = picture.shape[:2]
        message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
        message.header.stamp, message.header.frame_id = stamp, OPTICAL
        message.data = array.array("B", np.ascontiguousarray(picture).tobytes())
        info = CameraInfo(height=self.lens.height, width=self.lens.width, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = self.lens.matrix.ravel().tolist()
        info.header = message.header
        self._info.publish(info)
        self._image.publish(message)

    def _on_health(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.health[status.name] = (status.level, status.message)
            self.values[status.name] = {item.key: item.value for item in status.values}

    def _on_static(self, message: TFMessage) -> None:
        self.edges += [
            (item.header.frame_id, item.child_frame_id, matrix_from_transform(item.transform))
            for item in message.transforms
        ]

    def _on_stop(self, request: Stop.Request, response: Stop.Response) -> Stop.Response:
        self.stops += 1
        self.reasons.append(request.reason)
        response.success = True
        return response

    def _on_speed(self, request: SetSpeed.Request, response: SetSpeed.Response) -> SetSpeed.Response:
        self.speeds.append((request.source, request.factor, request.reason))
        response.success = True
        return response


@contextmanager
def stage(lens: Lens = LENS) -> Iterator[Stage]:
    """An empty stage in a ROS domain of its own."""
    rclpy.init(domain_id=free_domain())
    executor = EventsExecutor()
    made = Stage(executor, lens)
    executor.add_node(made)
    try:
        yield made
    finally:
        executor.shutdown()
        made.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def on_stage(stage: Stage, make: Callable[..., ManagedNode], **parameters: Any) -> Iterator[ManagedNode]:
    """Put a node on the stage, its clock that of the stage."""
    values = {"use_sim_time": True, **parameters}
    node = make(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
    stage.spinner.add_node(node)
    try:
        node.start()
        stage.wait(lambda: stage.count_subscribers("/clock") >= 1, "the node's clock")
        yield node
    finally:
        stage.spinner.remove_node(node)
        node.destroy_node()
