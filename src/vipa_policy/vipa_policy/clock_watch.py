"""Whether a clock goes on, and stamps go with it: the single place that judges it. No ROS.

A simulator that died leaves its clock standing; whoever waits on that clock would wait for ever, in silence.
Guarded by tests/unit/test_clock_watch.py.
"""

from __future__ import annotations

# A step back of less than this is a matter of rounding or of two publishers, not a clock that was set anew.
JUMP = 1.0
# s: clocks of two processes may differ by scheduling; a stamp further ahead than this comes from a wrong clock.
FUTURE_TOLERANCE = 0.05


class ClockWatch:
    """Compares a clock with wall time.

    Args:
        value: s, of the clock now.
        wall: s, of a clock that never stands still.
    """

    def __init__(self, value: float, wall: float) -> None:
        self._value, self._moved = value, wall

    def look(self, value: float, wall: float) -> bool:
        """Take both clocks (s); returns whether the watched one jumped back."""
        jumped = value < self._value - JUMP
        if value != self._value:
            self._value, self._moved = value, wall
        return jumped

    def still(self, wall: float) -> float:
        """Return for how long in s of wall time the clock has stood still at ``wall``."""
        return max(0.0, wall - self._moved)

    def problem(self, wall: float, timeout: float) -> str:
        """Say that it stands still for more than ``timeout`` s, "" where it does not."""
        silent = self.still(wall)
        return f"the clock stands still for {silent:.0f} s: is the simulator alive?" if silent > timeout else ""
