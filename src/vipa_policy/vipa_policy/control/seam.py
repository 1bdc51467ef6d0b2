"""The gap at a seam and how it closes: a quintic that takes over position, velocity and acceleration of the command.

The arm goes on as it was commanded, and the gap to the new chunk fades to nothing with no velocity and no acceleration
left. The gap is always taken from the *command*, never from a target that was itself still fading: gaps that come as
often as every control period then close instead of feeding each other.
Guarded by tests/unit/test_control_timeline.py and tests/unit/test_control_stream.py.
"""

from __future__ import annotations

import math
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
_ORDERS = np.arange(1, 4)
# (3, 11, 6): values of the first three derivatives over s of coefficients (6,).
_DERIVATIVES = np.stack(
    [
        np.where(
            order <= _POLYNOMIALS,
            np.prod([np.maximum(_POLYNOMIALS - k, 0) for k in range(order)], axis=0)
            * _S ** np.maximum(_POLYNOMIALS - order, 0),
            0.0,
        )
        for order in _ORDERS
    ]
)
# (6, 3): coefficients over s in [0, 1] of what begins with a value, a rate and a bend and ends at zero, at rest.
_BEGINNINGS = np.array(
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5], [-10.0, -6.0, -1.5], [15.0, 8.0, 1.5], [-6.0, -3.0, -0.5]]
)


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
        self.coefficients = _quintics(gap, np.array([duration]))[0] if duration > 0.0 else np.zeros((6, 3))
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
    allowed = np.array([free, ACCELERATION_SHARE * bounds.acceleration, JERK_SHARE * bounds.jerk])
    # All durations at once: a numpy call costs more than what it does to so few numbers.
    count = max(math.ceil(math.log(LONGEST / shortest) / math.log(GROWTH)) + 1, 1)
    tried = np.array([shortest * GROWTH**power for power in range(count)])
    values = _DERIVATIVES @ _quintics(gap, tried)[:, None]
    fits = np.square(values).sum(axis=3).max(axis=2) <= (allowed * tried[:, None] ** _ORDERS) ** 2
    found = np.flatnonzero(fits.all(axis=1) & (tried <= LONGEST))
    return Fade(gap, float(tried[found[0]])) if len(found) else None


def _quintics(gap: Gap, durations: Array) -> Array:
    """Coefficients (n, 6, 3) over s in [0, 1] that begin as the gap and end at zero, at rest, for n durations in s."""
    beginnings = np.array([gap.offset, gap.rate, gap.bend])
    return np.asarray(_BEGINNINGS @ (beginnings * (durations[:, None] ** np.arange(3))[:, :, None]))
