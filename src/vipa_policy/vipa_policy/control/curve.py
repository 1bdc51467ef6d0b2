"""A chunk's rows as one smooth motion: the single place for what lies between rows.

Position and rotation are quintic Hermite curves through every row, so twice continuously differentiable (C2) in time.
Rotations are interpolated as rotation vectors relative to the first row, unwrapped, which passes through every row and
is as smooth on SO(3). Slopes and second derivatives at a row are those of the natural quintic spline, the curve of
least jerk through the rows, shortened where a neighbouring difference is short, so that a plan that comes to rest in a
row stays in it and does not swing through.
Guarded by tests/unit/test_control_curve.py.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import make_interp_spline

from vipa_policy.control.rotations import (
    Quaternion,
    between,
    from_matrix,
    from_vector,
    multiply,
    nearest_turn,
    to_matrix,
    vectors_of,
)
from vipa_policy.control.vectors import Vector, clamp_norm, plus, vector
from vipa_policy.geometry import Array

# Coefficients of 1, s, ..., s^5 from (p0, m0, c0, p1, m1, c1), s in [0, 1]: quintic Hermite.
HERMITE = np.array(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.5, 0.0, 0.0, 0.0],
        [-10.0, -6.0, -1.5, 10.0, -4.0, 0.5],
        [15.0, 8.0, 1.5, -15.0, 7.0, -1.0],
        [-6.0, -3.0, -0.5, 6.0, -3.0, 0.5],
    ]
)
# A slope may be this many times the shorter of the two differences beside it.
STEEPEST = 2.0
# Places per row at which speeds along a curve are looked at.
SAMPLES = 4
PARTS = ("position", "rotation")  # three numbers each
_PLACES = np.arange(SAMPLES)[:, None] / SAMPLES
_POWERS = np.arange(6)
_SAMPLED = np.stack(
    [
        np.where(
            order <= _POWERS,
            np.prod([np.maximum(_POWERS - k, 0) for k in range(order)], axis=0)
            * _PLACES ** np.maximum(_POWERS - order, 0),
            0.0,
        )
        for order in (1, 2, 3)
    ]
)


class Curve:
    """Rows as a function of plan time: 0 at the capture, (i + 1) * period at row i, at rest after the last.

    At the capture the tip was where it was measured: a row before the first, and part of the curve. A policy that
    answers within a row's time is followed there and nowhere else, so what lies there decides where the arm goes. Where
    the start is not known the curve runs as from the first row to the second, backwards; at a bend ahead that leads
    away from the plan.

    Args:
        positions: (rows, 3) m. rotations: (rows, 3, 3). Base frame.
        period: s between rows.
        start: (3,) m and (3, 3), the tip at the capture; None where that is not known.
    """

    def __init__(
        self, positions: Array, rotations: Array, period: float, start: tuple[Array, Array] | None = None
    ) -> None:
        self.period = period
        self.rows = len(positions)
        if start is not None:
            positions, rotations = (
                np.concatenate([start[0][None], positions]),
                np.concatenate([start[1][None], rotations]),
            )
        self._origin = from_matrix(rotations[0])
        knots = np.concatenate([positions, unwrapped(rotations)], axis=1)
        if start is None:
            self.knots = np.concatenate([[2.0 * knots[0] - knots[min(1, self.rows - 1)]], knots])
            self._coefficients = _segments(self.knots, *_led_to(self.knots))
        else:
            self.knots = knots
            self._coefficients = _segments(knots, *_of_least_jerk(knots))
        self._quintics: list[list[list[float]]] = self._coefficients.transpose(0, 2, 1).tolist()

    @property
    def end(self) -> float:
        """Plan time of the last row in s."""
        return self.rows * self.period

    def place(self, time: float) -> tuple[Vector, Vector]:
        """Return position (3,) in m and rotation vector (3,) in rad at a plan time in s."""
        position = time / self.period
        if position >= self.rows:
            x, y, z, rx, ry, rz = self.knots[-1].tolist()
            return (x, y, z), (rx, ry, rz)
        index = max(int(position), 0)
        s = max(position - index, 0.0)
        x, y, z, rx, ry, rz = (
            ((((q[5] * s + q[4]) * s + q[3]) * s + q[2]) * s + q[1]) * s + q[0] for q in self._quintics[index]
        )
        return (x, y, z), (rx, ry, rz)

    def rotation(self, turn: Vector) -> Quaternion:
        """Return the rotation of a rotation vector of this curve."""
        return multiply(from_vector(turn), self._origin)

    def derivative(self, time: float, order: int) -> tuple[Vector, Vector]:
        """Return a time derivative (order 1 or 2) of position and rotation vector; zero outside the curve."""
        position = time / self.period
        if not 0.0 <= position < self.rows:
            return (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        index = int(position)
        s = position - index
        weights = [0.0, 1.0, 2.0 * s, 3.0 * s * s, 4.0 * s**3, 5.0 * s**4]
        if order == 2:
            weights = [0.0, 0.0, 2.0, 6.0 * s, 12.0 * s * s, 20.0 * s**3]
        values = np.array(weights) @ self._coefficients[index] / self.period**order
        return vector(values[:3]), vector(values[3:])

    def sampled(self) -> Array:
        """Return norms (3, 2, rows * SAMPLES) of the first three derivatives, of position and rotation vector."""
        values = np.einsum("osp,rpd->orsd", _SAMPLED, self._coefficients).reshape(3, -1, 2, 3)
        norms = np.sqrt(np.einsum("onkd,onkd->okn", values, values))
        return np.asarray(norms / self.period ** np.arange(1, 4)[:, None, None])


def setting_out(start: Array, rows: Array, most: tuple[float, float]) -> Array:
    """Return the place (4, 4) a row before the first: the start, as far as a motion can bend in the first row.

    A learned policy's first row may lie a centimetre beside the tip. That is a gap, for the seam to close; a curve that
    led there within one row would be slow for it.

    Args:
        start: (4, 4) measured tip at the capture. rows: (n, 4, 4).
        most: m and rad, greatest second difference of positions and rotations.
    """
    first, second = rows[0], rows[min(1, len(rows) - 1)]
    steady = 2.0 * first[:3, 3] - second[:3, 3]
    turned = from_matrix(first[:3, :3] @ second[:3, :3].T @ first[:3, :3])
    away = clamp_norm(vector(start[:3, 3] - steady), most[0])
    lean = clamp_norm(between(turned, from_matrix(start)), most[1])
    return to_matrix(multiply(from_vector(lean), turned), plus(vector(steady), 1.0, away))


def unwrapped(rotations: Array) -> Array:
    """Return rotation vectors (rows, 3) relative to the first rotation, base frame, without jumps of a full turn."""
    turns = vectors_of(rotations @ rotations[0].T)
    if np.einsum("ij,ij->i", turns, turns).max() < 4.0:  # rad^2; far from pi nothing wraps
        return turns
    previous: Vector = (0.0, 0.0, 0.0)
    unwrapped = []
    for turn in turns:
        previous = nearest_turn(vector(turn), previous)
        unwrapped.append(previous)
    return np.array(unwrapped)


@lru_cache(maxsize=64)
def _spline_derivatives(knots: int) -> tuple[Array, Array]:
    """Return matrices (knots, knots): slopes and second derivatives of the curve of least jerk from its values.

    Few knots take what spline they have enough of.
    """
    degree = 5 if knots >= 6 else 3 if knots >= 4 else min(knots - 1, 1)
    free = [(order, np.zeros(knots)) for order in range((degree + 1) // 2, degree)]
    ends = (free, free) if free else None
    spline = make_interp_spline(np.arange(knots), np.eye(knots), degree, bc_type=ends)
    return spline(np.arange(knots), 1), spline(np.arange(knots), 2)


def _of_least_jerk(knots: Array) -> tuple[Array, Array]:
    """Return slopes and second derivatives (n, dimensions) of the spline through all knots (n, dimensions)."""
    first, second = _spline_derivatives(len(knots))
    return first @ knots, second @ knots


def _led_to(knots: Array) -> tuple[Array, Array]:
    """Return the same where the first knot was made up: the spline goes through the others, and is led to by it."""
    slopes, bends = _of_least_jerk(knots[1:])
    return np.concatenate([knots[1:2] - knots[:1], slopes]), np.concatenate([np.zeros_like(knots[:1]), bends])


def _segments(knots: Array, slopes: Array, bends: Array) -> Array:
    """Return coefficients (n - 1, 6, dimensions) of quintics over s in [0, 1] between knots (n, dimensions).

    Slopes and second derivatives (n, dimensions) are shortened where a step beside them is short.
    """
    lengths = _norms(np.diff(knots, axis=0))
    # At rest behind the last knot.
    behind, ahead = np.concatenate([lengths[:1], lengths]), np.concatenate([lengths, np.zeros((1, len(PARTS)))])
    shorter = STEEPEST * np.minimum(behind, ahead)
    slopes, bends = _shortened(slopes, shorter), _shortened(bends, shorter)
    ends = np.stack([knots[:-1], slopes[:-1], bends[:-1], knots[1:], slopes[1:], bends[1:]], axis=1)
    return np.asarray(HERMITE @ ends)


def _norms(vectors: Array) -> Array:
    """Return the lengths (n, parts) of the parts of vectors (n, dimensions)."""
    parts = vectors.reshape(len(vectors), len(PARTS), -1)
    return np.asarray(np.sqrt(np.einsum("npd,npd->np", parts, parts)))


def _shortened(vectors: Array, lengths: Array) -> Array:
    """Return vectors (n, dimensions), each part at most as long as its length (n, parts)."""
    factors = np.minimum(1.0, lengths / np.maximum(_norms(vectors), 1e-12))
    return vectors * np.repeat(factors, vectors.shape[1] // len(PARTS), axis=1)
