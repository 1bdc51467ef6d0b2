"""Seven joints that follow a reference at 1 kHz and never leave their limits, whatever the reference does.

Each step proposes a jerk by a linear law (three equal poles, the reference's velocity fed forward). It is taken only if
the stop that could follow it keeps velocity and range; otherwise the stop of the step before goes on. So every command
is one that can be braked after, and no reference, however wild, matters for the bounds.
Guarded by tests/unit/test_franka_tracker.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vipa_policy.franka.limits import FR3, JointLimits, Joints
from vipa_policy.franka.stop import State, Stop, advance

PERIOD = 0.001  # s between two commands
# Shares of what is allowed that the law asks for: a law that touches the bounds is overruled at every other step.
VELOCITY_WANTED = 0.97
BRAKING_WANTED = 0.8
# rad/s: what rounding leaves of a velocity that is 0; it is not held against a joint near its stop.
NOTHING = 1e-9
# rad, kept from the ends of the range.
MARGIN = 1e-3


class JointTracker:
    """One joint.

    Args:
        limits: to be kept.
        bandwidth: rad/s, of the three equal poles.
        position: rad, where it stands.
    """

    __slots__ = (
        "_approach",
        "_braking",
        "_knee",
        "_limits",
        "_plan",
        "_since",
        "_to_acceleration",
        "_to_jerk",
        "state",
    )

    def __init__(self, limits: JointLimits, bandwidth: float, position: float) -> None:
        self._limits = limits
        self._approach, self._to_acceleration, self._to_jerk = bandwidth / 3.0, bandwidth, 3.0 * bandwidth
        self._braking = BRAKING_WANTED * limits.acceleration
        self._knee = self._braking / (self._approach * self._approach)
        self.state: State = (position, 0.0, 0.0)
        self._plan = Stop(self.state, limits.acceleration, limits.jerk)
        self._since = 0.0

    def follow(self, position: float, velocity: float) -> float:
        """Take one step after a reference (rad, rad/s); returns the position to command in rad."""
        state = advance(self.state, self._jerk(position, velocity), PERIOD)
        plan = Stop(state, self._limits.acceleration, self._limits.jerk)
        if not self._safe(plan):
            return self.brake()
        self.state, self._plan, self._since = state, plan, 0.0
        return state[0]

    def brake(self) -> float:
        """Take one step of the stop; returns the position to command in rad."""
        self._since += PERIOD
        self.state = self._plan.at(self._since)
        return self.state[0]

    @property
    def at_rest(self) -> bool:
        """Whether the joint is commanded to stand."""
        return self._since >= self._plan.duration

    def _jerk(self, position: float, velocity: float) -> float:
        limits = self._limits
        place, speed, acceleration = self.state
        away = min(max(position, limits.lower + MARGIN), limits.upper - MARGIN) - place
        distance = abs(away)
        # Close by the law is linear; farther off it asks for what can still be braked.
        if distance <= self._knee:
            wanted = self._approach * away
        else:
            wanted = math.copysign(math.sqrt(2.0 * self._braking * (distance - 0.5 * self._knee)), away)
        top = VELOCITY_WANTED * limits.velocity
        wanted = self._to_acceleration * (min(max(velocity + wanted, -top), top) - speed)
        wanted = min(max(wanted, -limits.acceleration), limits.acceleration)
        jerk = self._to_jerk * (wanted - acceleration)
        return min(max(jerk, -limits.jerk), limits.jerk)

    def _safe(self, plan: Stop) -> bool:
        limits = self._limits
        up, down = plan.fastest_up, plan.fastest_down
        if up > NOTHING and up > limits.velocity_up(plan.highest):
            return False
        return not (down > NOTHING and down > limits.velocity_down(plan.lowest))


class ArmTracker:
    """Seven joints, each for itself.

    Args:
        position: rad (7,), where they stand.
        limits: of the joints.
        bandwidth: rad/s.
    """

    def __init__(self, position: Sequence[float], limits: Sequence[JointLimits] = FR3, bandwidth: float = 80.0) -> None:
        self._joints = [
            JointTracker(limit, bandwidth, float(place)) for limit, place in zip(limits, position, strict=True)
        ]

    def follow(self, positions: Sequence[float], velocities: Sequence[float]) -> list[float]:
        """Take one step after a reference, rad and rad/s (7,) each; returns the positions to command in rad (7,)."""
        return [
            joint.follow(position, velocity)
            for joint, position, velocity in zip(self._joints, positions, velocities, strict=True)
        ]

    def brake(self) -> list[float]:
        """Take one step toward rest; returns the positions to command in rad (7,)."""
        return [joint.brake() for joint in self._joints]

    @property
    def at_rest(self) -> bool:
        """Whether all joints are commanded to stand."""
        return all(joint.at_rest for joint in self._joints)

    @property
    def position(self) -> Joints:
        """Commanded positions in rad (7,)."""
        return tuple(joint.state[0] for joint in self._joints)
