"""Completing the episode of a recorder that was killed: ``python -m vipa_policy.episode.recover FOLDER...``.

The chunks that are whole stay as they are; messages of a half-written last chunk are written again as a whole one, and
the index goes behind them. A recovery that is itself killed can be repeated. Nothing happens to a whole episode.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import mmap
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vipa_policy.episode import bag_metadata, mcap_file
from vipa_policy.episode.info import EpisodeInfo, Outcome
from vipa_policy.episode.reader import Scan, ScannedChunk, scan, storage_file, whole_records
from vipa_policy.episode.topics import TopicDescription, qos_from_yaml
from vipa_policy.episode.writer import LIBRARY
from vipa_policy.errors import DatasetError


@dataclass(frozen=True)
class Report:
    """What ``recover`` found and did: whether it wrote, messages in the episode, and how many of them it salvaged."""

    changed: bool
    messages: int
    salvaged: int


def recover(folder: Path, *, only_if_writable: bool = False) -> Report:
    """Complete an episode that was cut short; a whole one is left alone.

    With ``only_if_writable`` an episode that cannot be written, or that is being recorded just now, is left as it is
    instead of refused. Raises DatasetError otherwise, and on a folder that is no episode or a file damaged before
    good data.
    """
    info = EpisodeInfo.load(folder)
    path = storage_file(folder)
    try:
        stream = path.open("r+b")
    except OSError as error:
        if only_if_writable:
            return Report(False, 0, 0)
        raise DatasetError(f"{path} cannot be completed: {error.strerror}; make it writable") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if only_if_writable:
                return Report(False, 0, 0)
            raise DatasetError(f"{path} is being recorded just now; end the episode first") from error
        try:
            return _recover_file(stream.fileno(), path, info)
        except OSError as error:
            if only_if_writable:
                return Report(False, 0, 0)
            raise DatasetError(f"{path} cannot be completed: {error.strerror}; it can be tried again") from error


def _recover_file(descriptor: int, path: Path, info: EpisodeInfo) -> Report:
    size = os.fstat(descriptor).st_size
    mapped = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) if size else None
    buffer = memoryview(mapped) if mapped is not None else memoryview(b"")
    found = scan(buffer, str(path))
    index, good_end, tail = _rebuild(found, str(path))
    if found.finished and tail is None and info.outcome is not Outcome.RECORDING:
        return Report(False, index.message_count, 0)
    topics = _topics(found)
    salvaged = sum(len(entries) for entries in tail.index.values()) if tail else 0
    # Everything needed is copied out of the mapping by now: a mapping must not outlive what it maps.
    found.chunks.clear()
    buffer.release()
    if mapped is not None:
        with contextlib.suppress(BufferError):
            mapped.close()

    offset, data = good_end, b""
    if not good_end:
        offset, data = 0, mcap_file.file_start(LIBRARY)
    if tail is not None:
        encoded, indexes = tail.encode()
        sizes = [(channel_id, len(item)) for channel_id, item in indexes]
        index.add_chunk(tail, offset + len(data), len(encoded), sizes)
        data += encoded + b"".join(item for _, item in indexes)
    counts = {topics[channel_id].name: count for channel_id, count in index.counts.items()}
    start = index.start if index.message_count else 0
    if info.outcome is Outcome.RECORDING:
        info.outcome = Outcome.INTERRUPTED
        info.reason = info.reason or "the recorder was killed"
    info.recovered, info.counts, info.ended_ns = True, counts, info.ended_ns or index.end
    custom = {"instruction": info.instruction, "outcome": info.outcome.value}
    information = bag_metadata.bag_information(path.name, list(topics.values()), counts, start, index.end, custom)
    data += index.file_end(offset + len(data), "rosbag2", {"serialized_metadata": bag_metadata.to_yaml(information)})
    # Written over the tail before the file is cut to length: its records keep their places, so that a kill between
    # the two loses none of them.
    _write_at(descriptor, offset, data)
    os.ftruncate(descriptor, offset + len(data))
    os.fsync(descriptor)
    bag_metadata.write_bag_metadata(path.parent, information)
    info.save(path.parent)
    return Report(True, index.message_count, salvaged)


def _write_at(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _rebuild(found: Scan, where: str) -> tuple[mcap_file.FileIndex, int, mcap_file.Chunk | None]:
    """Return the index of all chunks that can stay, the offset behind them, and the last chunk if it cannot."""
    index, good_end = mcap_file.FileIndex(), found.start
    for position, place in enumerate(found.chunks):
        chunk = _copy(place, index)
        indexed = {channel_id for channel_id, _ in place.index_channels}
        if not place.torn and indexed == set(chunk.index):
            index.add_chunk(chunk, place.offset, place.size, place.index_channels)
            good_end = place.end
        elif position == len(found.chunks) - 1:
            return index, good_end, chunk if chunk.records else None
        else:
            raise DatasetError(
                f"{where} has a chunk without message index at byte {place.offset}; "
                "the recorder writes none of those. Rewrite it with: mcap recover"
            )
    return index, good_end, None


def _copy(place: ScannedChunk, index: mcap_file.FileIndex) -> mcap_file.Chunk:
    """Return a chunk's complete records again, in the same order; its schemas and channels enter the index."""
    chunk = mcap_file.Chunk()
    for item in whole_records(place):
        if item.opcode == mcap_file.MESSAGE:
            chunk.add_message(*mcap_file.parse_message(item.body))
            continue
        data = mcap_file.record(item.opcode, bytes(item.body))
        chunk.add_record(data)
        if item.opcode == mcap_file.SCHEMA:
            index.schemas[int.from_bytes(item.body[:2], "little")] = data
        elif item.opcode == mcap_file.CHANNEL:
            index.channels[int.from_bytes(item.body[:2], "little")] = data
    return chunk


def _topics(found: Scan) -> dict[int, TopicDescription]:
    schemas: dict[int, tuple[str, str]] = {}
    topics: dict[int, TopicDescription] = {}
    for place in found.chunks:
        for item in whole_records(place):
            if item.opcode == mcap_file.SCHEMA:
                schema_id, name, _, definition = mcap_file.parse_schema(item.body)
                schemas[schema_id] = (name, definition)
            elif item.opcode == mcap_file.CHANNEL:
                channel_id, schema_id, topic, _, metadata = mcap_file.parse_channel(item.body)
                qos = qos_from_yaml(metadata.get("offered_qos_profiles", ""))
                topics[channel_id] = TopicDescription(
                    topic, *schemas[schema_id], metadata.get("topic_type_hash", ""), qos
                )
    return topics


def main(arguments: Sequence[str] | None = None) -> int:
    """Recover the episodes named on the command line; the exit status is 1 where one could not be."""
    parser = argparse.ArgumentParser(prog="python -m vipa_policy.episode.recover", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="episode folders")
    failed = False
    for folder in parser.parse_args(arguments).folders:
        try:
            report = recover(folder)
        except DatasetError as error:
            print(f"{folder}: {error}", file=sys.stderr)
            failed = True
            continue
        did = f"completed, {report.salvaged} salvaged from its last chunk" if report.changed else "whole, left alone"
        print(f"{folder}: {report.messages} messages, {did}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
