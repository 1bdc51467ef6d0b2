"""A camera that moves at 0.3 m/s and a policy that answers 100 ms after its pictures: where does the arm take it to be?

The camera runs around a circle; TF tells its pose 200 times a second. Every chunk asks the tip to stay where it is, as
that was seen from where the camera was at the picture's stamp. Compared with that place: the rows that the arm node has
committed to (arm/execution_state), and the same chunk moved with the latest TF, as the plain pipeline moves its own.
Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformException, TransformListener

from vipa_msgs.msg import ActionChunk, ChunkTimings, ExecutionState
from vipa_policy import geometry
from vipa_policy.contract import ActionContract, CameraSpec, ProprioceptionField
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import array_from_point, chunk_to_message, stamp_from_nanoseconds
from vipa_policy.nodes.lifetime import Lifetime
from vipa_policy.observation import Chunk
from vipa_sim.nodes.runtime.plain_pipeline import latest
from vipa_sim.nodes.runtime.stage import (
    BASE,
    BASE_FROM_CAMERA,
    DRIVER_RATE,
    HEIGHT,
    MOVING_CAMERA,
    START,
    TIP,
    WIDTH,
    WORDS,
    SerialisedTransforms,
)

SPEED, LATENCY, RADIUS = 0.3, 0.1, 0.2  # m/s, s, m
CHUNK_PERIOD = 0.1  # s
ROWS = 16
TARGET = START[:3, 3]  # m, base frame: where the fake driver's arm begins
LONGEST = 60.0  # s, for the arm to follow the first chunk
CONTRACT = ActionContract(
    reference_camera="scene",
    tip_frame=TIP,
    control_period=1.0 / 15.0,
    horizon=ROWS,
    cameras=(CameraSpec("scene", WIDTH, HEIGHT),),
    proprioception=(ProprioceptionField("gripper_width", 1, "", "m"),),
)


def camera_at(nanoseconds: int) -> Array:
    """Return (4, 4) base_from_camera of a camera on its circle."""
    angle = SPEED / RADIUS * (nanoseconds % 1_000_000_000_000) * 1e-9
    pose = BASE_FROM_CAMERA.copy()
    pose[:3, 3] += RADIUS * np.array([math.cos(angle), math.sin(angle), 0.0])
    return pose


class MovingCamera(Node):
    """Publishes TF of the camera and chunks of its pictures; keeps how far off their place is in the base frame."""

    def __init__(self) -> None:
        super().__init__("moving_camera")
        self.capture_errors: dict[int, float] = {}
        self.latest_errors: list[float] = []
        self._number = 0
        self._rows = np.tile(START, (ROWS, 1, 1))
        self._transforms = SerialisedTransforms([(BASE, MOVING_CAMERA, BASE_FROM_CAMERA)])
        self._quaternion = geometry.quaternion_of(BASE_FROM_CAMERA).tolist()
        self._buffer = Buffer(node=self)
        self._listener = TransformListener(self._buffer, self)
        self._tf = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._chunks = self.create_publisher(ActionChunk, "policy/chunk", QoSProfile(depth=1))
        self.create_subscription(ExecutionState, "arm/execution_state", self._on_state, QoSProfile(depth=10))
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / DRIVER_RATE, self._publish_tf, clock=steady)
        self.create_timer(CHUNK_PERIOD, self._publish_chunk, clock=steady)

    def _publish_tf(self) -> None:
        stamp = self.get_clock().now().nanoseconds
        self._tf.publish(self._transforms.at(stamp, (*camera_at(stamp)[:3, 3].tolist(), *self._quaternion)))

    def _publish_chunk(self) -> None:
        captured = self.get_clock().now().nanoseconds - int(LATENCY * 1e9)
        stamp = stamp_from_nanoseconds(captured)
        seen = geometry.inverse(camera_at(captured)) @ self._rows
        chunk = Chunk(captured * 1e-9, seen, np.full(ROWS, 0.04), None, 0.0, WORDS)
        self._number += 1
        header = Header(stamp=stamp, frame_id=MOVING_CAMERA)
        self._chunks.publish(chunk_to_message(chunk, CONTRACT, self._number, header, ChunkTimings(captured=stamp)))
        try:
            taken = latest(self._buffer, BASE, MOVING_CAMERA) @ seen
        except TransformException:
            return  # its own TF has not come back yet
        self.latest_errors.append(1e3 * float(np.linalg.norm(taken[-1, :3, 3] - TARGET)))

    def _on_state(self, message: ExecutionState) -> None:
        if message.chunk_id and message.committed:
            place = array_from_point(message.committed[-1].position)
            self.capture_errors[message.chunk_id] = 1e3 * float(np.linalg.norm(place - TARGET))


def main(arguments: list[str] | None = None) -> int:
    """Run until enough chunks were followed; writes the errors in mm as JSON. Returns 1 where the arm did not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=Path, required=True, help="file for the errors")
    parser.add_argument("--chunks", type=int, default=50, help="to be followed (default: %(default)s)")
    options, rest = parser.parse_known_args(arguments)
    lifetime = Lifetime()
    rclpy.init(args=[sys.argv[0], *rest], signal_handler_options=SignalHandlerOptions.NO)
    executor, node = EventsExecutor(), MovingCamera()
    executor.add_node(node)
    deadline = time.monotonic() + LONGEST + options.chunks * CHUNK_PERIOD
    while not lifetime.ended and len(node.capture_errors) < options.chunks and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.1)
    enough = len(node.capture_errors) >= options.chunks
    partial = options.records.with_suffix(".partial")
    partial.write_text(json.dumps({"capture": list(node.capture_errors.values()), "latest": node.latest_errors}))
    partial.replace(options.records)
    executor.remove_node(node)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    lifetime.restore()
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
