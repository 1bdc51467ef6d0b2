"""How sure a success rate is. Guarded by tests/unit/test_statistics.py."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval (low, high) of a success rate; (0, 1) where nothing was tried.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference": unlike the normal
    approximation it stays inside [0, 1] and is honest at 0 and at ``trials`` successes.

    Args:
        successes: 0 to ``trials``.
        trials: 0 or more, independent.
        z: quantile of the normal distribution, 1.96 for 95 %.

    Raises ValueError where the counts contradict each other.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"expected 0 <= successes <= trials, got {successes} of {trials}")
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    centre = rate + z * z / (2.0 * trials)
    margin = z * math.sqrt(rate * (1.0 - rate) / trials + z * z / (4.0 * trials * trials))
    scale = 1.0 + z * z / trials
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)
