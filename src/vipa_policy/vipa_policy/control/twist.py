"""From setpoints to the twists of a driver that takes velocities: the plan's own, and a little to stay on the plan.

A driver that integrates twists drifts away from the poses they were made of. Where the tip was measured elsewhere than
the plan had it, the difference is closed slowly, and only while the plan itself moves: a plan at rest gives no twist,
whatever was measured. Guarded by tests/unit/test_control_twist.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vipa_policy.control import rotations
from vipa_policy.control.rotations import Quaternion
from vipa_policy.control.vectors import ZERO, Vector, clamp_norm, minus, norm, plus, times, vector
from vipa_policy.geometry import Array

# s of plan that is remembered: measurements are younger.
MEMORY = 1.0
# A plan that pauses or leaps by more was begun afresh where the tip is: s, m, rad.
PAUSE, LEAP, TURN = 0.1, 1e-3, 1e-2
# s over which the correction takes up a new measurement: they come in steps.
SMOOTHING = 0.1


@dataclass(frozen=True)
class TwistSettings:
    """How a drift is closed.

    Attributes:
        gain: 1/s, speed per drift; 0 streams the plan's twists as they are.
        share: largest part of the plan's own speed that is added.
        lag: s by which the tip follows its plan late; the drift is what is left beside it.
        lever: m, what a radian is worth beside a metre when the plan's speed is taken: one that only turns closes a
            drift in position too.
    """

    gain: float = 2.0
    share: float = 0.2
    lag: float = 0.05
    lever: float = 0.25

    def __post_init__(self) -> None:
        if not (self.gain >= 0.0 and 0.0 <= self.share < 1.0 and self.lag >= 0.0 and self.lever > 0.0):
            raise ValueError("expected gain and lag of 0 or more, share in [0, 1) and lever above 0 m")


@dataclass(frozen=True)
class Drift:
    """Where the plan had the tip, seen from where it was measured: m and rad along x, y, z of the base frame."""

    position: Vector = ZERO
    rotation: Vector = ZERO


class TwistStream:
    """Twists of the tip, about the tip, along the axes of the base frame."""

    def __init__(self, settings: TwistSettings | None = None) -> None:
        self._settings = settings or TwistSettings()
        self._plan: deque[tuple[float, Vector, Quaternion]] = deque()
        self.restart()

    def restart(self) -> None:
        """Forget the plan and its drift: what follows begins where the tip is."""
        self._plan.clear()
        self.drift = self._closing = Drift()

    def measure(self, base_from_tip: Array, stamp: float) -> None:
        """Compare the measured pose (4, 4) of time ``stamp`` (s) with what the plan had, ``lag`` before."""
        planned = self._planned(stamp - self._settings.lag)
        if planned is None:
            return
        position, rotation = planned
        self.drift = Drift(
            minus(position, vector(base_from_tip[:3, 3])),
            rotations.between(rotations.from_matrix(base_from_tip), rotation),
        )

    def twist(self, stamp: float, base_from_tip: Array, velocity: Vector, turn_rate: Vector) -> tuple[Vector, Vector]:
        """Return velocity (m/s) and turn rate (rad/s) to command for a setpoint at ``stamp`` (s).

        Args:
            stamp: s; setpoints come in their order.
            base_from_tip: (4, 4) planned pose.
            velocity: m/s, of the plan.
            turn_rate: rad/s, of the plan.
        """
        settings = self._settings
        self._continue(stamp, base_from_tip, velocity, turn_rate)
        speed = norm(velocity) + settings.lever * norm(turn_rate)
        most = settings.share * speed
        linear = clamp_norm(times(settings.gain, self._closing.position), most)
        angular = clamp_norm(times(settings.gain, self._closing.rotation), most / settings.lever)
        return plus(velocity, 1.0, linear), plus(turn_rate, 1.0, angular)

    def _continue(self, stamp: float, base_from_tip: Array, velocity: Vector, turn_rate: Vector) -> None:
        """Take a setpoint into the plan, and take up a part of the drift."""
        position, rotation = vector(base_from_tip[:3, 3]), rotations.from_matrix(base_from_tip)
        elapsed = 0.0
        if self._plan:
            before, last_position, last_rotation = self._plan[-1]
            elapsed = stamp - before
            leap = norm(minus(position, plus(last_position, elapsed, velocity)))
            turn = norm(rotations.between(last_rotation, rotation)) - elapsed * norm(turn_rate)
            if elapsed > PAUSE or leap > LEAP or turn > TURN:
                self.restart()
        self._plan.append((stamp, position, rotation))
        while self._plan[0][0] < stamp - MEMORY:
            self._plan.popleft()
        part = elapsed / (elapsed + SMOOTHING)
        closing, drift = self._closing, self.drift
        self._closing = Drift(
            plus(closing.position, part, minus(drift.position, closing.position)),
            plus(closing.rotation, part, minus(drift.rotation, closing.rotation)),
        )

    def _planned(self, stamp: float) -> tuple[Vector, Quaternion] | None:
        """Return the planned position and rotation at a time in s, None where it lies outside what is remembered."""
        plan = self._plan
        if not plan or stamp < plan[0][0]:
            return None
        # Measurements are young: what is looked for lies near the end.
        for index in range(len(plan) - 1, -1, -1):
            begin, position, rotation = plan[index]
            if begin <= stamp:
                break
        if index == len(plan) - 1:
            return position, rotation
        end, next_position, next_rotation = plan[index + 1]
        part = (stamp - begin) / (end - begin)
        turn = times(part, rotations.between(rotation, next_rotation))
        return (
            plus(position, part, minus(next_position, position)),
            rotations.multiply(rotations.from_vector(turn), rotation),
        )
