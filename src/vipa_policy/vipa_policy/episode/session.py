"""One recording after another: what starts, ends and interrupts an episode, without ROS.

The recorder node asks this and repeats its answers; every refusal says what to do. Guarded by
tests/unit/test_recording_session.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vipa_policy.episode.info import CameraTopics, EpisodeInfo, Outcome
from vipa_policy.episode.topics import TopicDescription
from vipa_policy.episode.writer import EpisodeWriter
from vipa_policy.errors import DatasetError
from vipa_policy.instruction import is_stop, normalise

ENDINGS = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.DISCARD)
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class SessionConfig:
    """Where and what a session records.

    Attributes:
        directory: where episode folders are made.
        cameras: view name -> its topics.
        topics: role -> resolved topic name.
        base_frame, tip_frame: TF frames the demonstrations are about.
        required: topics without which an episode is of no use for training.
        flush_period: s, see EpisodeWriter.
        minimum_free: bytes the disk must have left to begin an episode.
    """

    directory: Path
    cameras: Mapping[str, CameraTopics]
    topics: Mapping[str, str]
    base_frame: str
    tip_frame: str
    required: Sequence[str]
    flush_period: float = 0.25
    minimum_free: int = 500 * MEGABYTE


@dataclass(frozen=True)
class Ending:
    """How an episode ended: whether it can be used, what to tell the user, and its folder."""

    usable: bool
    message: str
    path: Path


class RecordingSession:
    """Writes at most one episode at a time."""

    def __init__(self, config: SessionConfig) -> None:
        self._config = config
        self._writer: EpisodeWriter | None = None

    @property
    def recording(self) -> bool:
        """Whether an episode is being recorded."""
        return self._writer is not None

    @property
    def writer(self) -> EpisodeWriter | None:
        """The writer of the running episode."""
        return self._writer

    def start(self, instruction: str, demonstrator: str, now_ns: int) -> Path:
        """Begin an episode and return its folder; ``now_ns`` on the ROS clock.

        Raises DatasetError while one is being recorded, without words, or where it cannot be written.
        """
        if self._writer is not None:
            raise DatasetError(f"already recording {self._writer.path}; end that episode first")
        if is_stop(instruction):
            raise DatasetError(f"expected the words of the task, got {instruction!r}; say what is demonstrated")
        if now_ns <= 0:
            raise DatasetError("there is no simulated time yet (use_sim_time is set); start what publishes /clock")
        self._check_room()
        started = datetime.now(UTC)
        name = f"episode_{started:%Y%m%dT%H%M%S}_{started.microsecond // 1000:03d}"
        info = EpisodeInfo(
            name=name,
            instruction=normalise(instruction),
            demonstrator=demonstrator,
            cameras=dict(self._config.cameras),
            topics=dict(self._config.topics),
            base_frame=self._config.base_frame,
            tip_frame=self._config.tip_frame,
            started_ns=now_ns,
            started_at=started.isoformat(timespec="milliseconds"),
        )
        self._writer = EpisodeWriter(self._config.directory, info, flush_period=self._config.flush_period)
        return self._writer.path

    def take(self, topic: str, describe: Callable[[], TopicDescription], stamp_ns: int, data: bytes) -> None:
        """Record a message while an episode runs; ``describe`` is asked at a topic's first one."""
        if self._writer is None:
            return
        if not self._writer.has_topic(topic):
            self._writer.add_topic(describe())
        self._writer.write(topic, stamp_ns, data)

    def note(self, **fields: Any) -> None:
        """Set fields of the running episode's description."""
        if self._writer is not None:
            self._writer.update(**fields)

    def end(self, outcome: str, note: str, now_ns: int) -> Ending:
        """End the episode as "success", "failure" or "discard".

        Raises DatasetError where none is being recorded or on another outcome; the recording then goes on.
        """
        if self._writer is None:
            raise DatasetError("no episode is being recorded; begin one with recorder/start_episode")
        allowed = [ending.value for ending in ENDINGS]
        if outcome not in allowed:
            raise DatasetError(
                f"expected the outcome to be one of {', '.join(allowed)}, got {outcome!r}; still recording"
            )
        return self._close(Outcome(outcome), now_ns, note=note)

    def interrupt(self, reason: str, now_ns: int) -> Ending | None:
        """End a running episode that nobody ended; None where there is none."""
        if self._writer is None:
            return None
        return self._close(Outcome.INTERRUPTED, now_ns, reason=reason)

    def trouble(self) -> str:
        """Return why messages do not reach the disk at present, "" where they do."""
        return self._writer.failure if self._writer is not None else ""

    def must_end(self) -> str:
        """Return why a running episode cannot go on, "" where it can."""
        lost = self._writer.lost if self._writer is not None else {}
        if not lost:
            return ""
        return f"{sum(lost.values())} messages could not be kept: {self.trouble() or 'the disk is too slow'}"

    def _close(self, outcome: Outcome, now_ns: int, note: str = "", reason: str = "") -> Ending:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        try:
            path = writer.close(outcome, note=note, reason=reason, ended_ns=max(0, now_ns))
        except DatasetError as error:
            return Ending(False, str(error), writer.path)
        counts = writer.counts
        total = f"{sum(counts.values())} messages, outcome {outcome.value}, at {path}"
        missing = [topic for topic in self._config.required if not counts.get(topic)]
        if outcome is Outcome.DISCARD:
            return Ending(True, f"discarded: {total}", path)
        if missing:
            return Ending(
                False, f"kept, but of no use for training: nothing arrived on {', '.join(missing)}; {total}", path
            )
        lost = sum(writer.lost.values())
        return Ending(not lost, f"{lost} messages lost; {total}" if lost else total, path)

    def _check_room(self) -> None:
        place = self._config.directory.absolute()
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if free < self._config.minimum_free:
            raise DatasetError(
                f"{self._config.directory} has {free / MEGABYTE:.0f} MB left, expected at least "
                f"{self._config.minimum_free / MEGABYTE:.0f} MB to begin with; make room, or lower minimum_free_mb"
            )
