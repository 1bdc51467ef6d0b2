"""Euler angles in 24 conventions.

A convention is named by four letters: "s" for turns about fixed axes or "r" for turns about axes that turn along, and
the axes in the order of the turns. "sxyz" is roll, pitch, yaw. Turns about axes that turn along are turns about fixed
axes in reverse order, so everything below is done for fixed axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tf_transformations.quaternions import Quaternion, quaternion_matrix, quaternion_multiply

_TINY = np.finfo(float).eps * 4.0

Axes = str | Sequence[int]


def _sequence(axes: Axes) -> tuple[bool, tuple[int, int, int]]:
    """Return whether the axes turn along, and their numbers in the order of the turns."""
    if isinstance(axes, str):
        if len(axes) == 4 and axes[0] in "sr" and all(letter in "xyz" for letter in axes[1:]):
            first, second, third = ("xyz".index(letter) for letter in axes[1:])
            if first != second != third:
                return axes[0] == "r", (first, second, third)
        raise KeyError(f"expected axes such as 'sxyz' or 'rzyx', got {axes!r}")
    # The encoded form: innermost axis, parity, whether it comes again, whether the axes turn along.
    inner, parity, repetition, turning = axes
    middle = (inner + 1 + parity) % 3
    outer = inner if repetition else 3 - inner - middle
    return bool(turning), (outer, middle, inner) if turning else (inner, middle, outer)


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: Axes = "sxyz") -> Quaternion:
    """Return the quaternion of three turns in rad."""
    turning, sequence = _sequence(axes)
    turns = []
    for angle, axis in zip((ai, aj, ak), sequence, strict=True):
        turn = [0.0, 0.0, 0.0, math.cos(0.5 * angle)]
        turn[axis] = math.sin(0.5 * angle)
        turns.append(turn)
    first, second, third = turns if not turning else reversed(turns)
    return quaternion_multiply(third, quaternion_multiply(second, first))


def euler_matrix(ai: float, aj: float, ak: float, axes: Axes = "sxyz") -> np.ndarray:
    """Return the (4, 4) of three turns in rad."""
    return quaternion_matrix(quaternion_from_euler(ai, aj, ak, axes))


def euler_from_matrix(matrix: ArrayLike, axes: Axes = "sxyz") -> tuple[float, float, float]:
    """Return the three turns in rad of the rotation in a (4, 4) or (3, 3).

    Where the first and the last axis fall together the last turn, or the first one of turning axes, is 0.
    """
    turning, sequence = _sequence(axes)
    i, j, last = reversed(sequence) if turning else sequence
    k = 3 - i - j
    m = np.asarray(matrix, dtype=float)[:3, :3]
    if last == i:
        middle = math.atan2(math.hypot(m[i, j], m[i, k]), m[i, i])
        degenerate = math.hypot(m[i, j], m[i, k]) <= _TINY
        outer = math.atan2(m[i, j], m[i, k]), math.atan2(m[j, i], -m[k, i])
    else:
        middle = math.atan2(-m[k, i], math.hypot(m[i, i], m[j, i]))
        degenerate = math.hypot(m[i, i], m[j, i]) <= _TINY
        outer = math.atan2(m[k, j], m[k, k]), math.atan2(m[j, i], m[i, i])
    if degenerate:
        outer = math.atan2(-m[j, k], m[j, j]), 0.0
    # The formulas hold for x, y, z in cyclic order; in the other order every turn goes the other way.
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    first, last_turn = (outer[1], outer[0]) if turning else outer
    return sign * first, sign * middle, sign * last_turn


def euler_from_quaternion(quaternion: ArrayLike, axes: Axes = "sxyz") -> tuple[float, float, float]:
    """Return the three turns in rad of a quaternion of any length."""
    return euler_from_matrix(quaternion_matrix(quaternion), axes)
