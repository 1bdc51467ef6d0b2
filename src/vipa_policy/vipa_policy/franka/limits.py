"""What a Franka Research 3 allows each of its joints: the single place for these numbers.

Where the limits of libfranka's rate limiter and those of the arm's own description differ, the stricter number stands.
Guarded by tests/unit/test_franka_tracker.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

JOINTS = 7
JOINT_NAMES = tuple(f"fr3_joint{number}" for number in range(1, JOINTS + 1))
FINGER_NAMES = ("fr3_finger_joint1", "fr3_finger_joint2")

Joints = tuple[float, ...]
"""Seven floats, of fr3_joint1 to fr3_joint7."""


@dataclasses.dataclass(frozen=True)
class JointLimits:
    """Limits of one joint.

    Attributes:
        lower, upper: rad.
        velocity: rad/s; near its stops the arm allows less, see ``velocity_up``.
        acceleration: rad/s².
        jerk: rad/s³.
        offset: rad/s, deceleration: rad/s²: how the velocity that is allowed falls toward a stop.
    """

    lower: float
    upper: float
    velocity: float
    acceleration: float
    jerk: float
    offset: float
    deceleration: float

    def velocity_up(self, position: float) -> float:
        """Return the largest velocity (rad/s) toward the upper stop at a position (rad)."""
        return self._velocity(self.upper - position)

    def velocity_down(self, position: float) -> float:
        """Return the largest velocity (rad/s, positive) toward the lower stop at a position (rad)."""
        return self._velocity(position - self.lower)

    def share(self, velocity: float, acceleration: float, jerk: float) -> JointLimits:
        """Return limits of which only these shares (0 to 1) are used; the range stays."""
        return dataclasses.replace(
            self,
            velocity=velocity * self.velocity,
            acceleration=acceleration * self.acceleration,
            jerk=jerk * self.jerk,
        )

    @property
    def longest_stop(self) -> float:
        """s after which a joint that kept these limits stands, whatever it did before."""
        return self.velocity / self.acceleration + 2.0 * self.acceleration / self.jerk

    def _velocity(self, room: float) -> float:
        if room <= 0.0:
            return 0.0
        return min(self.velocity, max(0.0, math.sqrt(2.0 * self.deceleration * room) - self.offset))


FR3: tuple[JointLimits, ...] = (
    JointLimits(-2.7501, 2.7501, 2.62, 10.0, 5000.0, 0.652, 6.0),
    JointLimits(-1.7918, 1.7918, 2.62, 10.0, 5000.0, 0.25, 2.585),
    JointLimits(-2.9007, 2.9007, 2.62, 10.0, 5000.0, 0.2005, 3.5),
    JointLimits(-3.0481, -0.1458, 2.62, 10.0, 5000.0, 0.3542, 4.0),
    JointLimits(-2.8101, 2.8101, 5.26, 10.0, 5000.0, 0.5738, 17.0),
    JointLimits(0.54092, 4.5205, 4.18, 10.0, 5000.0, 0.4885, 5.5),
    JointLimits(-3.0196, 3.0196, 5.26, 10.0, 5000.0, 0.4592, 17.0),
)
"""Of fr3_joint1 to fr3_joint7."""


def outside(position: Sequence[float], limits: Sequence[JointLimits] = FR3) -> str:
    """Say which joint of a position (7,) in rad lies outside its range, "" where none does."""
    for name, value, limit in zip(JOINT_NAMES, position, limits, strict=True):
        if not limit.lower <= value <= limit.upper:
            return f"{name} at {value:.3f} rad lies outside {limit.lower} to {limit.upper} rad"
    return ""
