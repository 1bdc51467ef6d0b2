"""How fast the arm may go through its plans, by whose wish: the single place where slowing down is added up.

Everyone who wants the arm slower has a factor of its own, and the smallest one holds, so that nobody's caution is
undone by another's all-clear. The executor applies it to the pace. Guarded by tests/unit/test_control_speed.py.
"""

from __future__ import annotations

import math

# A factor below this is no speed; a stop is asked for as a stop.
SLOWEST = 0.05


class SpeedOverride:
    """Factors on the pace by source."""

    def __init__(self) -> None:
        self._wishes: dict[str, tuple[float, str]] = {}

    @property
    def factor(self) -> float:
        """The factor in force: the smallest one, 1 where nobody wants less."""
        return min((factor for factor, _ in self._wishes.values()), default=1.0)

    @property
    def reasons(self) -> dict[str, str]:
        """Who wants the arm slower, and why."""
        return {source: f"{factor:g}: {reason}" for source, (factor, reason) in self._wishes.items()}

    def set(self, source: str, factor: float, reason: str) -> bool:
        """Take a source's wish in the place of its last one, 1 takes it away; returns whether it changed the factor.

        Raises ValueError where the source has no name or the factor is not within ``SLOWEST`` and 1.
        """
        if not source.strip():
            raise ValueError("expected a source with a name for a speed, got none; say who wants it")
        if not (math.isfinite(factor) and SLOWEST <= factor <= 1.0):
            raise ValueError(f"expected a speed of {SLOWEST} to 1, got {factor}; to halt the arm, call arm/stop")
        before = self.factor
        if factor < 1.0:
            self._wishes[source] = (factor, reason)
        else:
            self._wishes.pop(source, None)
        return self.factor != before
