"""A chunk's rows, smoothed within their own error: the single place for it.

A learned policy's rows scatter by a millimetre or two. As a motion that is jerk: 1 mm of scatter at 15 rows a second
takes some 20 m/s^3 to follow, and a plan that limits slow for it is slow for nothing. So rows are moved by as little
as makes their jerk comfortable, and never by more than a tolerance; what remains is left to the pace (``pace``).

Whittaker's smoothing: rows x of y that minimise sum w (x - y)^2 + strength * sum (third difference of x)^2. Straight
lines and parabolas are left as they are, so a steady motion, a rest and a steady slowing are not touched.
Guarded by tests/unit/test_control_smoothing.py.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vipa_policy.control.curve import unwrapped
from vipa_policy.control.rotations import matrices_of
from vipa_policy.geometry import Array

# From one strength to the next the smoothing about doubles its reach (its sixth root is a length in rows).
STRENGTHS = (0.03, 0.3, 3.0, 30.0)
# Share of the limit on jerk that the rows of a chunk may ask for before they are smoothed.
COMFORT = 0.25
# The last row is where a plan ends: a grasp is there, whatever led to it.
LAST_WEIGHT = 10.0


@lru_cache(maxsize=64)
def _smoothers(rows: int) -> Array:
    """Return matrices (strengths, rows, rows) that smooth columns of values."""
    third = np.diff(np.eye(rows), 3, axis=0)
    weights = np.eye(rows)
    weights[-1, -1] = LAST_WEIGHT
    return np.stack([np.linalg.solve(weights + strength * third.T @ third, weights) for strength in STRENGTHS])


def smoothed(rows: Array, tolerance: float, jerk: float, period: float) -> Array:
    """Return rows (n, 3), smoothed as little as brings their jerk to COMFORT of a limit, each within a tolerance.

    Args:
        rows: (n, 3) positions in m, or rotation vectors in rad.
        tolerance: m or rad, that no row is moved further than; 0 smooths nothing.
        jerk: the limit, in m/s^3 or rad/s^3. period: s between rows.
    """
    if len(rows) < 4 or tolerance <= 0.0:
        return rows
    bound = COMFORT * jerk * period**3
    best = rows
    if _roughness(rows) <= bound:
        return rows
    # All strengths at once: a numpy call costs more than what it does to so few numbers.
    candidates = _smoothers(len(rows)) @ rows
    moved, rough = _longest(candidates - rows).tolist(), _roughness(candidates).tolist()
    for candidate, distance, roughness in zip(candidates, moved, rough, strict=True):
        if distance > tolerance:
            break
        best = candidate
        if roughness <= bound:
            break
    return best


def smoothed_rotations(rows: Array, tolerance: float, jerk: float, period: float) -> Array:
    """Return rotations (n, 3, 3), smoothed as rotation vectors relative to the first; arguments as of ``smoothed``."""
    turns = unwrapped(rows)
    smooth = smoothed(turns, tolerance, jerk, period)
    if smooth is turns:
        return rows
    return np.asarray(matrices_of(smooth) @ rows[0])


def _roughness(rows: Array) -> Array:
    """Return the largest third difference (...) of rows (..., n, 3)."""
    return _longest(np.diff(rows, 3, axis=-2))


def _longest(vectors: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("...ij,...ij->...i", vectors, vectors).max(axis=-1)))
