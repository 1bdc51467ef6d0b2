"""A driver of an arm that follows pose targets with a lag: TF of nine frames and joint states at 200 Hz, the external
wrench at 100 Hz, its status, a gripper.

Serialised beforehand, so that it costs little. Also says the words, once a second, in place of an operator.
Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.action import ActionServer
from rclpy.clock import Clock, ClockType
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster

from vipa_msgs.action import MoveGripper
from vipa_msgs.msg import DriverStatus
from vipa_policy import geometry
from vipa_policy.nodes.conversions import transform_stamped
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.nodes.runtime.stage import (
    BASE,
    BASE_FROM_CAMERA,
    CAMERA,
    DRIVER_RATE,
    FINGERS,
    START,
    TIP,
    WORDS,
    SerialisedTransforms,
    stamped,
)

LAG = 0.05  # s by which the arm follows its target
LINKS = 7
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
Pose = tuple[float, ...]  # x, y, z and quaternion x, y, z, w


class FakeDriver(Node):
    """Stands where it was told to stand ``LAG`` s ago."""

    def __init__(self) -> None:
        super().__init__("driver")
        still = np.eye(4)
        chain = [(BASE if n == 1 else f"fr3_link{n - 1}", f"fr3_link{n}", still) for n in range(1, LINKS + 1)]
        fingers = [("fr3_hand", f"fr3_{side}finger", still) for side in ("left", "right")]
        # The whole motion sits in the first joint: what a lookup costs does not depend on it.
        self._transforms = SerialisedTransforms([(BASE, "fr3_link1", START), *chain[1:], *fingers])
        joints = JointState(
            name=[*(f"fr3_joint{n}" for n in range(1, LINKS + 1)), *FINGERS], position=[0.1] * LINKS + [0.02, 0.02]
        )
        self._joints = bytearray(serialize_message(joints))
        self._pose: Pose = (*geometry.position_of(START).tolist(), *geometry.quaternion_of(START).tolist())
        self._coming: deque[tuple[float, Pose]] = deque()
        self._clock_used = Clock(clock_type=ClockType.STEADY_TIME)
        self._tf = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._states = self.create_publisher(JointState, "joint_states", QoSProfile(depth=10))
        self._wrench = bytearray(serialize_message(WrenchStamped(header=Header(frame_id=BASE))))
        self._wrenches = self.create_publisher(WrenchStamped, "driver/external_wrench", QoSProfile(depth=10))
        self._status = self.create_publisher(DriverStatus, "driver/status", LATCHED_QOS)
        self._ticks = 0
        self._words = self.create_publisher(String, "instruction", QoSProfile(depth=10))
        self._static = StaticTransformBroadcaster(self)
        moment = self.get_clock().now().to_msg()
        fixed = [(f"fr3_link{LINKS}", "fr3_hand"), ("fr3_hand", TIP)]
        self._static.sendTransform(
            [transform_stamped(still, parent, child, moment) for parent, child in fixed]
            + [transform_stamped(BASE_FROM_CAMERA, BASE, CAMERA, moment)]
        )
        self.create_subscription(PoseStamped, "target_pose", self._on_target, QoSProfile(depth=1))
        self._gripper = ActionServer(self, MoveGripper, "gripper/move", self._on_gripper)
        self.create_timer(1.0 / DRIVER_RATE, self._publish, clock=self._clock_used)
        self.create_timer(1.0, self._tell, clock=self._clock_used)

    def _on_target(self, message: PoseStamped) -> None:
        place, turn = message.pose.position, message.pose.orientation
        due = self._clock_used.now().nanoseconds * 1e-9 + LAG
        self._coming.append((due, (place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w)))

    def _on_gripper(self, handle: Any) -> MoveGripper.Result:
        handle.succeed()
        return MoveGripper.Result(reached=True, width=handle.request.width)

    def _tell(self) -> None:
        status = DriverStatus(state=DriverStatus.READY, hardware="simulated")
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)
        self._words.publish(String(data=WORDS))

    def _publish(self) -> None:
        now = self._clock_used.now().nanoseconds * 1e-9
        while self._coming and self._coming[0][0] <= now:
            self._pose = self._coming.popleft()[1]
        stamp = self.get_clock().now().nanoseconds
        self._tf.publish(self._transforms.at(stamp, self._pose))
        self._states.publish(stamped(self._joints, stamp))
        self._ticks += 1
        if self._ticks % 2 == 0:
            self._wrenches.publish(stamped(self._wrench, stamp))


def main(arguments: list[str] | None = None) -> int:
    """Drive until asked to end."""
    lifetime = Lifetime()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    executor, node = EventsExecutor(), FakeDriver()
    executor.add_node(node)
    while not lifetime.ended:
        executor.spin_once(timeout_sec=0.1)
    executor.remove_node(node)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    lifetime.restore()
    return 0


if __name__ == "__main__":
    sys.exit(main())
