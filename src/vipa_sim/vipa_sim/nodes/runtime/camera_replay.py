"""A camera of 640 x 480 RGB-D at 30 Hz that costs little: messages serialised beforehand, only stamps change.

Every picture is noise of its own, so nothing behind it can tell a replay from a sensor. A picture is stamped when it
begins to be published. Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import array
import sys
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from vipa_policy.nodes.camera_messages import IMAGE_QOS
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.nodes.runtime.stage import CAMERA, CAMERA_RATE, HEIGHT, WIDTH, stamped

PICTURES = 8
FOCAL_LENGTH = 600.0  # px
PREFIX = "camera/camera"


class CameraReplay(Node):
    """Publishes prepared pictures in turn, under realsense-ros's names and quality of service."""

    def __init__(self) -> None:
        super().__init__("camera")
        rng = np.random.default_rng(0)
        colours = rng.integers(0, 256, (PICTURES, HEIGHT, WIDTH, 3), dtype=np.uint8)
        depths = rng.integers(500, 1500, (PICTURES, HEIGHT, WIDTH), dtype=np.uint16)
        self._pictures = [
            (serialised_image(colour, "rgb8", 3), serialised_image(depth, "16UC1", 2))
            for colour, depth in zip(colours, depths, strict=True)
        ]
        self._info = bytearray(serialize_message(_calibration()))
        self._colour = self.create_publisher(Image, f"{PREFIX}/color/image_raw", IMAGE_QOS)
        self._depth = self.create_publisher(Image, f"{PREFIX}/aligned_depth_to_color/image_raw", IMAGE_QOS)
        self._calibration = self.create_publisher(CameraInfo, f"{PREFIX}/color/camera_info", IMAGE_QOS)

    def publish(self, number: int) -> None:
        """Publish a picture with its depth and calibration, all stamped now."""
        colour, depth = self._pictures[number % PICTURES]
        stamp = self.get_clock().now().nanoseconds
        self._calibration.publish(stamped(self._info, stamp))
        self._colour.publish(stamped(colour, stamp))
        self._depth.publish(stamped(depth, stamp))


def serialised_image(pixels: Any, encoding: str, pixel_bytes: int) -> bytearray:
    """Return a picture (HEIGHT, WIDTH, ...) as serialised message, its stamp to be filled in."""
    message = Image(
        header=Header(frame_id=CAMERA), encoding=encoding, width=WIDTH, height=HEIGHT, step=WIDTH * pixel_bytes
    )
    message.data = array.array("B", pixels.tobytes())
    return bytearray(serialize_message(message))


def _calibration() -> CameraInfo:
    centre = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    k = [FOCAL_LENGTH, 0.0, centre[0], 0.0, FOCAL_LENGTH, centre[1], 0.0, 0.0, 1.0]
    return CameraInfo(header=Header(frame_id=CAMERA), width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", k=k)


def main(arguments: list[str] | None = None) -> int:
    """Publish until asked to end."""
    lifetime = Lifetime()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = CameraReplay()
    begin, number = time.monotonic(), 0
    while not lifetime.ended:
        node.publish(number)
        number = max(number + 1, int((time.monotonic() - begin) * CAMERA_RATE))  # late ones are left out, as sensors do
        time.sleep(max(begin + number / CAMERA_RATE - time.monotonic(), 0.0))
    node.destroy_node()
    rclpy.try_shutdown()
    lifetime.restore()
    return 0


if __name__ == "__main__":
    sys.exit(main())
