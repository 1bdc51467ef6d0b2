"""When a wanted gripper width becomes a goal: hysteresis, and one goal at a time.

Guarded by tests/unit/test_control_executor.py.
"""

from __future__ import annotations

import math


class GripperGate:
    """Turns a stream of wanted widths into few goals.

    Args:
        threshold: m, how far the wanted width must be from the last goal to become a new one.
        minimum, maximum: m, widths are clamped to this range.
    """

    def __init__(self, threshold: float = 0.01, minimum: float = 0.0, maximum: float = 0.08) -> None:
        if not threshold > 0.0:
            raise ValueError(f"expected a gripper threshold above 0 m, got {threshold}")
        if not maximum > minimum:
            raise ValueError(f"expected a gripper range with maximum above minimum, got {minimum} to {maximum} m")
        self._threshold = threshold
        self._minimum, self._maximum = minimum, maximum
        self._goal: float | None = None

    def reset(self, width: float | None = None) -> None:
        """Forget the last goal; ``width`` (m) is what the fingers measure now, None where unknown."""
        self._goal = width

    def offer(self, width: float, busy: bool) -> float | None:
        """Return the width in m to send as a goal, or None; nothing is sent while one is under way (busy)."""
        if busy or not math.isfinite(width):
            return None
        wanted = min(max(width, self._minimum), self._maximum)
        if self._goal is not None and abs(wanted - self._goal) < self._threshold:
            return None
        self._goal = wanted
        return wanted
