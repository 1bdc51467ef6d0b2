"""Pose of the tip under limits: two limited motions, position and rotation, and where they may go.

The position is bounded inside the workspace, the rotation, a product of small turns in the base frame, inside the tilt
cone. Guarded by tests/unit/test_control_motion.py.
"""

from __future__ import annotations

import numpy as np

from vipa_policy.control import rotations
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.motion import LimitedMotion
from vipa_policy.control.timeline import Command, Target
from vipa_policy.control.vectors import Vector, minus, plus, times, vector
from vipa_policy.control.workspace import TiltCone, Workspace
from vipa_policy.geometry import Array


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
        self._linear = LimitedMotion(Bounds.linear(limits, period), period)
        self._angular = LimitedMotion(Bounds.angular(limits, period), period)
        self._workspace = Workspace(limits, period)
        self._cone = TiltCone(limits)
        self._places, self._turns = _Places(self), _Turns(self)
        self.anchor(base_from_tip)

    def anchor(self, base_from_tip: Array) -> None:
        """Start afresh from a measured pose (4, 4), at rest."""
        self.position: Vector = vector(base_from_tip[:3, 3])
        self.rotation = rotations.from_matrix(base_from_tip)
        self._linear.reset()
        self._angular.reset()

    @property
    def base_from_tip(self) -> Array:
        """The last commanded pose (4, 4)."""
        return rotations.to_matrix(self.rotation, self.position)

    @property
    def command(self) -> Command:
        """The state of what is commanded."""
        linear, angular = self._linear, self._angular
        return Command(
            self.position, self.rotation, linear.velocity, linear.acceleration, angular.velocity, angular.acceleration
        )

    def slow(self, share: float) -> None:
        """Ask for no more than this share of the greatest velocities from here on."""
        self._linear.speed = self._angular.speed = share

    @property
    def at_rest(self) -> bool:
        """Whether the commanded pose stands still."""
        return self._linear.at_rest and self._angular.at_rest

    def follow(self, target: Target) -> None:
        """Step towards a target."""
        rate = 1.0 / self.period
        push = times(rate, minus(target.next_velocity, target.velocity))
        error = minus(target.position, self.position)
        self._move(self._linear.follow(error, target.velocity, push, self._places))
        push = times(rate, minus(target.next_turn_rate, target.turn_rate))
        error = rotations.between(self.rotation, target.rotation)
        self._turn(self._angular.follow(error, target.turn_rate, push, self._turns))

    def brake(self) -> None:
        """Step towards rest along the plans that were verified with the last step."""
        self._move(self._linear.brake())
        self._turn(self._angular.brake())

    def _move(self, displacement: Vector) -> None:
        self.position = plus(self.position, 1.0, displacement)

    def _turn(self, turn: Vector) -> None:
        self.rotation = rotations.normalised(rotations.multiply(rotations.from_vector(turn), self.rotation))


class _Places:
    """The workspace as seen from the commanded position."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def holds(self, first: Vector, reach: Vector, way: float) -> bool:
        start = self._tracker.position
        middle = plus(start, 1.0, first)
        # The step itself is held, too: allowed is a convex box around both its ends.
        wide = (reach[0] + abs(first[0]), reach[1] + abs(first[1]), reach[2] + abs(first[2]))
        return self._tracker._workspace.holds_box(minus(middle, wide), plus(middle, 1.0, wide))

    def permits(self, steps: Array) -> bool:
        start = np.array(self._tracker.position)
        return self._tracker._workspace.permits(np.concatenate([[start], start + np.cumsum(steps, axis=0)]))


class _Turns:
    """The tilt cone as seen from the commanded rotation."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def holds(self, first: Vector, reach: Vector, way: float) -> bool:
        step = abs(first[0]) + abs(first[1]) + abs(first[2])
        return self._tracker._cone.holds_turn(self._tracker.rotation, way + step)

    def permits(self, steps: Array) -> bool:
        return self._tracker._cone.permits(self._tracker.rotation, steps)
