"""What the processes of a Franka arm say to each other: packets of one socket, each checked as a whole.

A packet is a header (mark, version, kind, length, checksum) and its body. Whatever does not fit raises FrameError and
changes nothing: garbage never moves the arm. Guarded by tests/unit/test_franka_frames.py.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import zlib
from typing import Any, TypeAlias

from vipa_policy.errors import VipaError
from vipa_policy.franka.follower import Target

MARK = b"VIPA"
VERSION = 1
LARGEST = 32768  # bytes of a packet

_HEADER = struct.Struct("<4sBBHI")
_TARGET = struct.Struct("<IQd7d")
_STATE = struct.Struct("<dBBBIdd7d7d7d6dQQd")
_ORDER = struct.Struct("<IB5d")
_HAND = struct.Struct("<dddB")


class FrameError(VipaError):
    """A packet between the processes of an arm that is none."""


@dataclasses.dataclass(frozen=True)
class ArmState:
    """What the arm's process measured.

    Attributes:
        stamp: s of the monotonic clock at reading.
        readiness: of DriverStatus: 0 ready, 1 fault, 2 unavailable.
        motion: ``Motion``.
        controlled: whether commands are sent to the arm.
        epoch: that targets must name.
        age: s since the last accepted target was made; infinite where there was none.
        success_rate: of commands over the last 100 periods, 0 to 1, as the arm tells it.
        joints, velocities, commanded: (7,) rad, rad/s, rad.
        wrench: (6,) N and Nm, external, on and in the stiffness frame K.
        missed: periods of the arm without a command, since the process began.
        refused: targets refused, since the process began.
        longest: s, most that one command took to make since the last state.
    """

    stamp: float
    readiness: int
    motion: int
    controlled: int
    epoch: int
    age: float
    success_rate: float
    joints: tuple[float, ...]
    velocities: tuple[float, ...]
    commanded: tuple[float, ...]
    wrench: tuple[float, ...]
    missed: int
    refused: int
    longest: float


@dataclasses.dataclass(frozen=True)
class Note:
    """Something to be told, or asked for: a kind of note and values that JSON carries."""

    kind: str
    values: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class HandOrder:
    """An order for the hand.

    Attributes:
        number: by which its end is told.
        grasp: whether to grasp or to move.
        width: m between the fingers.
        speed: m/s.
        force: N, of a grasp.
        inner, outer: m that what is grasped may be narrower or wider than ``width``.
    """

    number: int
    grasp: bool
    width: float
    speed: float
    force: float
    inner: float
    outer: float


@dataclasses.dataclass(frozen=True)
class HandState:
    """What the hand measured: monotonic stamp (s), width and largest width (m), whether it holds something."""

    stamp: float
    width: float
    maximum: float
    grasped: bool


Frame: TypeAlias = Target | ArmState | Note | HandOrder | HandState
_KINDS: dict[type, int] = {Target: 1, ArmState: 2, Note: 3, HandOrder: 4, HandState: 5}


def pack(frame: Frame) -> bytes:
    """Return the packet of a frame."""
    body = _body(frame)
    return _HEADER.pack(MARK, VERSION, _KINDS[type(frame)], len(body), zlib.crc32(body)) + body


def unpack(packet: bytes) -> Frame:
    """Return the frame of a packet. Raises FrameError where it is none."""
    if len(packet) < _HEADER.size:
        raise FrameError(f"expected a packet of {_HEADER.size} bytes or more, got {len(packet)}")
    mark, version, kind, length, check = _HEADER.unpack_from(packet)
    body = packet[_HEADER.size :]
    if mark != MARK or version != VERSION:
        raise FrameError(f"expected packets of version {VERSION}, got {mark!r} {version}; are both sides of one build?")
    if length != len(body) or zlib.crc32(body) != check:
        raise FrameError(f"expected a body of {length} bytes with its checksum, got {len(body)} bytes")
    try:
        return _frame(kind, body)
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FrameError(f"expected a body of kind {kind}, got one that is none: {error}") from error


def _body(frame: Frame) -> bytes:
    match frame:
        case Target():
            return _TARGET.pack(frame.epoch, frame.sequence, frame.stamp, *frame.joints)
        case ArmState():
            return _STATE.pack(
                frame.stamp,
                frame.readiness,
                frame.motion,
                frame.controlled,
                frame.epoch,
                frame.age,
                frame.success_rate,
                *frame.joints,
                *frame.velocities,
                *frame.commanded,
                *frame.wrench,
                frame.missed,
                frame.refused,
                frame.longest,
            )
        case Note():
            return json.dumps({"kind": frame.kind, "values": frame.values}).encode()
        case HandOrder():
            return _ORDER.pack(
                frame.number, frame.grasp, frame.width, frame.speed, frame.force, frame.inner, frame.outer
            )
        case HandState():
            return _HAND.pack(frame.stamp, frame.width, frame.maximum, frame.grasped)


def _frame(kind: int, body: bytes) -> Frame:
    if kind == _KINDS[Target]:
        epoch, sequence, stamp, *joints = _TARGET.unpack(body)
        _finite(stamp, *joints)
        return Target(epoch, sequence, stamp, tuple(joints))
    if kind == _KINDS[ArmState]:
        values = _STATE.unpack(body)
        _finite(values[0], values[6], *values[7:34], values[36])
        arrays = values[7:14], values[14:21], values[21:28], values[28:34]
        return ArmState(*(*values[:7], *arrays, *values[34:]))
    if kind == _KINDS[HandOrder]:
        number, grasp, *numbers = _ORDER.unpack(body)
        _finite(*numbers)
        return HandOrder(number, bool(grasp), *numbers)
    if kind == _KINDS[HandState]:
        stamp, width, maximum, grasped = _HAND.unpack(body)
        _finite(stamp, width, maximum)
        return HandState(stamp, width, maximum, bool(grasped))
    if kind == _KINDS[Note]:
        read = json.loads(body)
        if not (isinstance(read, dict) and isinstance(read["kind"], str) and isinstance(read["values"], dict)):
            raise ValueError("a note is a kind and values")
        return Note(read["kind"], read["values"])
    raise ValueError("there is no such kind")


def _finite(*values: float) -> None:
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"expected finite numbers, got {values}")
