"""Whether a stream lives: gaps in its numbering, pictures that repeat. The single place that judges it.

Guarded by tests/unit/test_camera_health.py.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUICK_LOOK = 16  # every so many rows are compared first; a living sensor differs there already


class Numbering:
    """Counts the frames of one stream that never came, by the camera's own count."""

    def __init__(self) -> None:
        self._last: int | None = None
        self.missed = 0
        """Frames that were numbered and never seen, since they were last taken."""

    def take(self, number: int) -> bool:
        """Note a frame; returns whether it is another one than the last. A count that runs backwards begins anew."""
        last, self._last = self._last, number
        if last is not None and number > last:
            self.missed += number - last - 1
        return number != last

    def take_missed(self) -> int:
        """Return how many frames were missed, and count from 0 again."""
        missed, self.missed = self.missed, 0
        return missed


class RepeatDetector:
    """Tells a frozen stream from a still scene: a living sensor's noise never gives the same picture twice.

    A picture without any contrast (lens covered, nothing within range) proves nothing either way.
    """

    def __init__(self) -> None:
        self.picture: NDArray[Any] = np.empty(0)
        """The last one."""
        self.repeated = False
        """Whether it is bit for bit the one before it, and has contrast."""
        self.blank = False
        """Whether it is bit for bit the one before it, all of one value."""

    def take(self, picture: NDArray[Any]) -> None:
        """Judge the next picture, which is kept, not copied."""
        last, self.picture = self.picture, picture
        same = (
            last.shape == picture.shape
            and np.array_equal(last[::QUICK_LOOK], picture[::QUICK_LOOK])
            and np.array_equal(last, picture)
        )
        self.blank = same and bool(picture.min() == picture.max())
        self.repeated = same and not self.blank


class RateMeter:
    """The rate of events over the last few of them.

    Args:
        kept: how many events are looked at.
    """

    def __init__(self, kept: int = 60) -> None:
        self._times: deque[float] = deque(maxlen=kept)

    def note(self, time: float) -> None:
        """Note an event at ``time`` (s of any clock that does not jump)."""
        self._times.append(time)

    def rate(self, now: float) -> float:
        """Return Hz; it falls when nothing comes any more. 0 before the second event."""
        if len(self._times) < 2:
            return 0.0
        span = self._times[-1] - self._times[0]
        period = max(span / (len(self._times) - 1), 1e-9)
        # The time since the last event counts as soon as it is longer than an ordinary period.
        waiting = max(0.0, now - self._times[-1] - period)
        return (len(self._times) - 1) / max(span + waiting, 1e-9)
