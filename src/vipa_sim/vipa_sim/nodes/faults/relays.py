"""Relays between the cell's topics and everybody else's, in which streams are dropped, frozen, shifted and thinned.

The cell and the policy are started with their topics remapped below ``RAW``; a relay passes each message on as it came,
serialised, unless its gate says otherwise. Guarded by tests/graph/test_fault_relays.py.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_msgs.msg import TFMessage

from vipa_msgs.msg import ActionChunk
from vipa_policy.nodes.camera_messages import IMAGE_QOS
from vipa_policy.nodes.reception import stamp_of
from vipa_sim.faults.record import TrueTime
from vipa_sim.nodes.cell_publishers import CLOCK_QOS, STATE_QOS, TRANSFORM_QOS
from vipa_sim.nodes.target_input import TARGET_QOS

RAW = "raw"
CAMERA = "camera/camera"
COLOUR, DEPTH = f"{CAMERA}/color/image_raw", f"{CAMERA}/aligned_depth_to_color/image_raw"
INFOS = (f"{CAMERA}/color/camera_info", f"{CAMERA}/aligned_depth_to_color/camera_info")
CLOCK, TF, JOINTS, TARGET, CHUNK = "/clock", "/tf", "joint_states", "target_pose", "policy/chunk"
# The listener must keep what a busy machine brings in one go.
DEEP = 200
# XCDR1: four bytes of encapsulation, then the stamp of a header, or a clock's time.
STAMP = slice(4, 12)

Gate: TypeAlias = Callable[[bytes], "bytes | None"]
"""Gets a serialised message; returns what is passed on, None where nothing is."""

KINDS: dict[str, tuple[type, QoSProfile]] = {
    CLOCK: (Clock, CLOCK_QOS),
    TF: (TFMessage, TRANSFORM_QOS),
    JOINTS: (JointState, STATE_QOS),
    COLOUR: (Image, IMAGE_QOS),
    DEPTH: (Image, IMAGE_QOS),
    **dict.fromkeys(INFOS, (CameraInfo, IMAGE_QOS)),
    TARGET: (PoseStamped, TARGET_QOS),
    CHUNK: (ActionChunk, QoSProfile(depth=1)),
}
PICTURES = (COLOUR, DEPTH, *INFOS)
FROM_CELL = (CLOCK, TF, JOINTS, *PICTURES)


def raw(topic: str) -> str:
    """Return the name under which a topic's publisher is started (of the target: its subscriber)."""
    return f"/{RAW}{topic}" if topic.startswith("/") else f"{RAW}/{topic}"


def remappings(topics: Iterable[str]) -> list[str]:
    """Return the command line arguments that move a node's topics below ``RAW``."""
    return [word for topic in topics for word in ("-r", f"{topic}:={raw(topic)}")]


def pass_on(serialised: bytes) -> bytes:
    """Pass a message on as it came."""
    return serialised


def drop(serialised: bytes) -> None:
    """Pass nothing on."""


def shift_stamp(serialised: bytes, seconds: float) -> bytes:
    """Return a message whose first stamp is moved by some s."""
    order = "<" if serialised[1] & 1 else ">"
    whole, nanoseconds = struct.unpack(order + "iI", serialised[STAMP])
    moved = whole * 1_000_000_000 + nanoseconds + round(seconds * 1e9)
    whole, nanoseconds = divmod(max(moved, 0), 1_000_000_000)
    return serialised[: STAMP.start] + struct.pack(order + "iI", whole, nanoseconds) + serialised[STAMP.stop :]


def losing(share: float, generator: random.Random) -> Gate:
    """Return a gate that loses a share of all messages."""
    return lambda serialised: None if generator.random() < share else serialised


def shifting(child: str, by: tuple[float, float, float]) -> Gate:
    """Return a gate for TF that shifts one frame, and all that hangs on it, by (x, y, z) m of its parent's."""

    def gate(serialised: bytes) -> bytes:
        message = deserialize_message(serialised, TFMessage)
        for transform in message.transforms:
            if transform.child_frame_id == child:
                place = transform.transform.translation
                place.x, place.y, place.z = place.x + by[0], place.y + by[1], place.z + by[2]
        return bytes(serialize_message(message))

    return gate


def displacing(by: float) -> Gate:
    """Return a gate for poses that puts them ``by`` m aside, along y of their frame."""

    def gate(serialised: bytes) -> bytes:
        message = deserialize_message(serialised, PoseStamped)
        message.pose.position.y += by
        return bytes(serialize_message(message))

    return gate


class Relay:
    """One topic's relay.

    Attributes:
        gate: what is done to each message.
        watch: called with each message that comes, whatever the gate does.
        passed: number of messages passed on.
    """

    def __init__(self, node: Node, topic: str) -> None:
        kind, qos = KINDS[topic]
        # The arm publishes, and the cell listens below RAW; everything else comes from there.
        source, target = (topic, raw(topic)) if topic == TARGET else (raw(topic), topic)
        self.gate: Gate = pass_on
        self.watch: Callable[[bytes], None] = lambda serialised: None
        self.passed = 0
        self._last = b""
        self._publisher = node.create_publisher(kind, target, qos)
        listening = QoSProfile(depth=DEEP, reliability=qos.reliability)
        self._subscription = node.create_subscription(kind, source, self._take, listening, raw=True)

    def freeze(self) -> None:
        """Pass on what was passed on last again and again, with the stamps of what comes."""
        frozen = self._last

        def gate(serialised: bytes) -> bytes:
            return frozen[: STAMP.start] + serialised[STAMP] + frozen[STAMP.stop :] if frozen else serialised

        self.gate = gate

    def open(self) -> None:
        """Pass everything on as it comes."""
        self.gate = pass_on

    def _take(self, serialised: Any) -> None:
        self.watch(serialised)
        passed = self.gate(serialised)
        if passed is not None:
            self._last = passed
            self.passed += 1
            self._publisher.publish(passed)


class Relays:
    """All relays of a graph, and the true time."""

    def __init__(self, node: Node) -> None:
        self._relays = {topic: Relay(node, topic) for topic in KINDS}
        self.time = TrueTime()
        self[CLOCK].watch = self._keep_time

    def __getitem__(self, topic: str) -> Relay:
        """Return a topic's relay."""
        return self._relays[topic]

    @property
    def now(self) -> float:
        """s of simulated time, whatever is done to the clock."""
        return self.time.now

    def jump(self, seconds: float) -> None:
        """Let the clock be ahead of the truth by some s from now on."""
        self.time.jump(seconds)
        self[CLOCK].gate = (lambda serialised: shift_stamp(serialised, seconds)) if seconds else pass_on

    def open(self) -> None:
        """Pass everything on as it comes."""
        for relay in self._relays.values():
            relay.open()
        if self.time.offset:
            self.time.jump(0.0)

    def _keep_time(self, serialised: bytes) -> None:
        self.time.now = stamp_of(serialised)
