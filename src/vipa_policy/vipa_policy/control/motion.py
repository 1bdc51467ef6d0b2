"""Jerk-limited motion of a 3-vector in discrete time: the single place that bounds velocity, acceleration and jerk.

One step is ``a += j dt; v += a dt; x += v dt``, so v, a and j *are* the finite differences of the streamed setpoints:
what is bounded here is bounded in the stream, without a tolerance for discretisation. x itself is not kept: for the
position it is a sum, for the rotation a product (``exp(v dt) R``), and the caller knows which.

Safety does not rest on the tracking law. Every accepted step comes with a *brake plan*, a list of accelerations that
leads from it to rest within all bounds and to allowed places only. A step without such a plan is not taken; the plan
of the step before is continued instead. Holding is nothing but following the plan. Most steps are proved by what their
plan needs at most (``braking.Comfort``, ``braking.Brake``), without listing it.
Guarded by tests/unit/test_control_motion.py.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from vipa_policy.control.braking import Brake, Comfort
from vipa_policy.control.limits import Bounds
from vipa_policy.control.vectors import ZERO, Vector, clamp_norm, minus, norm, plus, times
from vipa_policy.geometry import Array

# Rounding of sums over a plan of a hundred steps stays far below this share of a bound.
ROUNDING = 1e-9
# The tracking law keeps this share of each bound, so that brake plans seldom have to step in.
SHARE = 0.98
# Candidates for a step, from the tracking law's wish to the plan's own next step.
BLENDS = (0.6, 0.3)


class Region(Protocol):
    """Where a motion may go, seen from where it is; displacements are those of the motion."""

    def holds(self, first: Vector, reach: Vector, way: float) -> bool:
        """Whether all is allowed that lies after displacement ``first`` within ``reach`` (3,) in each axis and within
        ``way`` in length. False also where that is unsure."""

    def permits(self, steps: Array) -> bool:
        """Whether displacements (n, 3), one after another, are allowed."""


class LimitedMotion:
    """Velocity and acceleration of one 3-vector, stepped at a fixed period.

    Args:
        bounds: norms that velocity, acceleration and jerk never exceed.
        period: s between two steps.
    """

    def __init__(self, bounds: Bounds, period: float) -> None:
        self.bounds = bounds
        self.period = period
        self.velocity: Vector = ZERO
        self.acceleration: Vector = ZERO
        self.speed = 1.0  # share of the greatest velocity that the tracking law asks for
        # Steps to rest from here; None where they were proved to be there and are not listed yet.
        self._steps: list[Vector] | None = []
        self._comfort = Comfort(bounds, period)
        # The velocity loop settles within the time jerk needs to build full acceleration; the position loop is four
        # times slower, which makes the pair critically damped.
        self._velocity_gain = min(0.8 * bounds.jerk / bounds.acceleration, 0.25 / period)
        self._position_gain = self._velocity_gain / 4.0

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves and nothing is about to."""
        return self.velocity == ZERO and self.acceleration == ZERO and not self._plan()

    def reset(self) -> None:
        """Forget all motion: at rest here."""
        self.velocity = self.acceleration = ZERO
        self._steps = []

    def follow(self, error: Vector, velocity: Vector, acceleration: Vector, region: Region | None = None) -> Vector:
        """Step towards a moving target and return the displacement (3,).

        Args:
            error: (3,) from here to where the target is.
            velocity: (3,) of the target over the last step.
            acceleration: (3,) of the target over the next step. A motion on its target stays on it exactly.
            region: where the motion may go; None where it may go anywhere.
        """
        wish = self._wish(error, velocity, acceleration)
        if self._accept(wish, region):
            return times(self.period, self.velocity)
        steps = self._plan()
        fallback = steps[0] if steps else self._towards_zero()
        for blend in BLENDS:
            if self._accept(plus(fallback, blend, minus(wish, fallback)), region):
                return times(self.period, self.velocity)
        return self.brake()

    def brake(self) -> Vector:
        """Step along the plan that leads to rest and return the displacement (3,)."""
        steps = self._plan()
        if not steps:
            self.reset()
            return ZERO
        self.acceleration = steps.pop(0)
        self.velocity = plus(self.velocity, self.period, self.acceleration)
        if not steps:
            self.velocity = ZERO  # the plan's sum is zero up to rounding
        return times(self.period, self.velocity)

    def _plan(self) -> list[Vector]:
        """The accelerations that lead to rest from here."""
        if self._steps is None:
            self._steps = _listed(Brake(self.velocity, self.acceleration, self.bounds, self.period).plan())
        return self._steps

    def _towards_zero(self) -> Vector:
        """The acceleration of the next step that is nearest to none."""
        change = clamp_norm(self.acceleration, SHARE * self.bounds.jerk * self.period)
        return minus(self.acceleration, change)

    def _wish(self, error: Vector, velocity: Vector, acceleration: Vector) -> Vector:
        """The acceleration the tracking law asks for, within the bounds on acceleration and jerk."""
        bounds = self.bounds
        distance = norm(error)
        wanted = velocity
        if distance > 0.0:
            # Linear near the target, and no faster than half the acceleration can brake.
            speed = min(self._position_gain * distance, math.sqrt(bounds.acceleration * distance))
            wanted = plus(velocity, speed / distance, error)
        wanted = clamp_norm(wanted, SHARE * self.speed * bounds.velocity)
        wish = plus(acceleration, self._velocity_gain, minus(wanted, self.velocity))
        wish = clamp_norm(wish, SHARE * bounds.acceleration)
        change = clamp_norm(minus(wish, self.acceleration), SHARE * bounds.jerk * self.period)
        return plus(self.acceleration, 1.0, change)

    def _accept(self, acceleration: Vector, region: Region | None) -> bool:
        """Take a step with this acceleration if it and a brake after it keep every bound; tell whether so."""
        velocity = plus(self.velocity, self.period, acceleration)
        steps: list[Vector] | None = None
        if not self._comfortable(velocity, acceleration, region):
            brake = Brake(velocity, acceleration, self.bounds, self.period)
            if not self._proved(velocity, acceleration, brake, region):
                steps = self._checked(acceleration, brake, region)
                if steps is None:
                    return False
        self._steps = steps
        self.velocity, self.acceleration = velocity, acceleration
        return True

    def _comfortable(self, velocity: Vector, acceleration: Vector, region: Region | None) -> bool:
        """Whether the norms alone show that every bound is kept."""
        if norm(minus(acceleration, self.acceleration)) > self.bounds.jerk * self.period:
            return False
        way = self._comfort.way(norm(velocity), norm(acceleration))
        if way is None:
            return False
        return region is None or region.holds(times(self.period, velocity), (way, way, way), way)

    def _proved(self, velocity: Vector, acceleration: Vector, brake: Brake, region: Region | None) -> bool:
        """Whether what the brake needs at most shows that every bound is kept."""
        bounds = self.bounds
        return (
            brake.fastest <= bounds.velocity
            and brake.hardest <= bounds.acceleration
            and norm(minus(acceleration, self.acceleration)) <= bounds.jerk * self.period
            and (region is None or region.holds(times(self.period, velocity), brake.reach, brake.way))
        )

    def _checked(self, acceleration: Vector, brake: Brake, region: Region | None) -> list[Vector] | None:
        """The steps of the brake, each checked; None where the step or one of them would pass a bound."""
        plan = brake.plan()
        accelerations = np.concatenate([[self.acceleration, acceleration], plan, np.zeros((1, 3))])
        velocities = np.array(self.velocity) + np.cumsum(accelerations[1:], axis=0) * self.period
        changes = accelerations[1:] - accelerations[:-1]
        margin = 1.0 + ROUNDING
        if (
            greatest_norm(changes) > self.bounds.jerk * self.period * margin
            or greatest_norm(accelerations) > self.bounds.acceleration * margin
            or greatest_norm(velocities) > self.bounds.velocity * margin
        ):
            return None
        if region is not None and not region.permits(velocities * self.period):
            return None
        return _listed(plan)


def _listed(plan: Array) -> list[Vector]:
    return [(x, y, z) for x, y, z in plan.tolist()]


def greatest_norm(vectors: Array) -> float:
    """Return the greatest length of vectors (n, 3)."""
    return math.sqrt(float(np.einsum("ij,ij->i", vectors, vectors).max()))
