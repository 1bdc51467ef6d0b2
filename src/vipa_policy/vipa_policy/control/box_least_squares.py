"""Damped least squares between bounds: the single place where a step of the joints is weighed against their limits.

A convex problem of seven unknowns: its solution is unique and changes no faster than the data do, which clipping the
free solution does not give. Guarded by tests/unit/test_kinematics.py, which compares it with scipy.
"""

from __future__ import annotations

import numpy as np

from vipa_policy.geometry import Array

# Multipliers and overruns below this count as none; steps are of the size of 1 or smaller.
TOLERANCE = 1e-12


def bounded_step(matrix: Array, wanted: Array, damping: float, preferred: Array, lower: Array, upper: Array) -> Array:
    """Return the x (n,) that minimises |matrix x - wanted|^2 + damping |x - preferred|^2 with lower <= x <= upper.

    Args:
        matrix: (m, n).
        wanted: (m,).
        damping: above 0.
        preferred: (n,), taken where ``matrix`` leaves freedom.
        lower: (n,).
        upper: (n,), nowhere below ``lower``.
    """
    hessian = matrix.T @ matrix
    hessian.flat[:: len(hessian) + 1] += damping
    slope = matrix.T @ wanted + damping * preferred
    step = np.linalg.solve(hessian, slope)
    if np.all(step >= lower) and np.all(step <= upper):
        return np.asarray(step)
    return _active_set(hessian, slope, np.clip(step, lower, upper), lower, upper)


def _active_set(hessian: Array, slope: Array, start: Array, lower: Array, upper: Array) -> Array:
    """Return the minimum of x' hessian x / 2 - slope' x between bounds, from a feasible start, all (n,).

    Primal active set: walk to the minimum over the free unknowns, stop at the first bound met and fix it; at that
    minimum free the bound that pushes back most. The value falls with every round, so it ends.
    """
    step = start
    free = (step > lower) & (step < upper)
    for _ in range(8 * len(step)):
        goal = step.copy()
        if free.any():
            rest = slope[free] - hessian[np.ix_(free, ~free)] @ step[~free]
            goal[free] = np.linalg.solve(hessian[np.ix_(free, free)], rest)
        way = goal - step
        over, under = free & (goal > upper + TOLERANCE), free & (goal < lower - TOLERANCE)
        if over.any() or under.any():
            shares = np.ones_like(step)
            shares[over] = (upper[over] - step[over]) / way[over]
            shares[under] = (lower[under] - step[under]) / way[under]
            first = int(np.argmin(shares))
            step = step + shares[first] * way
            step[first] = upper[first] if over[first] else lower[first]
            free[first] = False
            continue
        step = np.clip(goal, lower, upper)
        push = slope - hessian @ step
        inward = np.where(free, 0.0, np.where(step <= lower, push, -push))
        inward[lower >= upper] = 0.0
        best = int(np.argmax(inward))
        if inward[best] <= TOLERANCE:
            break
        free[best] = True
    return np.clip(step, lower, upper)
