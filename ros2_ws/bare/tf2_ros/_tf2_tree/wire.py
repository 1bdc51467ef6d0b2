"""Transforms read straight from a serialised tf2_msgs/TFMessage.

A listener takes all transforms of a robot at hundreds of hertz; turning each into message objects first costs several
times as much as everything else it does with them. The encoding is plain CDR: four bytes that name the byte order,
then the fields, each aligned to its size counted from there.
"""

from __future__ import annotations

import struct

from _tf2_tree.rigid import Pose

Entry = tuple[str, str, int, Pose]  # parent, child, stamp in ns, pose of the child in the parent

_HEADER = 4
_CODECS = {
    order: (struct.Struct(order + "I"), struct.Struct(order + "iII"), struct.Struct(order + "7d")) for order in "<>"
}


def transforms_of(data: bytes) -> list[Entry]:
    """Return the transforms of a serialised TFMessage. Raises ValueError where it is cut short or is none."""
    if len(data) < 2 * _HEADER or data[0] != 0 or data[1] not in (0, 1):
        raise ValueError(f"expected a TFMessage in CDR, got {len(data)} bytes that begin with {data[:4].hex()}")
    number, stamp, motion = _CODECS["<" if data[1] else ">"]
    entries = []
    try:
        (count,) = number.unpack_from(data, _HEADER)
        position = 2 * _HEADER
        for _ in range(count):
            seconds, nanoseconds, length = stamp.unpack_from(data, position)
            position += 12
            parent = data[position : position + length - 1].decode()
            position += length
            position += -position & 3
            (length,) = number.unpack_from(data, position)
            position += 4
            child = data[position : position + length - 1].decode()
            position += length
            position = _HEADER + ((position - _HEADER + 7) & ~7)
            entries.append((parent, child, seconds * 1_000_000_000 + nanoseconds, motion.unpack_from(data, position)))
            position += 56
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"expected a whole TFMessage, got {len(data)} bytes: {error}") from error
    return entries
