"""Cheap reception: messages stay serialised until somebody needs them; only their stamp is read.

At 200 Hz of joint states and full images, deserialising everything would cost more than the policy's own work.
Guarded by tests/graph/test_policy_node.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vipa_policy.errors import ObservationError

# Best effort matches publishers of either reliability.
SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


def stamp_of(serialised: bytes) -> float:
    """Return the stamp in s of a serialised message that begins with a std_msgs/Header.

    XCDR1: four bytes of encapsulation, the second of which tells the byte order, then int32 s and uint32 ns.
    """
    order = "<" if serialised[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", serialised, 4)
    return float(seconds) + nanoseconds * 1e-9


class _Layout(NamedTuple):
    """Where the pixels of a serialised sensor_msgs/Image are."""

    height: int
    width: int
    step: int
    begin: int
    size: int


def pixels_of(serialised: bytes) -> NDArray[Any] | None:
    """Return the pixels of a serialised sensor_msgs/Image, not copied; None where it holds none.

    One row a row of the picture, of whole numbers as wide as a pixel where these are 2 or 4 bytes, else of bytes: good
    for comparing pictures, not for looking at them.
    """
    layout = _layout(serialised)
    if layout is None or layout.size == 0 or layout.size != layout.height * layout.step:
        return None
    rows = np.frombuffer(serialised, np.uint8, layout.size, layout.begin).reshape(layout.height, layout.step)
    wide = {2: np.uint16, 4: np.uint32}.get(
        layout.step // layout.width if layout.width and layout.step % layout.width == 0 else 1
    )
    return rows if wide is None else rows.view(wide)


@dataclass(frozen=True)
class Picture:
    """A sensor_msgs/Image whose pixels are still where they were received; fields as there, and cv_bridge takes it."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def picture_from(serialised: bytes) -> Picture:
    """Return the picture of a serialised sensor_msgs/Image, its pixels not copied.

    rclpy copies them three times, which for colour and depth of one instant costs a millisecond and more.
    """
    layout = _layout(serialised)
    if layout is None:
        raise ObservationError(
            f"expected a whole sensor_msgs/Image, got {len(serialised)} bytes that end before its pixels do; "
            "does its publisher send another type on this topic?"
        )
    # The same message without its pixels, four bytes that say how many there are being the last.
    image = deserialize_message(bytes(serialised[: layout.begin - 4]) + bytes(4), Image)
    data = memoryview(serialised)[layout.begin : layout.begin + layout.size]
    return Picture(image.header, image.height, image.width, image.encoding, image.is_bigendian, image.step, data)


def _layout(serialised: bytes) -> _Layout | None:
    """Return where the pixels are, None where the message ends before them or in them.

    As for ``stamp_of``: header, height and width, encoding, endianness, bytes a row, pixels; whole numbers begin at
    multiples of four bytes, texts are counted with their closing zero.
    """
    order = "<" if serialised[1] & 1 else ">"

    def number(place: int) -> tuple[int, int]:
        place = 4 + (place - 4 + 3) // 4 * 4
        return struct.unpack_from(order + "I", serialised, place)[0], place + 4

    try:
        length, place = number(12)
        height, place = number(place + length)
        width, place = number(place)
        length, place = number(place)
        step, place = number(place + length + 1)
        size, place = number(place)
    except struct.error:
        return None
    return _Layout(height, width, step, place, size) if place + size <= len(serialised) else None


def subscribe(node: Node, kind: type, topic: str, receive: Callable[[float, bytes], None]) -> Subscription:
    """Subscribe to a stamped message; ``receive`` gets its stamp in s and its serialised form."""

    def callback(serialised: Any) -> None:
        receive(stamp_of(serialised), serialised)

    return node.create_subscription(kind, topic, callback, SENSOR_QOS, raw=True)
