"""Vectors of three floats as plain tuples: the single place for the small sums of the hot path.

A setpoint needs a few dozen of them; on arrays of three, numpy's overhead per call is ten times the work.
Guarded by tests/unit/test_control_rotations.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

Vector = tuple[float, float, float]
"""Three floats; unit and frame as its name says."""

ZERO: Vector = (0.0, 0.0, 0.0)


def vector(values: Iterable[float]) -> Vector:
    """Return three numbers, of an array for instance, as a vector."""
    x, y, z = values
    return float(x), float(y), float(z)


def dot(first: Vector, second: Vector) -> float:
    """Return the scalar product."""
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def norm(values: Vector) -> float:
    """Return the length."""
    return math.sqrt(values[0] * values[0] + values[1] * values[1] + values[2] * values[2])


def plus(first: Vector, factor: float, second: Vector) -> Vector:
    """Return first + factor * second."""
    return first[0] + factor * second[0], first[1] + factor * second[1], first[2] + factor * second[2]


def minus(first: Vector, second: Vector) -> Vector:
    """Return first - second."""
    return first[0] - second[0], first[1] - second[1], first[2] - second[2]


def times(factor: float, values: Vector) -> Vector:
    """Return factor * values."""
    return factor * values[0], factor * values[1], factor * values[2]


def cross(first: Vector, second: Vector) -> Vector:
    """Return the vector product."""
    return (
        first[1] * second[2] - first[2] * second[1],
        first[2] * second[0] - first[0] * second[2],
        first[0] * second[1] - first[1] * second[0],
    )


def unit(values: Vector) -> Vector:
    """Return the direction; zeros where there is none."""
    length = norm(values)
    return times(1.0 / length, values) if length > 1e-12 else ZERO


def clamp_norm(values: Vector, maximum: float) -> Vector:
    """Return the vector, shortened to a length where it is longer."""
    length = norm(values)
    return values if length <= maximum else times(maximum / length, values)
