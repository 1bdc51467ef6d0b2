"""How much of the plan was consumed when: the record that delays are counted with, and the single place for it.

Guarded by tests/unit/test_control_timeline.py.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from operator import itemgetter

# s of consumption remembered.
REMEMBERED = 5.0


class Consumption:
    """How much plan time had been consumed when: the record that delays are counted with."""

    def __init__(self) -> None:
        self.total = 0.0
        self._record: deque[tuple[float, float]] = deque()

    def clear(self) -> None:
        """Begin anew: nothing before now counts."""
        self._record.clear()

    def add(self, amount: float, time: float) -> None:
        """Consume plan time (s) with the setpoint due at ``time`` (s)."""
        if not self._record:
            self._record.append((-math.inf, self.total))
        self.total += amount
        self._record.append((time, self.total))
        while len(self._record) > 2 and self._record[1][0] < time - REMEMBERED:
            self._record.popleft()

    def at(self, time: float) -> float:
        """Return what had been consumed at a time in s."""
        if not self._record:
            return self.total
        index = bisect_right(self._record, time + 1e-9, key=itemgetter(0))
        if index >= len(self._record):
            return self.total
        before, after = self._record[max(index - 1, 0)], self._record[index]
        if not math.isfinite(before[0]):
            return before[1]
        share = (time - before[0]) / max(after[0] - before[0], 1e-9)
        return before[1] + min(max(share, 0.0), 1.0) * (after[1] - before[1])
