"""Pose of the tip under limits: two limited motions, position and rotation, and the workspace box.

The position is bounded inside the box, the rotation is a product of small turns in the base frame. Guarded by
tests/unit/test_control_motion.py.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.control.limits import Bounds, Box, Limits
from vipa_policy.control.motion import LimitedMotion
from vipa_policy.control.timeline import Target
from vipa_policy.geometry import Array

# The box is kept up to rounding of the position's sum.
BOX_ROUNDING = 1e-9


class Tracker:
    """The commanded pose, stepped at a fixed period towards targets.

    Args:
        limits: of the motion.
        period: s between two setpoints.
        base_from_tip: (4, 4) measured pose to start from, at rest.
    """

    def __init__(self, limits: Limits, period: float, base_from_tip: Array) -> None:
        self.limits = limits
        self.period = period
        self._linear = LimitedMotion(Bounds.linear(limits), period)
        self._angular = LimitedMotion(Bounds.angular(limits), period)
        self.anchor(base_from_tip)

    def anchor(self, base_from_tip: Array) -> None:
        """Start afresh from a measured pose (4, 4), at rest."""
        self._position: Array = np.array(base_from_tip[:3, 3], dtype=float)
        self._rotation = Rotation.from_matrix(base_from_tip[:3, :3])
        self._linear.reset()
        self._angular.reset()
        lower, upper = np.array(self.limits.lower), np.array(self.limits.upper)
        # A start outside the box is no reason to jump: the way in is allowed, further out is not.
        self._box = Box(np.minimum(lower, self._position), np.maximum(upper, self._position))

    @property
    def base_from_tip(self) -> Array:
        """The last commanded pose (4, 4)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self._rotation.as_matrix()
        matrix[:3, 3] = self._position
        return matrix

    @property
    def at_rest(self) -> bool:
        """Whether the commanded pose stands still."""
        return self._linear.at_rest and self._angular.at_rest

    def follow(self, target: Target) -> None:
        """Step towards a target, its position clamped into the workspace box."""
        goal = np.clip(target.position, self.limits.lower, self.limits.upper)
        feedforward = np.where(goal == target.position, target.velocity, 0.0)
        self._position = self._position + self._linear.follow(goal - self._position, feedforward, self._inside)
        error = (target.rotation * self._rotation.inv()).as_rotvec()
        self._turn(self._angular.follow(error, target.angular_velocity))

    def brake(self) -> None:
        """Step towards rest along the plans that were verified with the last step."""
        self._position = self._position + self._linear.brake()
        self._turn(self._angular.brake())

    def _turn(self, vector: Array) -> None:
        if vector.any():
            self._rotation = Rotation.from_rotvec(vector) * self._rotation

    def _inside(self, displacements: Array) -> bool:
        """Whether all positions (n, 3) from here lie in the box in force."""
        lowest = self._position + displacements.min(axis=0)
        highest = self._position + displacements.max(axis=0)
        return bool(
            (lowest >= self._box.lower - BOX_ROUNDING).all() and (highest <= self._box.upper + BOX_ROUNDING).all()
        )
