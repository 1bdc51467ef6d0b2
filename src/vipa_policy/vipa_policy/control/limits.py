"""What the motion may never exceed, in the robot's base frame and after the transform.

Norms of step, velocity, acceleration and jerk bound the vector, not each axis, and hold for the finite differences of
the streamed setpoints; boxes, table and tilt hold for every setpoint. ``workspace`` says where the tip may be, in
numbers. Guarded by tests/unit/test_control_motion.py and tests/unit/test_control_workspace.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Triple = tuple[float, float, float]

# Shares of acceleration and jerk along and across the direction of braking: 0.9^2 + 0.43^2 < 1, so the norm holds.
ALONG, ACROSS = 0.9, 0.43
# s, within which every hold must have come to rest.
HOLD_WITHIN = 0.6
# m; a thinner box to stay out of could be stepped across between two setpoints.
THINNEST = 0.01

NORMS = (
    "linear_velocity",
    "linear_acceleration",
    "linear_jerk",
    "linear_step",
    "angular_velocity",
    "angular_acceleration",
    "angular_jerk",
    "angular_step",
    "tilt",
)


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in the base frame: corners in m. Raises ValueError where it has no volume."""

    lower: Triple
    upper: Triple

    def __post_init__(self) -> None:
        for name, corner in (("lower", self.lower), ("upper", self.upper)):
            if len(corner) != 3 or not all(math.isfinite(edge) for edge in corner):
                raise ValueError(f"expected three finite numbers in m for a box's {name} corner, got {corner}")
        for axis, low, high in zip("xyz", self.lower, self.upper, strict=True):
            if not low < high:
                raise ValueError(f"expected a box with lower below upper in {axis}, got {low} and {high} m")


@dataclass(frozen=True)
class Limits:
    """Bounds of the commanded motion.

    Attributes:
        linear_velocity: m/s. linear_acceleration: m/s^2. linear_jerk: m/s^3.
        angular_velocity: rad/s. angular_acceleration: rad/s^2. angular_jerk: rad/s^3.
        linear_step, angular_step: m and rad between two setpoints, whatever their rate.
        lower, upper: m, corners of the box the tip stays in.
        stay_in: further boxes; the tip stays in at least one of all.
        stay_out: boxes the tip stays out of.
        table_height: m, height of the base frame the tip stays above.
        tilt: rad, largest angle between the tip's z axis and ``tilt_direction``; pi bounds nothing.
        tilt_direction: of the base frame, any length above 0.

    Raises ValueError on a bound that is not finite and above 0, a box without volume, a direction that is none.
    """

    linear_velocity: float = 0.25
    linear_acceleration: float = 1.0
    linear_jerk: float = 20.0
    angular_velocity: float = 1.0
    angular_acceleration: float = 5.0
    angular_jerk: float = 100.0
    linear_step: float = 0.02
    angular_step: float = 0.1
    lower: Triple = (0.25, -0.45, 0.012)
    upper: Triple = (0.80, 0.45, 0.60)
    stay_in: tuple[Box, ...] = ()
    stay_out: tuple[Box, ...] = ()
    table_height: float = 0.0
    tilt: float = 1.2
    tilt_direction: Triple = (0.0, 0.0, -1.0)

    def __post_init__(self) -> None:
        for name in NORMS:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"expected a finite limit above 0 for {name}, got {value}")
        Box(self.lower, self.upper)
        for box in self.stay_out:
            thickness = min(high - low for low, high in zip(box.lower, box.upper, strict=True))
            if thickness < THINNEST:
                raise ValueError(f"expected a box to stay out of at least {THINNEST} m thick, got {thickness} m")
        if not math.isfinite(self.table_height):
            raise ValueError(f"expected a finite table_height in m, got {self.table_height}")
        if self.tilt > math.pi:
            raise ValueError(f"expected a tilt of at most pi rad, got {self.tilt}")
        if not (all(math.isfinite(part) for part in self.tilt_direction) and math.hypot(*self.tilt_direction) > 1e-6):
            raise ValueError(f"expected a tilt_direction of some length, got {self.tilt_direction}")
        if not any(box.upper[2] > self.table_height for box in self.boxes):
            raise ValueError(f"expected a workspace box that reaches above the table at {self.table_height} m")

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All boxes to stay in."""
        return (Box(self.lower, self.upper), *self.stay_in)

    def check_hold(self, period: float) -> None:
        """Raise ValueError where a brake from full speed may take longer than ``HOLD_WITHIN``; period in s."""
        for kind, bounds in (("linear", Bounds.linear(self, period)), ("angular", Bounds.angular(self, period))):
            longest = bounds.stopping_time
            if longest > HOLD_WITHIN:
                raise ValueError(
                    f"expected {kind} limits that brake to rest within {HOLD_WITHIN} s, these may take {longest:.2f} "
                    f"s; lower {kind}_velocity or raise {kind}_acceleration or {kind}_jerk"
                )


@dataclass(frozen=True)
class Bounds:
    """Bounds of one vector quantity: norms of its velocity, acceleration and jerk."""

    velocity: float
    acceleration: float
    jerk: float

    @classmethod
    def linear(cls, limits: Limits, period: float = 0.01) -> Bounds:
        """Return the bounds of the position, in m and s, for setpoints every ``period`` s."""
        velocity = min(limits.linear_velocity, limits.linear_step / period)
        return cls(velocity, limits.linear_acceleration, limits.linear_jerk)

    @classmethod
    def angular(cls, limits: Limits, period: float = 0.01) -> Bounds:
        """Return the bounds of the rotation, in rad and s, for setpoints every ``period`` s."""
        velocity = min(limits.angular_velocity, limits.angular_step / period)
        return cls(velocity, limits.angular_acceleration, limits.angular_jerk)

    @property
    def stopping_time(self) -> float:
        """The longest brake in s: from full speed, still accelerating, on the shares of ``braking``."""
        maximum, jerk = ALONG * self.acceleration, ALONG * self.jerk
        peak = min(maximum, math.sqrt(jerk * self.velocity))
        # Harder than this nothing accelerates that must not pass the speed limit.
        pushed = min(self.acceleration, math.sqrt(2.0 * self.jerk * self.velocity))
        return self.velocity / peak + peak / jerk + pushed / jerk
