"""The pipeline that most stacks have, for comparison: one node, a slot per topic for the latest message, a timer.

Every message is deserialised as it comes. The 100 Hz timer callback publishes the row of the chunk that is due: no
limits, no seams, no checks of stamps. It predicts whenever there is a picture that it has not seen, with the latest
depth, joint states and TF, and moves the chunk to the base frame with the latest TF. Checkpoint, threads and messages
are those of our side.
``--threads`` gives the prediction a thread of its own, under rclpy's MultiThreadedExecutor: the careful version of it.
Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_ros import Buffer, TransformException, TransformListener

from vipa_policy.errors import VipaError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import (
    depth_from_image,
    intrinsics_from_camera_info,
    matrix_from_transform,
    pose_stamped,
    rgb_from_image,
    seconds_of,
)
from vipa_policy.nodes.lifetime import Lifetime
from vipa_policy.nodes.policy_interface import Loading, Policy, load
from vipa_policy.observation import CameraView, Observation
from vipa_sim.nodes.runtime.camera_replay import PREFIX
from vipa_sim.nodes.runtime.stage import BASE, FINGERS, TIP, WORDS
from vipa_sim.runtime.figures import PERIOD
from vipa_sim.runtime.records import CHUNK_COLUMNS, SETPOINT_COLUMNS, Notebook, Records


def latest(buffer: Buffer, target: str, source: str) -> Array:
    """Return (4, 4) from source to target as of the newest TF, whatever it is wanted for. Raises TransformException."""
    return matrix_from_transform(buffer.lookup_transform(target, source, Time()).transform)


class PlainPipeline(Node):
    """Latest messages in, the row that is due out."""

    def __init__(self, policy: Policy, threaded: bool, started: Path) -> None:
        super().__init__("plain")
        self._policy = policy
        self._started: Path | None = started
        self.chunk_book, self.setpoint_book = Notebook(CHUNK_COLUMNS), Notebook(SETPOINT_COLUMNS)
        self._colour: Image | None = None
        self._depth: Image | None = None
        self._info: CameraInfo | None = None
        self._joints: JointState | None = None
        self._arrived = 0.0
        self._predicted_for: float | None = None
        self._chunk: tuple[Array, float] | None = None
        self._number = 0
        self._buffer = Buffer(node=self)
        self._listener = TransformListener(self._buffer, self)
        self._targets = self.create_publisher(PoseStamped, "target_pose", 1)
        self.create_subscription(Image, f"{PREFIX}/color/image_raw", self._take_colour, 10)
        self.create_subscription(Image, f"{PREFIX}/aligned_depth_to_color/image_raw", self._take_depth, 10)
        self.create_subscription(CameraInfo, f"{PREFIX}/color/camera_info", self._take_info, 10)
        self.create_subscription(JointState, "joint_states", self._take_joints, 10)
        if threaded:
            own = MutuallyExclusiveCallbackGroup()
            self.create_timer(PERIOD, self._predict, callback_group=own)
            self.create_timer(PERIOD, self._control, callback_group=MutuallyExclusiveCallbackGroup())
        else:
            self.create_timer(PERIOD, self._control_and_predict)

    @property
    def now(self) -> float:
        """The node's ROS clock in s."""
        return self.get_clock().now().nanoseconds * 1e-9

    def _take_colour(self, message: Image) -> None:
        self._colour, self._arrived = message, self.now

    def _take_depth(self, message: Image) -> None:
        self._depth = message

    def _take_info(self, message: CameraInfo) -> None:
        self._info = message

    def _take_joints(self, message: JointState) -> None:
        self._joints = message

    def _control_and_predict(self) -> None:
        self._control()
        self._predict()

    def _control(self) -> None:
        began = time.thread_time()
        if self._chunk is None:
            return
        rows, since = self._chunk
        row = min(int((self.now - since) / self._policy.contract.control_period), len(rows) - 1)
        message = pose_stamped(rows[row], BASE, self.get_clock().now().to_msg())
        made = time.thread_time() - began
        self._targets.publish(message)
        self.setpoint_book.note(self.now, time.monotonic(), made)

    def _predict(self) -> None:
        colour, depth, info, joints, arrived = self._colour, self._depth, self._info, self._joints, self._arrived
        if colour is None or depth is None or info is None or joints is None:
            return
        captured = seconds_of(colour.header.stamp)
        if captured == self._predicted_for:
            return
        try:
            observation = self._observation(colour, depth, info, joints)
            began = time.monotonic()
            chunk = self._policy.predict(observation, WORDS, committed=None, seed=None, flow_steps=None)
            inference, inferred = time.monotonic() - began, self.now
            rows = latest(self._buffer, BASE, colour.header.frame_id) @ chunk.camera_from_tip
        except (VipaError, TransformException) as error:
            self.get_logger().warning(f"no prediction: {error}", throttle_duration_sec=1.0)
            return
        self._predicted_for = captured
        accepted = self.now
        self._chunk = (rows, accepted)
        self._number += 1
        self.chunk_book.note(self._number, captured, arrived, inferred, inferred, inferred, accepted, inference)
        if self._started is not None:
            self._started.touch()
            self._started = None

    def _observation(self, colour: Image, depth: Image, info: CameraInfo, joints: JointState) -> Observation:
        positions: dict[str, Any] = dict(zip(joints.name, joints.position, strict=False))
        view = CameraView(
            name=self._policy.contract.reference_camera,
            rgb=rgb_from_image(colour),
            depth=depth_from_image(depth),
            intrinsics=intrinsics_from_camera_info(info, colour.width, colour.height),
            reference_from_camera=np.eye(4),
        )
        return Observation(
            stamp=seconds_of(colour.header.stamp),
            views=(view,),
            camera_from_tip=latest(self._buffer, colour.header.frame_id, TIP),
            gripper_width=math.fsum(positions[name] for name in FINGERS),
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the plain pipeline; what it noted is written when it has ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=Path, required=True, help="file for what was noted")
    parser.add_argument("--checkpoint", default="vipa-tiny", help="folder or name (default: %(default)s)")
    parser.add_argument("--threads", action="store_true", help="predict in a thread of its own")
    options, rest = parser.parse_known_args(arguments)
    policy = load(Loading(options.checkpoint, device="cpu", threads=1, precision="auto", compile=False, embodiment=""))
    lifetime = Lifetime()
    rclpy.init(args=[sys.argv[0], *rest], signal_handler_options=SignalHandlerOptions.NO)
    node = PlainPipeline(policy, options.threads, options.records.with_suffix(".started"))
    executor = MultiThreadedExecutor(num_threads=3) if options.threads else SingleThreadedExecutor()
    executor.add_node(node)
    while not lifetime.ended:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    Records(node.chunk_book.table(), node.setpoint_book.table()).save(options.records)
    node.destroy_node()
    rclpy.try_shutdown()
    lifetime.restore()
    return 0


if __name__ == "__main__":
    sys.exit(main())
