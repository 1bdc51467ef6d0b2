"""Reading an episode: its description and its messages in the order they arrived, whole or cut short by a kill."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vipa_policy.episode import mcap_file
from vipa_policy.episode.info import EpisodeInfo
from vipa_policy.errors import DatasetError


@dataclass(frozen=True)
class RecordedTopic:
    """A topic as the file describes it: type name, definition text and encoding of that text ("ros2msg")."""

    name: str
    type: str
    definition: str
    encoding: str
    metadata: dict[str, str]


@dataclass(frozen=True)
class RecordedMessage:
    """One message: its topic, arrival on the recorder's ROS clock (ns), and the serialised bytes."""

    topic: RecordedTopic
    stamp_ns: int
    data: memoryview


@dataclass
class ScannedChunk:
    """A chunk that is whole in the file, or (``torn``) the messages of one that the end of the file cuts."""

    offset: int
    size: int
    records: memoryview
    torn: bool
    index_channels: list[tuple[int, int]] = field(default_factory=list)  # channel and size of message index records
    end: int = 0


@dataclass
class Scan:
    """What lies in a file: its chunks in order, and whether it ends with a footer."""

    chunks: list[ScannedChunk]
    finished: bool
    start: int  # offset behind the header


def scan(buffer: memoryview, where: str) -> Scan:
    """Find all chunks of a file, stopping at what a kill or a power loss left half-written.

    Raises DatasetError on a file that is no MCAP, holds compressed chunks, or is damaged before good data.
    """
    head = bytes(buffer[: len(mcap_file.MAGIC)])
    if head != mcap_file.MAGIC[: len(head)]:
        raise DatasetError(f"{where} is not an MCAP file: it begins with {head!r}, expected {mcap_file.MAGIC!r}")
    result = Scan([], finished=False, start=0)
    damaged = -1
    for item in mcap_file.records_in(buffer, len(mcap_file.MAGIC)):
        if item.opcode == mcap_file.HEADER and item.complete:
            result.start = item.end
        elif item.opcode == mcap_file.CHUNK:
            chunk = mcap_file.parse_chunk(item.body)
            if chunk is None:
                break
            if chunk.compression and not item.complete:
                break  # what a power loss left behind the last chunk can look like anything
            if chunk.compression:
                raise DatasetError(
                    f"{where} holds chunks compressed with {chunk.compression}; the recorder writes none. "
                    "Convert it: ros2 bag convert, with compression_mode none"
                )
            if item.complete and not chunk.whole:
                damaged = item.offset
                continue
            if damaged >= 0:
                raise DatasetError(
                    f"{where} is damaged at byte {damaged}, before good data: this is no trace of a kill. "
                    "Restore it from a copy, or salvage the rest with: mcap recover"
                )
            found = ScannedChunk(item.offset, item.end - item.offset, chunk.records, torn=not item.complete)
            found.end = item.end
            result.chunks.append(found)
        elif item.opcode == mcap_file.MESSAGE_INDEX and item.complete and result.chunks and damaged < 0:
            channel_id = int.from_bytes(item.body[:2], "little")
            result.chunks[-1].index_channels.append((channel_id, item.end - item.offset))
            result.chunks[-1].end = item.end
        elif item.opcode == mcap_file.FOOTER:
            result.finished = bytes(buffer[item.end :]) == mcap_file.MAGIC
        elif item.opcode == mcap_file.MESSAGE:
            raise DatasetError(f"{where} holds messages outside chunks; expected a file of the VIPA recorder")
    return result


def whole_records(chunk: ScannedChunk) -> Iterator[mcap_file.Record]:
    """Yield the complete records of a chunk."""
    return (item for item in mcap_file.records_in(chunk.records) if item.complete)


def storage_file(folder: Path) -> Path:
    """Return the one MCAP file of an episode folder. Raises DatasetError where there is none, or several."""
    files = sorted(folder.glob("*.mcap"))
    if len(files) != 1:
        raise DatasetError(
            f"expected one .mcap file in the episode {folder}, found {len(files)}; give the folder of one episode"
        )
    return files[0]


class EpisodeReader:
    """An episode opened for reading. Use as a context manager; messages point into the file while it is open.

    An episode whose recorder was killed is completed first (``recover``); where the folder cannot be written it is
    read as it is, which yields the same messages. Raises DatasetError on a folder that is no episode.
    """

    def __init__(self, folder: Path | str) -> None:
        from vipa_policy.episode.recover import recover

        self.folder = Path(folder)
        self.info = EpisodeInfo.load(self.folder)
        self._path = storage_file(self.folder)
        report = recover(self.folder, only_if_writable=True)
        if report.changed:
            self.info = EpisodeInfo.load(self.folder)
        self._stream = self._path.open("rb")
        # An empty file cannot be mapped.
        size = self._path.stat().st_size
        self._map = mmap.mmap(self._stream.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        self._buffer = memoryview(self._map) if self._map is not None else memoryview(b"")
        self._scan = scan(self._buffer, str(self._path))

    @property
    def complete(self) -> bool:
        """Whether the file ends as it should, by itself or after recovery."""
        return self._scan.finished

    def messages(self) -> Iterator[RecordedMessage]:
        """Yield all messages in the order they arrived."""
        schemas: dict[int, tuple[str, str, str]] = {}
        topics: dict[int, RecordedTopic] = {}
        for chunk in self._scan.chunks:
            for item in whole_records(chunk):
                if item.opcode == mcap_file.SCHEMA:
                    schema_id, name, encoding, definition = mcap_file.parse_schema(item.body)
                    schemas[schema_id] = (name, encoding, definition)
                elif item.opcode == mcap_file.CHANNEL:
                    channel_id, schema_id, topic, _, metadata = mcap_file.parse_channel(item.body)
                    name, encoding, definition = schemas[schema_id]
                    topics[channel_id] = RecordedTopic(topic, name, definition, encoding, metadata)
                elif item.opcode == mcap_file.MESSAGE:
                    channel_id, _, log_time, _, data = mcap_file.parse_message(item.body)
                    yield RecordedMessage(topics[channel_id], log_time, data)

    def close(self) -> None:
        """Close the file; messages that still point into it keep it mapped."""
        self._scan.chunks.clear()
        self._buffer.release()
        if self._map is not None:
            try:
                self._map.close()
            except BufferError:
                # Views handed out are still alive; the mapping goes with the last of them.
                self._map = None
        self._stream.close()

    def __enter__(self) -> EpisodeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
