"""How near the arm's joints are to where it may not or cannot go on: the watch for kinds of driver that take poses.

A Cartesian driver resolves the joints itself; whoever commands poses sees neither a joint near its stop nor a
singularity coming. From measured joints this tells whether to go on, to go on slower, or to hold, and why.

How the arm node uses it: make one ``PostureWatch(kinematics, PostureSettings(...))`` when the robot's description is
there, call ``look`` with every measurement or at the state's rate, multiply the pace by ``verdict.factor`` and, where
``verdict.hold``, hold with ``verdict.reason``. Call ``reset`` where the arm was disarmed or moved by somebody else.
A hold stands until the joints have come back some way, by hand or by ``home``: what leads the arm out of such a place
may ignore it while ``verdict.easing``, which tells that what is nearest is getting better. The age of measurements is
not looked at here. Guarded by tests/unit/test_posture.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vipa_policy.control.kinematics import Kinematics
from vipa_policy.errors import KinematicsError
from vipa_policy.geometry import Array

# Share of the way from holding to full speed that must be regained before a hold ends, and beyond full speed before
# slowing ends: a reading that trembles about a threshold changes nothing.
RELEASE = 0.3
CLEAR = 1.1
# A factor never falls below this short of a hold: the arm must be able to move out.
LEAST_FACTOR = 0.1
# 1/s, how fast the factor may fall and rise: pace bends, it does not jump.
FALL, RISE = 4.0, 1.0
# rad/s below which a joint counts as standing; twice the noise of an encoder's differences.
STANDING = 0.02


@dataclass(frozen=True)
class PostureSettings:
    """Where slowing begins and where the arm holds.

    Attributes:
        slow_margin: rad to a joint's limit, braking distance taken off, below which the arm goes slower.
        hold_margin: rad, the same, at which it holds.
        slow_singular_value: m/rad, smallest singular value of the Jacobian below which the arm goes slower.
        hold_singular_value: m/rad, at which it holds.
        slow_velocity: share of a joint's velocity limit above which the arm goes slower.
        hold_velocity: share at which it holds.
        braking: rad/s^2, deceleration that joints are taken to brake with.
    """

    slow_margin: float = 0.15
    hold_margin: float = 0.04
    slow_singular_value: float = 0.04
    hold_singular_value: float = 0.015
    slow_velocity: float = 0.7
    hold_velocity: float = 0.97
    braking: float = 5.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.hold_margin < self.slow_margin:
            raise ValueError(f"expected 0 <= hold_margin < slow_margin, got {self.hold_margin}, {self.slow_margin} rad")
        if not 0.0 <= self.hold_singular_value < self.slow_singular_value:
            raise ValueError("expected 0 <= hold_singular_value < slow_singular_value")
        if not 0.0 < self.slow_velocity < self.hold_velocity <= 1.5:
            raise ValueError("expected 0 < slow_velocity < hold_velocity, shares of the velocity limits up to 1.5")
        if not self.braking > 0.0:
            raise ValueError(f"expected a braking above 0 rad/s^2, got {self.braking}")


@dataclass(frozen=True)
class Verdict:
    """What a posture allows.

    Attributes:
        factor: by which the pace is multiplied; 1 where all is well, 0 where the arm is to hold.
        hold: whether to hold.
        reason: what is near, "" where nothing is.
        easing: whether the joints move away from what is nearest.
        margin: rad, of the joint nearest to a limit; below 0 beyond it.
        singular_value: m/rad, smallest of the Jacobian.
        manipulability: sqrt(det(J J')), for display.
        velocity_share: largest share of a joint's velocity limit.
    """

    factor: float
    hold: bool
    reason: str
    easing: bool
    margin: float
    singular_value: float
    manipulability: float
    velocity_share: float


UNREADABLE = (float("nan"),) * 4


@dataclass(frozen=True)
class _Reading:
    """One quantity as a level: 0 and less where the arm holds, 1 and more where it goes at full speed."""

    level: float
    text: str
    easing: bool


class PostureWatch:
    """Judges measured joints, with hysteresis. Use one from one thread."""

    def __init__(self, kinematics: Kinematics, settings: PostureSettings | None = None) -> None:
        self.settings = settings or PostureSettings()
        self._kinematics = kinematics
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: the next verdict depends on its measurement alone."""
        self._factor = 1.0
        self._held = ""
        self._slowed = False
        self._last: float | None = None

    def look(self, joints: Array, velocities: Array, now: float) -> Verdict:
        """Return what a measurement allows: joint angles (n,) in rad and velocities (n,) in rad/s at ``now`` in s.

        Anything that is no measurement holds.
        """
        try:
            margin, singular, velocity, figures = self._read(joints, velocities)
        except KinematicsError as error:
            self._factor, self._held = 0.0, f"joint states cannot be used: {error}"
            return Verdict(0.0, True, self._held, False, *UNREADABLE)
        readings = (margin, singular, velocity)
        worst = min(readings, key=lambda reading: reading.level)
        self._decide(worst)
        elapsed = max(now - self._last, 0.0) if self._last is not None else float("inf")
        self._last = now
        if self._held:
            self._factor = 0.0
            return Verdict(0.0, True, self._held, worst.easing, *figures)
        self._factor = self._limited(self._wanted(margin, singular, figures[3]), elapsed)
        reason = f"{worst.text}: slower" if self._slowed else ""
        return Verdict(self._factor, False, reason, worst.easing, *figures)

    def _decide(self, worst: _Reading) -> None:
        """Begin and end holding and slowing."""
        if worst.level <= 0.0:
            self._held = self._held or worst.text
        elif worst.level >= RELEASE:
            self._held = ""
        if worst.level < 1.0:
            self._slowed = True
        elif worst.level >= CLEAR:
            self._slowed = False

    def _wanted(self, margin: _Reading, singular: _Reading, velocity_share: float) -> float:
        """Return the factor that the posture asks for; joint velocities were measured at the present factor."""
        near = min(max(min(margin.level, singular.level), LEAST_FACTOR), 1.0)
        # At rest nothing is known of the velocities to come; the factor recovers at its own rate.
        fast = self._factor * self.settings.slow_velocity / max(velocity_share, 1e-3)
        return min(near, max(fast, LEAST_FACTOR))

    def _limited(self, wanted: float, elapsed: float) -> float:
        if elapsed == float("inf"):
            return wanted
        return min(max(wanted, self._factor - FALL * elapsed), self._factor + RISE * elapsed, 1.0)

    def _read(
        self, joints: Array, velocities: Array
    ) -> tuple[_Reading, _Reading, _Reading, tuple[float, float, float, float]]:
        """Return margin, singularity and velocity as levels, and their figures as ``Verdict`` has them."""
        kinematics, settings = self._kinematics, self.settings
        singular_value = kinematics.smallest_singular_value(joints)
        speeds = np.asarray(velocities, dtype=float)
        if speeds.shape != np.shape(joints) or not np.all(np.isfinite(speeds)):
            raise KinematicsError(f"expected {np.size(joints)} finite joint velocities, got {velocities!r}")
        moving = np.where(np.abs(speeds) > STANDING, speeds, 0.0)
        above, below = kinematics.upper - joints, joints - kinematics.lower
        braking = 0.5 * moving * moving / settings.braking
        room = np.minimum(above - braking * (moving > 0.0), below - braking * (moving < 0.0))
        nearest = int(np.argmin(room))
        towards_upper = above[nearest] < below[nearest]
        margin = _Reading(
            (float(room[nearest]) - settings.hold_margin) / (settings.slow_margin - settings.hold_margin),
            f"{kinematics.joint_names[nearest]} is {min(above[nearest], below[nearest]):.3f} rad from its "
            f"{'upper' if towards_upper else 'lower'} limit",
            bool(moving[nearest] < 0.0 if towards_upper else moving[nearest] > 0.0),
        )
        # What the value will be in a tenth of a second tells its direction.
        ahead = kinematics.smallest_singular_value(joints + 0.1 * moving) if moving.any() else singular_value
        singular = _Reading(
            (singular_value - settings.hold_singular_value)
            / (settings.slow_singular_value - settings.hold_singular_value),
            f"the arm is near a singularity (smallest singular value {singular_value:.3f} m/rad)",
            ahead > singular_value,
        )
        velocity, share = self._read_velocity(joints, moving)
        margin_now = float(np.minimum(above, below).min())
        return margin, singular, velocity, (margin_now, singular_value, kinematics.manipulability(joints), share)

    def _read_velocity(self, joints: Array, moving: Array) -> tuple[_Reading, float]:
        """Return the fastest joint against its limit at its place, as a level, and its share of it."""
        slowest, fastest = self._kinematics.velocity_bounds(joints)
        # Close to a stop the bound falls to nothing, and a joint that stands there is not too fast.
        bounds = np.maximum(np.where(moving > 0.0, fastest, -slowest), 2.0 * STANDING)
        shares = np.abs(moving) / bounds
        joint = int(np.argmax(shares))
        share = float(shares[joint])
        settings = self.settings
        level = (settings.hold_velocity - share) / (settings.hold_velocity - settings.slow_velocity)
        text = f"{self._kinematics.joint_names[joint]} moves at {share:.0%} of its velocity limit"
        return _Reading(level, text, False), share
