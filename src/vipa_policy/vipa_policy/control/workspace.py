"""Where the tip may be: boxes to stay in, boxes to stay out of, the table, the tilt cone.

The rule for a start outside is named *inward only*: however far the tip is past a wall, it may come nearer to it and
never go further past it, nor past another one; once inside it stays there. A box to stay out of is widened by half the
longest way between two setpoints, so that the straight line between them stays out, too.
Guarded by tests/unit/test_control_workspace.py.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.rotations import Quaternion, from_vector, multiply, tool_axis
from vipa_policy.control.vectors import Vector, dot, unit
from vipa_policy.geometry import Array

# m and rad: sums of a hundred displacements round far finer, and this deep is not outside.
ROUNDING = 1e-9
# Rounding of one step to the next; what is outside may not creep further out by steps of ROUNDING.
CREEP = 1e-13
# Rows are bent this far (rad) inside the tilt cone: a curve through rows on its rim would leave it between them.
RIM = 0.01


class Workspace:
    """Where the tip's position may be.

    Args:
        limits: boxes and table, base frame.
        period: s between two setpoints.
    """

    def __init__(self, limits: Limits, period: float) -> None:
        margin = 0.5 * Bounds.linear(limits, period).velocity * period
        self._inside = [(box.lower, box.upper) for box in limits.boxes]
        self._outside = [
            (tuple(edge - margin for edge in box.lower), tuple(edge + margin for edge in box.upper))
            for box in limits.stay_out
        ]
        self._table = limits.table_height
        self._lower = np.array([lower for lower, _ in self._inside])
        self._upper = np.array([upper for _, upper in self._inside])

    def holds_box(self, lowest: Vector, highest: Vector) -> bool:
        """Whether a whole box of positions is allowed, given by its corners; False also where that is unsure."""
        if lowest[2] < self._table:
            return False
        for low, high in self._outside:
            if (
                highest[0] > low[0]
                and lowest[0] < high[0]
                and highest[1] > low[1]
                and lowest[1] < high[1]
                and highest[2] > low[2]
                and lowest[2] < high[2]
            ):
                return False
        return any(
            lowest[0] >= low[0]
            and highest[0] <= high[0]
            and lowest[1] >= low[1]
            and highest[1] <= high[1]
            and lowest[2] >= low[2]
            and highest[2] <= high[2]
            for low, high in self._inside
        )

    def permits(self, points: Array) -> bool:
        """Whether the tip may go along points (n, 3), the first of which is where it is: inward only."""
        depths = np.maximum(self._table - points[:, 2], 0.0)
        if not _never_deeper(depths):
            return False
        for low, high in self._outside:
            if not _never_deeper(np.maximum(np.minimum(points - low, high - points).min(axis=1), 0.0)):
                return False
        # Past the walls of each box, and from the nearest of all: (n, boxes, 3) and (n,).
        beyond = np.maximum(self._lower - points[:, None], points[:, None] - self._upper).clip(min=0.0)
        inward = (beyond[1:] <= np.maximum(beyond[:-1] + CREEP, ROUNDING)).all(axis=2).any(axis=1)
        return bool(inward.all()) and _never_deeper(np.sqrt(np.einsum("nbi,nbi->nb", beyond, beyond)).min(axis=1))

    def bend(self, rows: Array, start: Array) -> Array:
        """Return rows (n, 3) moved to where the tip may be.

        A row outside the boxes to stay in or below the table moves to the nearest place that is neither. A row inside
        a box to stay out of stays at the row before (the first at ``start`` (3,)): the way ends in front of the box.
        """
        clipped = np.clip(rows[:, None], self._lower, self._upper)
        distance = np.linalg.norm(clipped - rows[:, None], axis=2)
        bent = clipped[np.arange(len(rows)), distance.argmin(axis=1)]
        bent[:, 2] = np.maximum(bent[:, 2], self._table)
        for low, high in self._outside:
            inside = ((bent > low) & (bent < high)).all(axis=1)
            for row in np.flatnonzero(inside):
                bent[row] = bent[row - 1] if row else start
        return bent


def _never_deeper(depths: Array) -> bool:
    return bool((depths[1:] <= np.maximum(depths[:-1] + CREEP, ROUNDING)).all())


class TiltCone:
    """How far the tip's z axis may lean away from a direction of the base frame."""

    def __init__(self, limits: Limits) -> None:
        self.direction = unit(limits.tilt_direction)
        self.maximum = limits.tilt
        self._free = limits.tilt >= math.pi

    def tilt_of(self, rotation: Quaternion) -> float:
        """Return the angle in rad between the tip's z axis and the direction."""
        return math.acos(max(-1.0, min(1.0, dot(tool_axis(rotation), self.direction))))

    def holds_turn(self, rotation: Quaternion, angle: float) -> bool:
        """Whether every turn of at most ``angle`` rad from here is allowed; False also where that is unsure."""
        return self._free or self.tilt_of(rotation) + angle <= self.maximum

    def permits(self, rotation: Quaternion, turns: Array) -> bool:
        """Whether the tip may turn from here by turns (n, 3) in rad, one after another: inward only."""
        before = self.tilt_of(rotation)
        for turn in turns.tolist():
            rotation = multiply(from_vector((turn[0], turn[1], turn[2])), rotation)
            tilt = self.tilt_of(rotation)
            if tilt > max(before + CREEP, self.maximum + ROUNDING):
                return False
            before = tilt
        return True

    def bend(self, rotations: Array) -> Array:
        """Return rotation matrices (n, 3, 3) whose z axis is led back into the cone the shortest way."""
        if self._free:
            return rotations
        axes = rotations[:, :, 2]
        angles = np.arccos(np.clip(axes @ np.array(self.direction), -1.0, 1.0))
        excess = np.maximum(angles - max(self.maximum - RIM, 0.5 * self.maximum), 0.0)
        if not excess.any():
            return rotations
        about = np.cross(axes, self.direction)
        length = np.linalg.norm(about, axis=1)
        # A z axis exactly opposite to the direction may be led back any way: about the x axis.
        about = np.where(length[:, None] > 1e-9, about / np.maximum(length, 1e-12)[:, None], rotations[:, :, 0])
        return np.asarray(Rotation.from_rotvec(about * excess[:, None]).as_matrix() @ rotations)
