"""Writing an episode so that a kill at any moment loses at most what arrived within the last flush period.

Messages are gathered in memory and a thread of the writer puts them on the disk as one whole chunk every
``flush_period``, then syncs. The caller never waits for the disk. What a kill leaves is a valid beginning of an MCAP
file, which ``vipa_policy.episode.recover`` completes. Guarded by tests/unit/test_episode_kill.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

from vipa_policy.episode import bag_metadata, mcap_file
from vipa_policy.episode.info import FILE_NAME, EpisodeInfo, Outcome, write_atomically
from vipa_policy.episode.topics import TopicDescription, qos_yaml
from vipa_policy.errors import DatasetError

LIBRARY = "vipa_policy"
DISCARDED = "discarded"


class EpisodeWriter:
    """Writes one episode folder. Methods may be called from any thread.

    Args:
        directory: where the folder ``info.name`` is made.
        info: what is known at the start; ``update`` adds to it.
        flush_period: s between two chunks; the most that a kill can lose, with the time one write takes.
        chunk_bytes: a chunk is also closed when it has grown to this.
        backlog_bytes: messages kept in memory while the disk does not take them; beyond it they are counted as lost.

    Raises DatasetError where the folder exists already or cannot be made.
    """

    def __init__(
        self,
        directory: Path,
        info: EpisodeInfo,
        *,
        flush_period: float = 0.25,
        chunk_bytes: int = 4 << 20,
        backlog_bytes: int = 256 << 20,
    ) -> None:
        self.info = info
        self.path = directory / info.name
        self._file_name = f"{info.name}_0.mcap"
        self._flush_period = flush_period
        self._chunk_bytes = chunk_bytes
        self._backlog_bytes = backlog_bytes
        self._lock = threading.Lock()  # of everything below but the file
        self._file_lock = threading.Lock()  # of the file, its offset and its index; taken before _lock
        self._topics: dict[str, tuple[int, TopicDescription]] = {}
        self._schemas: dict[str, int] = {}
        self._counts: dict[str, int] = defaultdict(int)
        self._chunk = mcap_file.Chunk()
        self._pending: list[mcap_file.Chunk] = []
        self._backlog = 0
        self._index = mcap_file.FileIndex()
        self._description_changed = False
        self._failure = ""
        self._closed = False
        self._wake = threading.Event()
        self._open()
        self._thread = threading.Thread(target=self._run, name="episode-writer", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str:
        """Why the disk takes nothing at present, "" while it does. The writer goes on trying."""
        return self._failure

    @property
    def lost(self) -> dict[str, int]:
        """Messages per topic that could not even be kept in memory."""
        with self._lock:
            return dict(self.info.lost)

    @property
    def counts(self) -> dict[str, int]:
        """Messages accepted per topic."""
        with self._lock:
            return dict(self._counts)

    def has_topic(self, name: str) -> bool:
        """Tell whether a topic has been added."""
        return name in self._topics

    def add_topic(self, topic: TopicDescription) -> None:
        """Declare a topic before its first message. Raises DatasetError on a name that was added before."""
        with self._lock:
            if topic.name in self._topics:
                raise DatasetError(f"topic {topic.name} was added to this episode before")
            schema_id = self._schemas.get(topic.type)
            if schema_id is None:
                schema_id = self._schemas[topic.type] = len(self._schemas) + 1
                schema = mcap_file.schema_record(schema_id, topic.type, topic.definition)
                self._index.schemas[schema_id] = schema
                self._chunk.add_record(schema)
            channel_id = len(self._topics) + 1
            metadata = {"offered_qos_profiles": qos_yaml(topic.qos), "topic_type_hash": topic.type_hash}
            channel = mcap_file.channel_record(channel_id, schema_id, topic.name, metadata)
            self._index.channels[channel_id] = channel
            self._chunk.add_record(channel)
            self._topics[topic.name] = (channel_id, topic)
            self._description_changed = True

    def write(self, topic: str, stamp_ns: int, data: bytes | memoryview) -> bool:
        """Take one serialised message (CDR with its encapsulation header), ``stamp_ns`` its arrival on the ROS clock.

        Returns False where it had to be dropped (the disk takes nothing and the backlog is full, or the episode is
        closed). Raises DatasetError on a topic that was not added.
        """
        with self._lock:
            entry = self._topics.get(topic)
            if entry is None:
                raise DatasetError(f"expected add_topic before the first message of {topic}")
            if self._closed or self._backlog + len(data) > self._backlog_bytes:
                self.info.lost[topic] = self.info.lost.get(topic, 0) + 1
                return False
            stamp = max(0, stamp_ns)
            self._counts[topic] += 1
            self._chunk.add_message(entry[0], self._counts[topic], stamp, stamp, data)
            self._backlog += len(data)
            full = len(self._chunk.records) >= self._chunk_bytes
        if full:
            self._wake.set()
        return True

    def update(self, **fields: Any) -> None:
        """Set fields of the episode's description; they reach the disk with the next flush."""
        with self._lock:
            for name, value in fields.items():
                if not hasattr(self.info, name):
                    raise DatasetError(f"an episode's description has no field {name!r}")
                setattr(self.info, name, value)
            self._description_changed = True

    def flush(self) -> None:
        """Put all that was written so far on the disk. Failures stand in ``failure``; nothing is dropped."""
        with self._file_lock:
            self._take_chunk()
            try:
                self._write_pending()
                self._save_description()
                self._failure = ""
            except OSError as error:
                self._failure = f"{self.path}: {error.strerror or error}"

    def close(self, outcome: Outcome, *, note: str = "", reason: str = "", ended_ns: int = 0) -> Path:
        """End the episode and return its folder; a discarded one is moved to the folder "discarded" beside it.

        Raises DatasetError where the disk does not take the rest; what is on it can be recovered.
        """
        with self._lock:
            if self._closed:
                return self.path
            self._closed = True
        self._wake.set()
        self._thread.join()
        self.flush()
        failure = self._failure
        with self._file_lock:
            try:
                if not failure:
                    self._append(self._index.file_end(self._offset, "rosbag2", self._rosbag2_metadata()))
                    os.fsync(self._file.fileno())
            except OSError as error:
                failure = f"{self.path}: {error.strerror or error}"
            self._file.close()
        self.update(outcome=outcome, note=note, reason=reason, ended_ns=ended_ns or self._index.end)
        try:
            self._save_description()
        except OSError as error:
            failure = failure or f"{self.path}: {error.strerror or error}"
        if failure:
            unwritten = sum(len(entries) for chunk in self._pending for entries in chunk.index.values())
            raise DatasetError(
                f"the episode could not be completed ({failure}): its last {unwritten} messages are not on the disk. "
                f"Make room, then run: python -m vipa_policy.episode.recover {self.path}"
            )
        if outcome is Outcome.DISCARD:
            self.path = discard(self.path)
        return self.path

    def _open(self) -> None:
        try:
            self.path.mkdir(parents=True)
            # Unbuffered: what write() has returned survives the death of this process.
            self._file = (self.path / self._file_name).open("xb", buffering=0)
            # Held while recording, released by the kernel however the process ends: recovery looks at it.
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._offset = 0
            self._append(mcap_file.file_start(LIBRARY))
            self._description_changed = True
            self._save_description()
            os.fsync(self._file.fileno())
        except FileExistsError as error:
            raise DatasetError(f"{self.path} exists already; an episode is never overwritten") from error
        except OSError as error:
            raise DatasetError(
                f"cannot record at {self.path}: {error.strerror or error}. "
                "Give a folder that can be written and has room"
            ) from error

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._flush_period)
            self._wake.clear()
            self.flush()

    def _take_chunk(self) -> None:
        with self._lock:
            if self._chunk.records:
                self._pending.append(self._chunk)
                self._chunk = mcap_file.Chunk()

    def _write_pending(self) -> None:
        while self._pending:
            chunk = self._pending[0]
            encoded, indexes = chunk.encode()
            offset = self._offset
            self._append(encoded + b"".join(data for _, data in indexes))
            sizes = [(channel_id, len(data)) for channel_id, data in indexes]
            self._index.add_chunk(chunk, offset, len(encoded), sizes)
            self._pending.pop(0)
            with self._lock:
                # Counted in message bytes, as write() does: 31 bytes of each message record are its head.
                messages = sum(len(entries) for entries in chunk.index.values())
                self._backlog = max(0, self._backlog - (len(chunk.records) - 31 * messages))
            os.fsync(self._file.fileno())

    def _append(self, data: bytes) -> None:
        """Write all of it or, where the disk refuses, none: the file then ends as it did before."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._offset)
                self._file.seek(self._offset)
            raise
        self._offset += len(data)

    def _information(self) -> dict[str, Any]:
        with self._lock:
            topics = [topic for _, topic in self._topics.values()]
            counts = dict(self._counts)
            custom = {"instruction": self.info.instruction, "outcome": self.info.outcome.value}
        start = self._index.start if self._index.message_count else 0
        return bag_metadata.bag_information(self._file_name, topics, counts, start, self._index.end, custom)

    def _rosbag2_metadata(self) -> dict[str, str]:
        # rosbag2 finds this record where a folder has lost its metadata.yaml.
        return {"serialized_metadata": bag_metadata.to_yaml(self._information())}

    def _save_description(self) -> None:
        if not self._description_changed:
            return
        self._description_changed = False
        try:
            with self._lock:
                self.info.counts = dict(self._counts)
                text = self.info.to_json()
            write_atomically(self.path / FILE_NAME, text)
            bag_metadata.write_bag_metadata(self.path, self._information())
        except OSError:
            self._description_changed = True
            raise


def discard(folder: Path) -> Path:
    """Move an episode to the folder "discarded" beside it and return where it is now. Nothing is deleted."""
    target = folder.parent / DISCARDED / folder.name
    try:
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
    except OSError as error:
        raise DatasetError(
            f"{folder} could not be moved to {target}: {error.strerror or error}; it is whole"
        ) from error
    return target
