"""The bytes of an MCAP file (mcap.dev/spec), written so that every chunk on disk is whole by itself.

The single place that knows record layouts. A general writer decides by size alone when a chunk is closed, so a quiet
camera would leave seconds of joint states in memory; here the caller closes chunks when it wants to.
Guarded by tests/unit/test_episode_mcap.py, with the ``mcap`` package and ``rosbags`` as referees.
"""

from __future__ import annotations

import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(0x01, 0x09)
STATISTICS, METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = 0x0B, 0x0C, 0x0D, 0x0E, 0x0F
RECORD_PREFIX = 9  # opcode and length
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_NO_TIME = 2**63 - 1


def text_field(text: str) -> bytes:
    """Return a string with its length before it."""
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def map_field(values: Mapping[str, str]) -> bytes:
    """Return a map of strings with its length in bytes before it."""
    data = b"".join(text_field(key) + text_field(value) for key, value in values.items())
    return struct.pack("<I", len(data)) + data


def record(opcode: int, body: bytes) -> bytes:
    """Return one record."""
    return struct.pack("<BQ", opcode, len(body)) + body


def file_start(library: str) -> bytes:
    """Return magic and header of a ROS 2 file."""
    return MAGIC + record(HEADER, text_field("ros2") + text_field(library))


def schema_record(schema_id: int, name: str, definition: str) -> bytes:
    """Return the record of a message type defined in "ros2msg" text."""
    return record(
        SCHEMA, struct.pack("<H", schema_id) + text_field(name) + text_field("ros2msg") + text_field(definition)
    )


def channel_record(channel_id: int, schema_id: int, topic: str, metadata: Mapping[str, str]) -> bytes:
    """Return the record of a topic whose messages are CDR."""
    return record(
        CHANNEL,
        struct.pack("<HH", channel_id, schema_id) + text_field(topic) + text_field("cdr") + map_field(metadata),
    )


@dataclass
class Chunk:
    """An uncompressed chunk in memory: records one after another, and where the messages of each channel lie."""

    records: bytearray = field(default_factory=bytearray)
    index: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    start: int = _NO_TIME
    end: int = 0

    def add_record(self, data: bytes) -> None:
        """Append a schema or channel record."""
        self.records += data

    def add_message(
        self, channel_id: int, sequence: int, log_time: int, publish_time: int, data: bytes | memoryview
    ) -> None:
        """Append a message; times in ns."""
        self.index[channel_id].append((log_time, len(self.records)))
        self.records += struct.pack("<BQ", MESSAGE, _MESSAGE_HEAD.size + len(data))
        self.records += _MESSAGE_HEAD.pack(channel_id, sequence, log_time, publish_time)
        self.records += data
        self.start = min(self.start, log_time)
        self.end = max(self.end, log_time)

    def encode(self) -> tuple[bytes, list[tuple[int, bytes]]]:
        """Return the chunk record and, per channel, its message index record."""
        start = self.start if self.index else 0
        body = _CHUNK_HEAD.pack(start, self.end, len(self.records), zlib.crc32(self.records)) + text_field("")
        body += struct.pack("<Q", len(self.records))
        chunk = struct.pack("<BQ", CHUNK, len(body) + len(self.records)) + body + self.records
        indexes = []
        for channel_id, entries in self.index.items():
            flat = struct.pack(f"<{2 * len(entries)}Q", *(value for entry in entries for value in entry))
            indexes.append((channel_id, record(MESSAGE_INDEX, struct.pack("<HI", channel_id, len(flat)) + flat)))
        return bytes(chunk), indexes


@dataclass
class FileIndex:
    """What the end of a file says about its chunks. Filled while writing, or again while recovering."""

    schemas: dict[int, bytes] = field(default_factory=dict)
    channels: dict[int, bytes] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    chunks: list[bytes] = field(default_factory=list)
    start: int = _NO_TIME
    end: int = 0

    @property
    def message_count(self) -> int:
        """Messages in all chunks."""
        return sum(self.counts.values())

    def add_chunk(self, chunk: Chunk, offset: int, chunk_size: int, index_sizes: list[tuple[int, int]]) -> None:
        """Note a chunk that lies in the file at ``offset`` with its message indexes (channel, size) behind it."""
        positions, position = b"", offset + chunk_size
        for channel_id, size in index_sizes:
            positions += struct.pack("<HQ", channel_id, position)
            position += size
        body = struct.pack("<QQQQ", chunk.start if chunk.index else 0, chunk.end, offset, chunk_size)
        body += struct.pack("<I", len(positions)) + positions
        body += struct.pack("<Q", position - offset - chunk_size) + text_field("")
        body += struct.pack("<QQ", len(chunk.records), len(chunk.records))
        self.chunks.append(record(CHUNK_INDEX, body))
        for channel_id, entries in chunk.index.items():
            self.counts[channel_id] += len(entries)
        self.start, self.end = min(self.start, chunk.start), max(self.end, chunk.end)

    def file_end(self, offset: int, name: str, metadata: Mapping[str, str]) -> bytes:
        """Return all that follows the last chunk, which ends at ``offset``: a metadata record, summary and footer."""
        metadata_record = record(METADATA, text_field(name) + map_field(metadata))
        head = metadata_record + record(DATA_END, struct.pack("<I", 0))
        summary_start = offset + len(head)
        groups = [
            (SCHEMA, b"".join(self.schemas.values())),
            (CHANNEL, b"".join(self.channels.values())),
            (STATISTICS, record(STATISTICS, self._statistics())),
            (CHUNK_INDEX, b"".join(self.chunks)),
            (
                METADATA_INDEX,
                record(METADATA_INDEX, struct.pack("<QQ", offset, len(metadata_record)) + text_field(name)),
            ),
        ]
        summary, offsets = b"", b""
        for opcode, data in groups:
            if data:
                place = struct.pack("<BQQ", opcode, summary_start + len(summary), len(data))
                offsets += record(SUMMARY_OFFSET, place)
                summary += data
        footer = struct.pack("<BQQQ", FOOTER, 20, summary_start, summary_start + len(summary))
        checksum = zlib.crc32(summary + offsets + footer)
        return head + summary + offsets + footer + struct.pack("<I", checksum) + MAGIC

    def _statistics(self) -> bytes:
        counts = b"".join(struct.pack("<HQ", channel, self.counts[channel]) for channel in sorted(self.channels))
        start = self.start if self.message_count else 0
        return (
            struct.pack("<QHIII", self.message_count, len(self.schemas), len(self.channels), 0, 1)
            + struct.pack("<IQQ", len(self.chunks), start, self.end)
            + struct.pack("<I", len(counts))
            + counts
        )


@dataclass(frozen=True)
class Record:
    """A record found in a buffer; ``complete`` is False where the buffer ends inside it."""

    opcode: int
    offset: int
    body: memoryview
    complete: bool

    @property
    def end(self) -> int:
        """Offset of what follows."""
        return self.offset + RECORD_PREFIX + len(self.body)


def records_in(buffer: memoryview, offset: int = 0) -> Iterator[Record]:
    """Yield records from ``offset`` on; one that the buffer cuts short is the last. Stops at bytes that are none."""
    while offset + RECORD_PREFIX <= len(buffer):
        opcode, length = struct.unpack_from("<BQ", buffer, offset)
        if opcode == 0 or opcode > DATA_END:
            return
        body = buffer[offset + RECORD_PREFIX : offset + RECORD_PREFIX + length]
        complete = len(body) == length
        yield Record(opcode, offset, body, complete)
        if not complete:
            return
        offset += RECORD_PREFIX + length


@dataclass(frozen=True)
class ChunkView:
    """The parsed head of a chunk record and the bytes of its records, as far as the file holds them."""

    size: int
    checksum: int
    compression: str
    records: memoryview

    @property
    def whole(self) -> bool:
        """Whether all of its records are there and, where it says one, their checksum is right."""
        return len(self.records) == self.size and self.checksum in (0, zlib.crc32(self.records))


def parse_chunk(body: memoryview) -> ChunkView | None:
    """Return what a chunk record holds, or None where not even its head is there."""
    if len(body) < _CHUNK_HEAD.size + 4:
        return None
    _start, _end, size, checksum = _CHUNK_HEAD.unpack_from(body)
    compression, offset = parse_text(body, _CHUNK_HEAD.size)
    if len(body) < offset + 8:
        return None
    (stored,) = struct.unpack_from("<Q", body, offset)
    return ChunkView(size, checksum, compression, body[offset + 8 : offset + 8 + stored])


def parse_text(body: memoryview, offset: int) -> tuple[str, int]:
    """Return a string at an offset and the offset behind it."""
    (length,) = struct.unpack_from("<I", body, offset)
    return bytes(body[offset + 4 : offset + 4 + length]).decode(errors="replace"), offset + 4 + length


def parse_schema(body: memoryview) -> tuple[int, str, str, str]:
    """Return id, name, encoding and definition of a schema record."""
    (schema_id,) = struct.unpack_from("<H", body)
    name, offset = parse_text(body, 2)
    encoding, offset = parse_text(body, offset)
    definition, _ = parse_text(body, offset)
    return schema_id, name, encoding, definition


def parse_channel(body: memoryview) -> tuple[int, int, str, str, dict[str, str]]:
    """Return channel id, schema id, topic, message encoding and metadata of a channel record."""
    channel_id, schema_id = struct.unpack_from("<HH", body)
    topic, offset = parse_text(body, 4)
    encoding, offset = parse_text(body, offset)
    (length,) = struct.unpack_from("<I", body, offset)
    offset, end, metadata = offset + 4, offset + 4 + length, {}
    while offset < end:
        key, offset = parse_text(body, offset)
        metadata[key], offset = parse_text(body, offset)
    return channel_id, schema_id, topic, encoding, metadata


def parse_message(body: memoryview) -> tuple[int, int, int, int, memoryview]:
    """Return channel id, sequence, log time, publish time (ns) and the data of a message record."""
    channel_id, sequence, log_time, publish_time = _MESSAGE_HEAD.unpack_from(body)
    return channel_id, sequence, log_time, publish_time, body[_MESSAGE_HEAD.size :]
