"""Jerk-limited motion of a 3-vector in discrete time: the single place that bounds velocity, acceleration and jerk.

One step is ``a += j dt; v += a dt; x += v dt``, so v, a and j *are* the finite differences of the streamed setpoints:
what is bounded here is bounded in the stream, without a tolerance for discretisation. x itself is not kept: for the
position it is a sum, for the rotation a product (``exp(v dt) R``), and the caller knows which.

Safety does not rest on the tracking law. Every accepted step comes with a *brake plan*, a list of accelerations that
leads from it to rest within all bounds and inside the box. A step without such a plan is not taken; the plan of the
step before is continued instead. Holding is nothing but following the plan.
Guarded by tests/unit/test_control_motion.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vipa_policy.control.limits import Bounds
from vipa_policy.geometry import Array

# Rounding of sums over a plan of a hundred steps stays far below this share of a bound.
ROUNDING = 1e-9
# The tracking law keeps this share of each bound, so that brake plans seldom have to step in.
SHARE = 0.98
# Shares of acceleration and jerk along and across the direction of braking: 0.9^2 + 0.43^2 < 1, so the norm holds.
ALONG, ACROSS = 0.9, 0.43
# Candidates for a step, from the tracking law's wish to the plan's own next step.
BLENDS = (1.0, 0.6, 0.3)

Permits = Callable[[Array], bool]
"""Whether displacements (n, 3) from here on are allowed; the box."""


class LimitedMotion:
    """Velocity and acceleration of one 3-vector, stepped at a fixed period.

    Args:
        bounds: norms that velocity, acceleration and jerk never exceed.
        period: s between two steps.
    """

    def __init__(self, bounds: Bounds, period: float) -> None:
        self.bounds = bounds
        self.period = period
        self.velocity: Array = np.zeros(3)
        self.acceleration: Array = np.zeros(3)
        self._plan: Array = np.zeros((0, 3))
        # The velocity loop settles within the time jerk needs to build full acceleration; the position loop is four
        # times slower, which makes the pair critically damped.
        self._velocity_gain = min(0.8 * bounds.jerk / bounds.acceleration, 0.25 / period)
        self._position_gain = self._velocity_gain / 4.0

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves and nothing is about to."""
        return len(self._plan) == 0 and not self.velocity.any() and not self.acceleration.any()

    def reset(self) -> None:
        """Forget all motion: at rest here."""
        self.velocity, self.acceleration = np.zeros(3), np.zeros(3)
        self._plan = np.zeros((0, 3))

    def follow(self, error: Array, feedforward: Array, permits: Permits | None = None) -> Array:
        """Step towards a moving target and return the displacement (3,).

        Args:
            error: (3,) from here to the target.
            feedforward: (3,) velocity of the target.
            permits: tells whether displacements (n, 3) from here are allowed; None where all are.
        """
        wish = self._wish(error, feedforward)
        fallback = self._plan[0] if len(self._plan) else self._towards_zero()
        for blend in BLENDS:
            acceleration = fallback + blend * (wish - fallback)
            plan = self._verified_plan(acceleration, permits)
            if plan is not None:
                return self._take(acceleration, plan)
        return self.brake()

    def brake(self) -> Array:
        """Step along the plan that leads to rest and return the displacement (3,)."""
        if len(self._plan) == 0:
            self.reset()
            return np.zeros(3)
        displacement = self._take(self._plan[0], self._plan[1:])
        if len(self._plan) == 0:
            self.velocity = np.zeros(3)  # the plan's sum is zero up to rounding
        return displacement

    def _take(self, acceleration: Array, plan: Array) -> Array:
        self.acceleration = acceleration
        self.velocity = self.velocity + acceleration * self.period
        self._plan = plan
        return self.velocity * self.period

    def _towards_zero(self) -> Array:
        """The acceleration of the next step that is nearest to none."""
        return self.acceleration - clamp_norm(self.acceleration, SHARE * self.bounds.jerk * self.period)

    def _wish(self, error: Array, feedforward: Array) -> Array:
        """The acceleration the tracking law asks for, within the bounds on acceleration and jerk."""
        error = error - feedforward * self.period  # the target stands where it will be after this step
        distance = norm(error)
        # Linear near the target, and no faster than half the acceleration can brake.
        speed = min(self._position_gain * distance, math.sqrt(self.bounds.acceleration * distance))
        direction = error / distance if distance > 0.0 else np.zeros(3)
        velocity = clamp_norm(feedforward + speed * direction, SHARE * self.bounds.velocity)
        wish = clamp_norm(self._velocity_gain * (velocity - self.velocity), SHARE * self.bounds.acceleration)
        change = clamp_norm(wish - self.acceleration, SHARE * self.bounds.jerk * self.period)
        return self.acceleration + change

    def _verified_plan(self, acceleration: Array, permits: Permits | None) -> Array | None:
        """The brake plan after a step with this acceleration; None where step or plan would pass a bound."""
        velocity = self.velocity + acceleration * self.period
        plan = brake_plan(velocity, acceleration, self.bounds, self.period)
        accelerations = np.concatenate([[self.acceleration, acceleration], plan, np.zeros((1, 3))])
        velocities = self.velocity + np.cumsum(accelerations[1:], axis=0) * self.period
        changes = accelerations[1:] - accelerations[:-1]
        margin = 1.0 + ROUNDING
        if (
            greatest_norm(changes) > self.bounds.jerk * self.period * margin
            or greatest_norm(accelerations) > self.bounds.acceleration * margin
            or greatest_norm(velocities) > self.bounds.velocity * margin
        ):
            return None
        if permits is not None and not permits(np.cumsum(velocities, axis=0) * self.period):
            return None
        return plan


def brake_plan(velocity: Array, acceleration: Array, bounds: Bounds, period: float) -> Array:
    """Return accelerations (n, 3), one per step, that lead from a velocity and an acceleration (3,) to rest.

    Velocity and acceleration span a plane; in it, the motion along the velocity that would remain and the one across
    it are braked independently, each in the least time its share of the bounds allows.
    """
    remaining = velocity + acceleration * norm(acceleration) / (2.0 * bounds.jerk)
    along = unit(remaining if norm(remaining) > 1e-9 else acceleration)
    rest = velocity - along * float(velocity @ along)
    if norm(rest) < 1e-12:
        rest = acceleration - along * float(acceleration @ along)
    across = unit(rest - along * float(rest @ along))
    pieces = [
        _brake_pieces(
            float(velocity @ axis), float(acceleration @ axis), share * bounds.acceleration, share * bounds.jerk
        )
        for axis, share in ((along, ALONG), (across, ACROSS))
    ]
    steps = math.ceil(max(ramp + plateau + finish for _, _, ramp, plateau, finish, _, _ in pieces) / period - 1e-9)
    if steps <= 0:
        return np.zeros((0, 3))
    speeds = _braking_speeds(pieces, np.arange(steps + 1, dtype=np.float64) * period)
    # The mean acceleration over a step: the sampled velocities are met exactly, the last one is zero.
    changes = (speeds[:, 1:] - speeds[:, :-1]) / period
    return changes.T @ np.stack([along, across])


_Pieces = tuple[float, float, float, float, float, float, float]


def _brake_pieces(velocity: float, acceleration: float, maximum: float, jerk: float) -> _Pieces:
    """Time-optimal way of one axis from (velocity, acceleration) to rest: acceleration is linear on three pieces.

    Returns velocity and acceleration at the start, the durations of the three pieces (s), the acceleration of the
    middle one, and the jerk of the first.
    """
    remaining = velocity + acceleration * abs(acceleration) / (2.0 * jerk)
    sign = -1.0 if remaining < 0.0 else 1.0
    speed, start = sign * velocity, sign * acceleration
    peak = min(math.sqrt(max(jerk * speed + start * start / 2.0, 0.0)), maximum)
    ramp = abs(start + peak) / jerk
    left = speed + (start - peak) / 2.0 * ramp - peak * peak / (2.0 * jerk)
    plateau = max(left / peak, 0.0) if peak > 0.0 else 0.0
    first_jerk = -sign * (jerk if start + peak >= 0.0 else -jerk)
    return velocity, acceleration, ramp, plateau, peak / jerk, -sign * peak, first_jerk


def _braking_speeds(pieces: list[_Pieces], times: Array) -> Array:
    """Return velocities (axes, n) of brake pieces at times (n,) in s; zero once a brake is over."""
    start, acceleration, ramp, plateau, finish, middle, jerk = (
        np.array(column)[:, None] for column in zip(*pieces, strict=True)
    )
    first = np.minimum(times, ramp)
    second = np.minimum(np.maximum(times - ramp, 0.0), plateau)
    third = np.minimum(np.maximum(times - ramp - plateau, 0.0), finish)
    # The acceleration of the last piece falls linearly from the middle one to zero.
    fall = np.where(finish > 0.0, middle / np.maximum(finish, 1e-12), 0.0)
    speeds = (
        start + first * (acceleration + 0.5 * jerk * first) + middle * (second + third) - 0.5 * fall * third * third
    )
    return np.where(times >= ramp + plateau + finish - 1e-12, 0.0, speeds)


def norm(vector: Array) -> float:
    """Return the length of a vector (3,), some times faster than the general numpy.linalg.norm."""
    return math.sqrt(float(vector @ vector))


def unit(vector: Array) -> Array:
    """Return the direction of a vector (3,); zeros where it has none."""
    length = norm(vector)
    return vector / length if length > 1e-12 else np.zeros(3)


def clamp_norm(vector: Array, maximum: float) -> Array:
    """Return a vector (3,), shortened to a length where it is longer."""
    length = norm(vector)
    return vector if length <= maximum else vector * (maximum / length)


def greatest_norm(vectors: Array) -> float:
    """Return the greatest length of vectors (n, 3)."""
    return math.sqrt(float(np.einsum("ij,ij->i", vectors, vectors).max()))
