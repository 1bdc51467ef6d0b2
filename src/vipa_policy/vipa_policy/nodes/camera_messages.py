"""Pictures and calibrations as messages: the single place that fills images fast, and their quality of service.

Guarded by tests/graph/test_realsense_node.py and tests/graph/test_cell_node.py.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from vipa_policy.camera.optics import StreamCalibration

# Reliable, as realsense-ros publishes by default: subscribers of either reliability match.
IMAGE_QOS = QoSProfile(depth=5, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


class ImageMessage:
    """Images of one size and encoding, as one reused message."""

    def __init__(self, frame: str, encoding: str, width: int, height: int, bytes_per_pixel: int) -> None:
        """Hold images of ``frame`` (an optical frame), ``width`` x ``height`` pixels."""
        self.message = Image(
            header=Header(frame_id=frame),
            encoding=encoding,
            width=width,
            height=height,
            step=width * bytes_per_pixel,
            is_bigendian=0,
        )
        self._size = width * height * bytes_per_pixel

    def fill(self, pixels: NDArray[Any], stamp: Time) -> Image:
        """Return the message with these pixels. Raises ValueError where they are not of its size."""
        if pixels.nbytes != self._size:
            raise ValueError(f"expected an image of {self._size} bytes, got {pixels.nbytes} from {pixels.shape}")
        self.message.header.stamp = stamp
        # An array of bytes is handed over as a block; any other sequence would be converted value by value.
        self.message.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
        return self.message


def calibration_message(frame: str, calibration: StreamCalibration) -> CameraInfo:
    """Return the calibration of a camera whose images are in ``frame`` (an optical frame)."""
    return CameraInfo(
        header=Header(frame_id=frame),
        width=calibration.width,
        height=calibration.height,
        distortion_model=calibration.distortion_model,
        d=list(calibration.coefficients),
        k=calibration.matrix.ravel().tolist(),
        r=np.eye(3).ravel().tolist(),
        p=np.hstack([calibration.matrix, np.zeros((3, 1))]).ravel().tolist(),
    )
