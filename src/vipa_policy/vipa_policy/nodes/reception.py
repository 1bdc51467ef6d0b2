"""Cheap reception: messages stay serialised until somebody needs them; only their stamp is read.

At 200 Hz of joint states and full images, deserialising everything would cost more than the policy's own work.
Guarded by tests/graph/test_policy_node.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

# Best effort matches publishers of either reliability.
SENSOR_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


def stamp_of(serialised: bytes) -> float:
    """Return the stamp in s of a serialised message that begins with a std_msgs/Header.

    XCDR1: four bytes of encapsulation, the second of which tells the byte order, then int32 s and uint32 ns.
    """
    order = "<" if serialised[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", serialised, 4)
    return float(seconds) + nanoseconds * 1e-9


def subscribe(node: Node, kind: type, topic: str, receive: Callable[[float, bytes], None]) -> Subscription:
    """Subscribe to a stamped message; ``receive`` gets its stamp in s and its serialised form."""

    def callback(serialised: Any) -> None:
        receive(stamp_of(serialised), serialised)

    return node.create_subscription(kind, topic, callback, SENSOR_QOS, raw=True)
