"""The way from any state of motion to rest within the bounds: the single place for it.

Velocity and acceleration span a plane; in it, the motion along the velocity that would remain and the one across it
are braked independently, each in the least time its share of the bounds allows. ``Brake`` knows how far, fast and
hard that is at most without going through it; ``Brake.plan`` lists the steps.
Guarded by tests/unit/test_control_motion.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from vipa_policy.control.limits import ACROSS, ALONG, Bounds
from vipa_policy.control.vectors import ZERO, Vector, dot, norm, plus, times, unit
from vipa_policy.geometry import Array


class Pieces(NamedTuple):
    """Time-optimal way of one axis from a velocity and an acceleration to rest: acceleration is linear on three pieces.

    Attributes:
        velocity, acceleration: at the start.
        ramp, plateau, finish: s, durations of the pieces.
        middle: acceleration of the second piece.
        jerk: of the first piece.
        fastest, hardest: greatest sizes of velocity and acceleration on the way.
        way: no less than the length of the way.
    """

    velocity: float
    acceleration: float
    ramp: float
    plateau: float
    finish: float
    middle: float
    jerk: float
    fastest: float
    hardest: float
    way: float


NO_PIECES = Pieces(*[0.0] * 10)


def brake_axis(velocity: float, acceleration: float, maximum: float, jerk: float) -> Pieces:
    """Brake one axis with at most this acceleration and jerk; an initial acceleration above it is reduced."""
    if velocity == 0.0 and acceleration == 0.0:
        return NO_PIECES
    remaining = velocity + acceleration * abs(acceleration) / (2.0 * jerk)
    sign = -1.0 if remaining < 0.0 else 1.0
    speed, start = sign * velocity, sign * acceleration
    peak = min(math.sqrt(max(jerk * speed + start * start / 2.0, 0.0)), maximum)
    ramp = abs(start + peak) / jerk
    finish = peak / jerk
    last = 0.5 * peak * finish
    left = speed + (start - peak) / 2.0 * ramp - last
    plateau = max(left / peak, 0.0) if peak > 0.0 else 0.0
    first = -jerk if start + peak >= 0.0 else jerk  # jerk of the first piece, with the sign taken out
    after = speed + ramp * (start + 0.5 * first * ramp)
    fastest = max(abs(speed), abs(after))
    # The velocity peaks inside the first piece where the acceleration changes sign there.
    if 0.0 < -start / first < ramp:
        fastest = max(fastest, abs(speed - start * start / (2.0 * first)))
    # Each piece at the mean of its ends' speeds or more; the last one ends in a parabola, a third of its start.
    way = fastest * ramp + 0.5 * (abs(after) + last) * plateau + last * finish / 3.0
    hardest = max(abs(start), peak)
    return Pieces(velocity, acceleration, ramp, plateau, finish, -sign * peak, sign * first, fastest, hardest, way)


class Brake:
    """The brake from one state of motion: what it needs at most, and its steps.

    Args:
        velocity, acceleration: (3,) of the state.
        bounds: of the quantity.
        period: s between two steps.

    Attributes:
        fastest, hardest: norms that velocity and acceleration do not exceed on the way.
        way: length that it does not exceed. reach: (3,) the same in each axis.
    """

    __slots__ = ("_across", "_along", "_period", "_pieces", "fastest", "hardest", "reach", "way")

    def __init__(self, velocity: Vector, acceleration: Vector, bounds: Bounds, period: float) -> None:
        remaining = plus(velocity, norm(acceleration) / (2.0 * bounds.jerk), acceleration)
        length = norm(remaining)
        along = times(1.0 / length, remaining) if length > 1e-9 else unit(acceleration)
        speed, push = dot(velocity, along), dot(acceleration, along)
        rest = plus(velocity, -speed, along)
        if norm(rest) < 1e-12:
            rest = plus(acceleration, -push, along)
        across = ZERO
        if norm(rest) > 1e-12:
            across = unit(plus(rest, -dot(rest, along), along))
        first = brake_axis(speed, push, ALONG * bounds.acceleration, ALONG * bounds.jerk)
        second = NO_PIECES
        if across != ZERO:
            second = brake_axis(
                dot(velocity, across), dot(acceleration, across), ACROSS * bounds.acceleration, ACROSS * bounds.jerk
            )
        self._pieces, self._along, self._across, self._period = (first, second), along, across, period
        self.fastest = math.sqrt(first.fastest * first.fastest + second.fastest * second.fastest)
        self.hardest = math.sqrt(first.hardest * first.hardest + second.hardest * second.hardest)
        # A sum over steps exceeds the integral by at most one step at the greatest speed.
        way = first.way + first.fastest * period
        aside = second.way + second.fastest * period
        self.way = way + aside
        self.reach = (
            abs(along[0]) * way + abs(across[0]) * aside,
            abs(along[1]) * way + abs(across[1]) * aside,
            abs(along[2]) * way + abs(across[2]) * aside,
        )

    def plan(self) -> Array:
        """Return accelerations (n, 3), one per step, that lead to rest."""
        duration = max(pieces.ramp + pieces.plateau + pieces.finish for pieces in self._pieces)
        steps = math.ceil(duration / self._period - 1e-9)
        if steps <= 0:
            return np.zeros((0, 3))
        speeds = _speeds(self._pieces, np.arange(steps + 1, dtype=np.float64) * self._period)
        # The mean acceleration over a step: the sampled velocities are met exactly, the last one is zero.
        changes = (speeds[:, 1:] - speeds[:, :-1]) / self._period
        return changes.T @ np.array([self._along, self._across])


def _speeds(pieces: tuple[Pieces, Pieces], times: Array) -> Array:
    """Return velocities (2, n) of brake pieces at times (n,) in s; zero once a brake is over."""
    start, acceleration, ramp, plateau, finish, middle, jerk = np.array(pieces)[:, :7].T[:, :, None]
    first = np.minimum(times, ramp)
    second = np.minimum(np.maximum(times - ramp, 0.0), plateau)
    third = np.minimum(np.maximum(times - ramp - plateau, 0.0), finish)
    # The acceleration of the last piece falls linearly from the middle one to zero.
    fall = np.where(finish > 0.0, middle / np.maximum(finish, 1e-12), 0.0)
    speeds = (
        start + first * (acceleration + 0.5 * jerk * first) + middle * (second + third) - 0.5 * fall * third * third
    )
    return np.where(times >= ramp + plateau + finish - 1e-12, 0.0, speeds)


class Comfort:
    """What a brake needs at most, told from two norms alone: enough for most setpoints, at a third of the cost.

    Along the velocity that would remain there is f = v + a^2 / (2 j) to brake with the first shares; across it, at
    most a^2 / (2 j) before its own acceleration has ended. Both take f / a_max + a_max / j + a / j at most.
    """

    __slots__ = ("_period", "_pushed", "_velocity", "across", "along")

    def __init__(self, bounds: Bounds, period: float) -> None:
        self._period = period
        self._velocity = bounds.velocity
        # Up to this acceleration neither share is exceeded, whatever its direction.
        self._pushed = ACROSS * bounds.acceleration
        self.along = (ALONG * bounds.acceleration, ALONG * bounds.jerk, bounds.acceleration / bounds.jerk)
        self.across = (ACROSS * bounds.acceleration, ACROSS * bounds.jerk, bounds.acceleration / bounds.jerk)

    def way(self, speed: float, push: float) -> float | None:
        """Return a length that no brake from this speed and acceleration (norms) exceeds.

        None where bounds of velocity or acceleration might be passed on the way, and only ``Brake`` can tell.
        """
        if push > self._pushed:
            return None
        square = 0.5 * push * push
        maximum, jerk, ramp = self.along
        first = speed + square / jerk
        way = first * (first / maximum + ramp + push / jerk + self._period)
        maximum, jerk, ramp = self.across
        second = square / jerk * (1.0 + ACROSS)
        if first + second > self._velocity:
            return None
        return way + second * (second / maximum + ramp + push / jerk + self._period)


def brake_plan(velocity: Vector, acceleration: Vector, bounds: Bounds, period: float) -> Array:
    """Return accelerations (n, 3), one per step, that lead from a velocity and an acceleration (3,) to rest."""
    return Brake(velocity, acceleration, bounds, period).plan()
