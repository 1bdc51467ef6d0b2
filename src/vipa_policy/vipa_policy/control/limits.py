"""What the motion may never exceed: norms of velocity, acceleration and jerk, and a box for the tip.

All in the robot's base frame. The norms bound the vector, not each axis, and hold for the finite differences of the
streamed setpoints. Guarded by tests/unit/test_control_motion.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from vipa_policy.geometry import Array


@dataclass(frozen=True)
class Limits:
    """Bounds of the commanded motion.

    Attributes:
        linear_velocity: m/s. linear_acceleration: m/s^2. linear_jerk: m/s^3.
        angular_velocity: rad/s. angular_acceleration: rad/s^2. angular_jerk: rad/s^3.
        lower, upper: m, corners of the box the tip stays in, base frame.

    Raises ValueError on a bound that is not finite and above 0, and on a box without volume.
    """

    linear_velocity: float = 0.25
    linear_acceleration: float = 1.0
    linear_jerk: float = 20.0
    angular_velocity: float = 1.0
    angular_acceleration: float = 5.0
    angular_jerk: float = 100.0
    lower: tuple[float, float, float] = (0.25, -0.45, 0.005)
    upper: tuple[float, float, float] = (0.80, 0.45, 0.60)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("lower", "upper"):
                if len(value) != 3 or not all(math.isfinite(edge) for edge in value):
                    raise ValueError(f"expected three finite numbers in m for the box's {field.name}, got {value}")
            elif not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"expected a finite limit above 0 for {field.name}, got {value}")
        for axis, low, high in zip("xyz", self.lower, self.upper, strict=True):
            if not low < high:
                raise ValueError(f"expected a workspace box with lower below upper in {axis}, got {low} and {high} m")


@dataclass(frozen=True)
class Bounds:
    """Bounds of one vector quantity: norms of its velocity, acceleration and jerk."""

    velocity: float
    acceleration: float
    jerk: float

    @classmethod
    def linear(cls, limits: Limits) -> Bounds:
        """Return the bounds of the position, in m and s."""
        return cls(limits.linear_velocity, limits.linear_acceleration, limits.linear_jerk)

    @classmethod
    def angular(cls, limits: Limits) -> Bounds:
        """Return the bounds of the rotation, in rad and s."""
        return cls(limits.angular_velocity, limits.angular_acceleration, limits.angular_jerk)


@dataclass
class Box:
    """The box in force: the workspace, widened to the pose the motion started from where that lies outside."""

    lower: Array
    upper: Array
