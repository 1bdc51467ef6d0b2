"""What MoveIt Servo does to the tip, without its planner: integrates twists, or goes to a pose at its own pace.

Guarded by tests/sim/test_servo.py and in the closed loop by ``make eval-cell CONTROLLER=servo_twist``.
"""

from __future__ import annotations

from typing import Final

from vipa_policy.control import rotations
from vipa_policy.control.vectors import Vector, clamp_norm, minus, plus, times, vector
from vipa_policy.geometry import Array
from vipa_sim.cell import Cell

LINEAR_SPEED: Final = 0.4
"""m/s, Servo's default ``scale.linear``."""
ANGULAR_SPEED: Final = 0.8
"""rad/s, Servo's default ``scale.rotational``."""


class ServoMotion:
    """Moves the arm's aim step by step; a step out of reach is not taken, as Servo halts near a singularity."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.begin()

    def begin(self) -> None:
        """Start from where the tip is measured."""
        measured = self._cell.base_from_tip
        self._position, self._rotation = vector(measured[:3, 3]), rotations.from_matrix(measured)

    def twist(self, velocity: Vector, turn_rate: Vector, period: float) -> bool:
        """Go on for ``period`` (s) at a velocity (m/s) and turn rate (rad/s), base frame; returns whether reachable."""
        displacement = times(period, clamp_norm(velocity, LINEAR_SPEED))
        return self._step(displacement, times(period, clamp_norm(turn_rate, ANGULAR_SPEED)))

    def approach(self, base_from_tip: Array, period: float) -> bool:
        """Go towards a pose (4, 4) for ``period`` (s), no faster than Servo's speeds; returns whether reachable."""
        displacement = minus(vector(base_from_tip[:3, 3]), self._position)
        turn = rotations.between(self._rotation, rotations.from_matrix(base_from_tip))
        return self._step(clamp_norm(displacement, LINEAR_SPEED * period), clamp_norm(turn, ANGULAR_SPEED * period))

    def _step(self, displacement: Vector, turn: Vector) -> bool:
        position = plus(self._position, 1.0, displacement)
        rotation = rotations.normalised(rotations.multiply(rotations.from_vector(turn), self._rotation))
        if not self._cell.set_target(rotations.to_matrix(rotation, position)):
            self._cell.set_target(rotations.to_matrix(self._rotation, self._position))
            return False
        self._position, self._rotation = position, rotation
        return True
