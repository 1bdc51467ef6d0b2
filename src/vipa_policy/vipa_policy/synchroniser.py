"""Which parts of an observation belong together, and what is missing: the single place that decides it. No ROS.

Parts (colour, depth, intrinsics of each camera; joint states) arrive with a stamp and wait here, unread. A set is
complete when all parts of all cameras carry stamps within ``slop`` of the reference colour image. Only the newest
complete set is ever handed out, and each at most once, and none that is too old: no old frame is reused. A picture that
repeats the one before bit for bit under a fresh stamp did not arrive (``repeat``): a sensor's noise never does that.
Guarded by tests/unit/test_synchroniser.py.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vipa_policy.clock_watch import FUTURE_TOLERANCE

# Per part: at 30 Hz these are several tenths of a second, more than any part may lag.
KEPT = 12
# Arrivals over which the least latency of a part is taken: some stragglers do not hide how quick the others were.
LATENCIES = 60

Part: TypeAlias = tuple[str, str]
"""Camera ("" for the robot) and what of it, for example ("scene", "depth")."""


@dataclass
class _Track:
    """What arrived of one part."""

    topic: str
    samples: deque[tuple[float, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    arrived: float | None = None
    repeated: float | None = None
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))

    def nearest(self, stamp: float) -> tuple[float, Any] | None:
        return min(self.samples, key=lambda sample: abs(sample[0] - stamp), default=None)


@dataclass(frozen=True)
class PartSet:
    """Parts of one instant.

    Attributes:
        stamp: s, of the reference colour image.
        arrived: s, when the last part came in.
        skew: s, the largest difference of a part's stamp to ``stamp``.
        parts: stamp and payload of each part.
    """

    stamp: float
    arrived: float
    skew: float
    parts: Mapping[Part, tuple[float, Any]]


class Synchroniser:
    """Collects parts and hands out complete sets.

    Args:
        topics: topic of every part, for messages; the reference part first.
        slop: s within which the stamps of a set must lie.
        timeout: s without a part after which it counts as lost.
        oldest: s, how old a set's stamp may be when it is taken.
    """

    def __init__(self, topics: Mapping[Part, str], slop: float, timeout: float, oldest: float) -> None:
        self._tracks = {part: _Track(topic) for part, topic in topics.items()}
        self._reference = next(iter(self._tracks))
        self._slop, self._timeout, self._oldest = slop, timeout, oldest
        self._taken = float("-inf")
        self._completed: float | None = None

    def clear(self) -> None:
        """Forget everything that arrived, for instance when the clock jumped back."""
        for track in self._tracks.values():
            track.samples.clear()
            track.latencies.clear()
            track.arrived = track.repeated = None
        self._taken, self._completed = float("-inf"), None

    def add(self, part: Part, stamp: float, payload: Any, now: float) -> None:
        """Take a part stamped ``stamp`` (s) that arrived ``now`` (s)."""
        track = self._tracks[part]
        if track.samples and stamp < track.samples[-1][0] - self._oldest:
            self.clear()  # stamps that run backwards: a restarted recording or simulator
        track.samples.append((stamp, payload))
        track.latencies.append(now - stamp)
        track.arrived = now
        if self._newest() is not None:
            self._completed = now

    def repeat(self, part: Part, now: float) -> None:
        """Note that a part came ``now`` (s) with the content of the one before: it is none, whatever its stamp says."""
        self._tracks[part].repeated = now

    def least_latency(self, part: Part) -> float:
        """Return the least time in s from stamp to arrival among the last arrivals of a part, NaN before the first.

        It holds what every arrival has in common: the way, and the difference between the two clocks.
        """
        return min(self._tracks[part].latencies, default=math.nan)

    def has_new(self) -> bool:
        """Whether there is a complete set newer than the last one taken."""
        return self._newest() is not None

    def take(self, now: float) -> PartSet | None:
        """Return the newest complete set and forget all older ones; None where there is no new one fit for use."""
        stamp = self._newest()
        if stamp is None or not -FUTURE_TOLERANCE <= now - stamp <= self._oldest:
            return None
        self._taken = stamp
        parts = {}
        for part, track in self._tracks.items():
            sample = track.nearest(stamp)
            assert sample is not None  # _newest has seen it
            parts[part] = sample
        skew = max(abs(sample[0] - stamp) for sample in parts.values())
        arrived = self._completed if self._completed is not None else now
        return PartSet(stamp=stamp, arrived=arrived, skew=skew, parts=parts)

    def problem(self, now: float) -> str:
        """Say why there is no usable observation at ``now`` (s), "" where there is one."""
        lost = {part: self._loss(track, now) for part, track in self._tracks.items()}
        missing = {part: words for part, words in lost.items() if words}
        for (camera, what), words in missing.items():
            others = [name for (of, name) in self._tracks if of == camera and (of, name) not in missing]
            if what == "CameraInfo" and "depth" in others:
                return f"depth without CameraInfo: {words}; start the camera driver's camera_info"
        for (camera, what), words in missing.items():
            return f"no {what}{f' of camera {camera}' if camera else ''}: {words}"
        return self._mismatch(now)

    def _loss(self, track: _Track, now: float) -> str:
        if track.arrived is None:
            return f"nothing arrived yet on {track.topic}"
        silent = now - track.arrived
        if silent <= self._timeout:
            return ""
        if track.repeated is not None and now - track.repeated <= self._timeout:
            return (
                f"the same picture for {silent:.2f} s on {track.topic}, bit for bit under fresh stamps: the camera is "
                "frozen, or a simulated one without noise (then set refuse_repeats to false)"
            )
        return f"nothing for {silent:.2f} s on {track.topic}"

    def _mismatch(self, now: float) -> str:
        """What is wrong although everything arrives: the stamps."""
        for (camera, what), track in self._tracks.items():
            age = now - track.samples[-1][0]
            name = f"{what}{f' of camera {camera}' if camera else ''}"
            if age < -FUTURE_TOLERANCE:
                return f"{name} is stamped {-age:.2f} s in the future ({track.topic}); check clocks and use_sim_time"
            if age > self._oldest:
                return f"{name} is {age:.2f} s old when it arrives ({track.topic}), more than {self._oldest} s"
        if self._completed is None or now - self._completed > self._timeout:
            newest = self._tracks[self._reference].samples[-1][0]
            differences = {
                track.topic: nearest[0] - newest
                for track in self._tracks.values()
                if (nearest := track.nearest(newest)) is not None
            }
            topic, difference = max(differences.items(), key=lambda item: abs(item[1]))
            return (
                f"parts are not synchronised: {topic} differs by {difference:+.3f} s from the colour image, more than "
                f"the slop of {self._slop} s"
            )
        return ""

    def _newest(self) -> float | None:
        """The stamp of the newest complete set that was not taken."""
        # Not by their order of arrival: one that comes late hides none of the others.
        candidates = [stamp for stamp, _ in self._tracks[self._reference].samples if stamp > self._taken]
        for stamp in sorted(candidates, reverse=True):
            if all(self._fits(track, stamp) for track in self._tracks.values()):
                return stamp
        return None

    def _fits(self, track: _Track, stamp: float) -> bool:
        nearest = track.nearest(stamp)
        return nearest is not None and abs(nearest[0] - stamp) <= self._slop
