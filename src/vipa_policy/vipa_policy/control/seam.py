"""The gap at a seam and how it closes: a quintic that takes over position, velocity and acceleration of the command.

The arm goes on as it was commanded, and the gap to the new chunk fades to nothing with no velocity and no acceleration
left. The gap is always taken from the *command*, never from a target that was itself still fading: gaps that come as
often as every control period then close instead of feeding each other.
Guarded by tests/unit/test_control_timeline.py and tests/unit/test_control_stream.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vipa_policy.control.limits import Bounds
from vipa_policy.control.vectors import ZERO, Vector
from vipa_policy.geometry import Array

# Shares of acceleration and jerk that closing a gap may use on top of what the chunk itself needs.
ACCELERATION_SHARE, JERK_SHARE = 0.6, 0.6
# Share of the velocity that a gap may always use, and that it may fill up together with the chunk's own.
LEAST_SHARE, FULL_SHARE = 0.3, 0.95
# s; a gap that needs longer is no seam: the arm is elsewhere, and goes to the curve by its own tracking law.
LONGEST = 3.0
# Factor from one duration that is tried to the next.
GROWTH = 1.3

_S = np.linspace(0.0, 1.0, 11)[:, None]
_POLYNOMIALS = np.arange(6)
_DERIVATIVES = [
    np.where(
        order <= _POLYNOMIALS,
        np.prod([np.maximum(_POLYNOMIALS - k, 0) for k in range(order)], axis=0)
        * _S ** np.maximum(_POLYNOMIALS - order, 0),
        0.0,
    )
    for order in (1, 2, 3)
]


@dataclass(frozen=True)
class Gap:
    """What a command is ahead of a curve by: offset (3,), its rate and the rate of that, in m or rad and s."""

    offset: Vector = ZERO
    rate: Vector = ZERO
    bend: Vector = ZERO


class Fade:
    """One gap that closes within a duration; over at once where ``duration`` is 0."""

    def __init__(self, gap: Gap, duration: float) -> None:
        self.duration = duration
        self.coefficients = _quintic(gap, duration) if duration > 0.0 else np.zeros((6, 3))
        self._rows: list[list[float]] = self.coefficients.T.tolist()

    def at(self, elapsed: float) -> Vector:
        """Return what is left of the gap (3,) some s after the seam; also a little before it."""
        if elapsed >= self.duration:
            return ZERO
        s = elapsed / self.duration
        a, b, c = (((((q[5] * s + q[4]) * s + q[3]) * s + q[2]) * s + q[1]) * s + q[0] for q in self._rows)
        return a, b, c


NO_FADE = Fade(Gap(), 0.0)


def fade(gap: Gap, shortest: float, bounds: Bounds, speed: float) -> Fade | None:
    """Close a gap in at least ``shortest`` s and as soon as its shares of the bounds allow.

    ``speed`` is what the chunk itself needs of the velocity. Returns None where that takes longer than LONGEST.
    """
    if not (any(gap.offset) or any(gap.rate) or any(gap.bend)):
        return NO_FADE
    free = max(FULL_SHARE * bounds.velocity - speed, LEAST_SHARE * bounds.velocity)
    allowed = (free, ACCELERATION_SHARE * bounds.acceleration, JERK_SHARE * bounds.jerk)
    duration = shortest
    while duration <= LONGEST:
        coefficients = _quintic(gap, duration)
        if all(
            np.square(matrix @ coefficients).sum(axis=1).max() <= (bound * duration**order) ** 2
            for order, (matrix, bound) in enumerate(zip(_DERIVATIVES, allowed, strict=True), start=1)
        ):
            return Fade(gap, duration)
        duration *= GROWTH
    return None


def _quintic(gap: Gap, duration: float) -> Array:
    """Coefficients (6, 3) over s in [0, 1] that begin as the gap and end at zero, at rest."""
    p = np.array(gap.offset)
    v = np.array(gap.rate) * duration
    a = np.array(gap.bend) * duration**2
    return np.stack(
        [
            p,
            v,
            0.5 * a,
            -10.0 * p - 6.0 * v - 1.5 * a,
            15.0 * p + 8.0 * v + 1.5 * a,
            -6.0 * p - 3.0 * v - 0.5 * a,
        ]
    )
