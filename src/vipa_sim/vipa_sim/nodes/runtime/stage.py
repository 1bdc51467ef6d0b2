"""Names, poses and rates that the processes of `make bench-runtime` agree on.

Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.serialization import serialize_message
from scipy.spatial.transform import Rotation
from tf2_msgs.msg import TFMessage

from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import stamp_from_nanoseconds, transform_stamped

WIDTH, HEIGHT = 640, 480
CAMERA_RATE, DRIVER_RATE = 30.0, 200.0  # Hz
BASE, TIP, CAMERA = "fr3_link0", "fr3_hand_tcp", "camera_color_optical_frame"
MOVING_CAMERA = "moving_camera_color_optical_frame"
FINGERS = ("fr3_finger_joint1", "fr3_finger_joint2")
WORDS = "reach the red block"

START = np.eye(4)
START[:3, :3] = Rotation.from_euler("x", np.pi).as_matrix()
START[:3, 3] = (0.45, 0.0, 0.3)
BASE_FROM_CAMERA = np.eye(4)
BASE_FROM_CAMERA[:3, :3] = Rotation.from_euler("xz", [-2.2, np.pi / 2]).as_matrix()
BASE_FROM_CAMERA[:3, 3] = (1.1, 0.0, 0.55)

# Places of the values that change are found by values that nothing else has.
_MARK = stamp_from_nanoseconds(1_234_567_890_123_456_789)
_MARKED = struct.pack("<iI", _MARK.sec, _MARK.nanosec)
_POSE = struct.Struct("<7d")
_STAMP = struct.Struct("<iI")


class SerialisedTransforms:
    """A TFMessage of several frames, serialised once; stamps, and the pose of the first, are written into it."""

    def __init__(self, frames: Sequence[tuple[str, str, Array]]) -> None:
        """Take (parent, child, (4, 4) parent_from_child) of every frame."""
        transforms: list[TransformStamped] = [
            transform_stamped(matrix, parent, child, _MARK) for parent, child, matrix in frames
        ]
        data = bytes(serialize_message(TFMessage(transforms=transforms)))
        self._data = bytearray(data)
        self._stamps = places_of(data, _MARKED)
        motion = transforms[0].transform
        translation, rotation = motion.translation, motion.rotation
        pose = (translation.x, translation.y, translation.z, rotation.x, rotation.y, rotation.z, rotation.w)
        self._pose = places_of(data, _POSE.pack(*pose))[0]
        if len(self._stamps) != len(frames):
            raise ValueError(f"expected {len(frames)} stamps in the serialised message, found {len(self._stamps)}")

    def at(self, nanoseconds: int, pose: Sequence[float]) -> bytes:
        """Return the message with this stamp, the first frame at x, y, z and quaternion x, y, z, w."""
        stamp = divmod(nanoseconds, 1_000_000_000)
        for place in self._stamps:
            _STAMP.pack_into(self._data, place, *stamp)
        _POSE.pack_into(self._data, self._pose, *pose)
        return bytes(self._data)


def stamped(data: bytearray, nanoseconds: int) -> bytes:
    """Return a serialised message that begins with a header, with this stamp."""
    _STAMP.pack_into(data, 4, *divmod(nanoseconds, 1_000_000_000))
    return bytes(data)


def places_of(data: bytes, part: bytes) -> list[int]:
    """Return where a part occurs."""
    places, place = [], data.find(part)
    while place >= 0:
        places.append(place)
        place = data.find(part, place + len(part))
    return places
