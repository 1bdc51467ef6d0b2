"""Deserialised messages of a recording to numpy: the offline twin of vipa_policy.nodes.conversions, without ROS.

Guarded by tests/graph/test_live_and_export_agree.py, which puts the same messages through both.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vipa_policy.episode.reader import RecordedMessage, RecordedTopic
from vipa_policy.errors import DatasetError, ObservationError
from vipa_policy.geometry import Array

FINGER_JOINTS = ("finger_joint1", "finger_joint2")  # what the names of the two end with, whatever stands before it
_COLOUR_CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0), "mono8": (0, 0, 0)}
_CHANNEL_COUNT = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}


class Deserialiser:
    """Reads CDR by the definitions that stand in the recording itself, so that no message package is needed."""

    def __init__(self) -> None:
        self._store = get_typestore(Stores.EMPTY)
        self._known: set[str] = set()

    def __call__(self, message: RecordedMessage) -> Any:
        """Return a message as an object with its fields. Raises DatasetError on bytes that do not fit its type."""
        topic = message.topic
        if topic.type not in self._known:
            self._learn(topic)
        try:
            return self._store.deserialize_cdr(bytes(message.data), topic.type)
        except (SerdeError, AssertionError, IndexError, ValueError, struct.error) as error:
            raise DatasetError(f"a message on {topic.name} is no {topic.type}: {error}") from error

    def _learn(self, topic: RecordedTopic) -> None:
        if topic.encoding != "ros2msg":
            raise DatasetError(
                f"the definition of {topic.type} is written in {topic.encoding!r}; expected 'ros2msg', as the recorder "
                "writes it"
            )
        types = get_types_from_msg(topic.definition, topic.type)
        self._store.register({name: fields for name, fields in types.items() if name not in self._store.fielddefs})
        self._known.add(topic.type)


def header_stamp(data: memoryview) -> int:
    """Return the stamp in ns of a serialised message that begins with a header, without reading the rest."""
    order = "<" if data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def stamp_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time in ns."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def vector(value: Any) -> tuple[float, float, float]:
    """Return the x, y, z of a point or vector."""
    return (value.x, value.y, value.z)


def quaternion(value: Any) -> tuple[float, float, float, float]:
    """Return the x, y, z, w of a quaternion."""
    return (value.x, value.y, value.z, value.w)


def gripper_width(names: Sequence[str], positions: Sequence[float]) -> float | None:
    """Return the opening in m, the sum of both finger joints, or None where they are not both there or not finite."""
    fingers = [
        float(positions[row])
        for ending in FINGER_JOINTS
        for row, name in enumerate(names)
        if name.endswith(ending) and row < len(positions)
    ]
    return sum(fingers) if len(fingers) == 2 and np.all(np.isfinite(fingers)) else None


def rgb_from_image(image: Any) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8. Raises ObservationError on another encoding or too little data."""
    if image.encoding not in _COLOUR_CHANNELS:
        raise ObservationError(f"expected one of {sorted(_COLOUR_CHANNELS)}, got a picture in {image.encoding!r}")
    channels = _CHANNEL_COUNT[image.encoding]
    pixels = _pixels(image, np.dtype(np.uint8), channels)
    return np.ascontiguousarray(pixels[..., _COLOUR_CHANNELS[image.encoding]])


def depth_from_image(image: Any) -> NDArray[np.float32]:
    """Return (height, width) float32 m; 0 or NaN where nothing was seen. Raises ObservationError as above."""
    if image.encoding in ("16UC1", "mono16"):
        order = ">" if image.is_bigendian else "<"
        return _pixels(image, np.dtype(f"{order}u2"), 1)[..., 0].astype(np.float32) * np.float32(1e-3)
    if image.encoding == "32FC1":
        order = ">" if image.is_bigendian else "<"
        depth = _pixels(image, np.dtype(f"{order}f4"), 1)[..., 0].astype(np.float32)
        depth[~(np.isfinite(depth) & (depth >= 0.0))] = np.nan
        return depth
    raise ObservationError(f"expected a depth image of 16UC1 in mm or 32FC1 in m, got {image.encoding!r}")


def intrinsics_from_camera_info(info: Any, width: int, height: int) -> Array:
    """Return the (3, 3) pinhole matrix of a picture of this size. Raises ObservationError where it is none for it."""
    if (info.width, info.height) != (width, height):
        raise ObservationError(
            f"expected CameraInfo for {width} x {height} pixels, got one for {info.width} x {info.height}"
        )
    matrix = np.array(info.k, dtype=float).reshape(3, 3)
    if not np.all(np.isfinite(matrix)) or min(matrix[0, 0], matrix[1, 1]) <= 0.0 or list(matrix[2]) != [0.0, 0.0, 1.0]:
        raise ObservationError(f"expected a pinhole matrix in CameraInfo, got k = {matrix.ravel().tolist()}")
    return matrix


def _pixels(image: Any, kind: np.dtype[Any], channels: int) -> NDArray[Any]:
    row = image.width * channels * kind.itemsize
    data = np.frombuffer(image.data, dtype=np.uint8)
    if image.step < row or len(data) < image.step * image.height or not image.height or not image.width:
        raise ObservationError(
            f"expected {image.height} rows of {row} bytes for a {image.encoding} picture, got step {image.step} and "
            f"{len(data)} bytes in all"
        )
    rows = data[: image.step * image.height].reshape(image.height, image.step)[:, :row]
    return np.ascontiguousarray(rows).view(kind).reshape(image.height, image.width, channels)
