"""By how much the arm follows its command late: the single place where that is estimated while it moves.

A measured place that lies behind the command, along the motion, was commanded a while ago. Each look at the arm moves
the estimate a little towards that while; standing still says nothing, and an error across the motion is no lag. The
estimate stays within bounds, so that an arm that is held back cannot talk the timeline into anything.
Guarded by tests/unit/test_control_lag.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from vipa_policy.control.vectors import Vector, dot, minus, plus, times

# m/s, below which a place along the motion is no time.
SLOWEST = 0.04
# Share of what a look tells that is believed: at 20 looks a second the estimate follows within about half a second.
BELIEF = 0.1
# s, most that one look may tell. A command this old is forgotten.
MOST, REMEMBERED = 0.04, 0.5


class LagEstimator:
    """The lag in s, from commanded and measured positions on one clock.

    Args:
        initial: s, before anything moved.
        bounds: s, least and greatest estimate.
    """

    def __init__(self, initial: float, bounds: tuple[float, float]) -> None:
        self.value = initial
        self._bounds = min(bounds[0], initial), max(bounds[1], initial)
        self._commands: deque[tuple[float, Vector]] = deque()

    def clear(self) -> None:
        """Forget the commands: the next ones do not continue them. The estimate stays."""
        self._commands.clear()

    def command(self, position: Vector, stamp: float) -> None:
        """Take a commanded position (m) and when it is due (s)."""
        self._commands.append((stamp, position))
        while self._commands[0][0] < stamp - REMEMBERED:
            self._commands.popleft()

    def measure(self, position: Vector, stamp: float) -> None:
        """Take a measured position (m) and when it was measured (s)."""
        commands = self._commands
        index = bisect_left(commands, stamp - self.value, key=lambda entry: entry[0])
        if not 0 < index < len(commands):
            return
        (before, start), (after, end) = commands[index - 1], commands[index]
        velocity = times(1.0 / (after - before), minus(end, start))
        square = dot(velocity, velocity)
        if square < SLOWEST**2:
            return
        expected = plus(start, stamp - self.value - before, velocity)
        late = dot(minus(expected, position), velocity) / square
        value = self.value + BELIEF * min(max(late, -MOST), MOST)
        self.value = min(max(value, self._bounds[0]), self._bounds[1])
