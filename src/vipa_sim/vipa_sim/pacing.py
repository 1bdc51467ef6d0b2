"""When the next tick of simulated time may run, and when a camera's next frame is due: the single place for both.

Ticks are never skipped. A machine that is too slow makes the clock slow: what it missed beyond a small backlog is
forgotten, not caught up in a burst that every other node would see as a jump. Imports neither ROS nor MuJoCo.
Guarded by tests/unit/test_pacing.py.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

NANOSECONDS = 1_000_000_000

# A rendered frame takes about two ticks of wall time. That much is caught up; a stall of the whole machine is not.
BACKLOG = 0.1
# Caught up at twice the pace of late at most: a clock that ran in bursts would outrun the other nodes of a busy
# machine, which have to keep up with every tick.
CATCH_UP = 2.0
# Ticks over which the pace of late is averaged, about a second, and how long one of them may count, in periods.
PACE_TICKS = 200
LONGEST_COUNTED = 20.0
# Long enough to average over frames, short enough to show a machine that has just become busy.
WINDOW = 5.0


class Pacer:
    """Paces ticks of simulated time against a monotonic clock."""

    def __init__(self, tick: float, factor: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Start pacing now.

        Args:
            tick: s of simulated time per tick, above 0.
            factor: simulated seconds per second at most, above 0.
            clock: monotonic time in s.

        Raises ValueError on a tick or a factor that is not above 0.
        """
        if not tick > 0.0 or not factor > 0.0:
            raise ValueError(f"expected a tick and a factor above 0, got {tick} s and {factor}")
        self._tick = tick
        self._clock = clock
        self._period = tick / factor
        self._factor = factor
        self._due = clock()
        self._earliest = self._due
        self._last = self._due
        self._pace = self._period
        self._history: deque[float] = deque()

    @property
    def factor(self) -> float:
        """Simulated seconds per second aimed at."""
        return self._factor

    def set_factor(self, factor: float) -> None:
        """Change the pace from the next tick on. Raises ValueError on a factor that is not above 0."""
        if not factor > 0.0:
            raise ValueError(f"expected a factor above 0, got {factor}")
        self._factor = factor
        self._period = self._pace = self._tick / factor

    def delay(self) -> float:
        """Return s to wait until the next tick may run; 0 when it is due."""
        return max(0.0, max(self._due, self._earliest) - self._clock())

    def tick(self) -> None:
        """Count a tick that begins now."""
        now = self._clock()
        self._due = max(self._due + self._period, now - BACKLOG)
        self._pace += (min(now - self._last, LONGEST_COUNTED * self._period) - self._pace) / PACE_TICKS
        self._last = now
        self._earliest = now + max(self._pace, self._period) / CATCH_UP
        self._history.append(now)
        while len(self._history) > 2 and now - self._history[0] > WINDOW:
            self._history.popleft()

    def real_time_factor(self) -> float:
        """Return simulated seconds per second measured over the last ``WINDOW`` s of ticks; 0 before two ticks."""
        if len(self._history) < 2 or self._history[-1] <= self._history[0]:
            return 0.0
        return self._tick * (len(self._history) - 1) / (self._history[-1] - self._history[0])


class FrameSchedule:
    """Says at which ticks a camera takes a frame: the first tick at or after each multiple of 1 / rate.

    Frames lie on ticks, so a frame's stamp is the exact stamp of the transforms and joint states published with it.
    """

    def __init__(self, rate: float) -> None:
        """Take frames at ``rate`` Hz, above 0. Raises ValueError otherwise."""
        if not rate > 0.0:
            raise ValueError(f"expected a frame rate above 0 Hz, got {rate}")
        self._rate = rate
        self._next = 0

    def due(self, stamp_ns: int) -> bool:
        """Tell whether a frame belongs to this tick; advances, so ask once per tick, with rising stamps (ns)."""
        index = int(stamp_ns * self._rate / NANOSECONDS + 1e-6)
        if index < self._next:
            return False
        self._next = index + 1
        return True
