"""Which targets an arm follows and when it stops: the single place where a target is accepted or refused.

Guarded by tests/unit/test_franka_follower.py.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence

from vipa_policy.franka.limits import FR3, JOINT_NAMES, JointLimits, Joints, outside
from vipa_policy.franka.reference import Playback
from vipa_policy.franka.tracker import ArmTracker

# s: stamps of one machine's clock may be read in another order, by no more than this.
AHEAD = 0.01


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the joints shall be.

    Attributes:
        epoch: of the motion it was made for: counted up whenever a motion begins anew from the measured place.
        sequence: counts up with every target.
        stamp: s of the monotonic clock, when it shall be reached but for the delay.
        joints: rad (7,).
    """

    epoch: int
    sequence: int
    stamp: float
    joints: Joints


@dataclasses.dataclass(frozen=True)
class FollowerSettings:
    """How targets are followed.

    Attributes:
        delay: s by which they are followed late; an interval between targets and what it varies by.
        bandwidth: rad/s, how sharply corners are taken.
        timeout: s without a target after which the arm stops, and age beyond which one is refused.
        largest_jump: rad, of a joint from where it is commanded to be.
        velocity, acceleration, jerk: shares of what the arm allows, 0 to 1.
    """

    delay: float = 0.02
    bandwidth: float = 80.0
    timeout: float = 0.1
    largest_jump: float = 0.2
    velocity: float = 0.5
    acceleration: float = 0.7
    jerk: float = 0.5

    def limits(self) -> tuple[JointLimits, ...]:
        """Return what commands keep within."""
        return tuple(limit.share(self.velocity, self.acceleration, self.jerk) for limit in FR3)

    @property
    def longest_stop(self) -> float:
        """s from the beginning of a stop to rest, at most."""
        return max(limit.longest_stop for limit in self.limits())


class Motion(enum.IntEnum):
    """What the arm does."""

    STANDING = 0
    FOLLOWING = 1
    STOPPING = 2


class Follower:
    """Turns targets into one command per period.

    Args:
        settings: how.
        position: rad (7,), what the arm is commanded to hold now.
        epoch: of this motion; targets of another are refused.
    """

    def __init__(self, settings: FollowerSettings, position: Sequence[float], epoch: int) -> None:
        self._settings = settings
        self._tracker = ArmTracker(position, settings.limits(), settings.bandwidth)
        self._playback = Playback(settings.delay)
        self._epoch = epoch
        self._sequence = -1
        self._last = -math.inf
        self.motion = Motion.STANDING
        self.reason = ""
        self.stopping = 0  # periods the last stop has taken so far
        self.stopped_at = 0.0  # rad/s that the targets asked for at last

    @property
    def position(self) -> Joints:
        """Commanded positions in rad (7,)."""
        return self._tracker.position

    def age(self, now: float) -> float:
        """s since the last accepted target was made; infinite where there was none."""
        return now - self._last

    def offer(self, target: Target, now: float) -> str:
        """Follow a target from now on; returns why it is refused, "" where it is not."""
        refusal = self._refusal(target, now)
        if refusal:
            return refusal
        if self.motion is not Motion.FOLLOWING:
            self._playback.begin(now, self.position)
            self.motion, self.reason = Motion.FOLLOWING, ""
        self._sequence, self._last = target.sequence, target.stamp
        self._playback.add(target.stamp, target.joints)
        return ""

    def stop(self, reason: str) -> None:
        """Begin to stop; the first reason stays."""
        if self.motion is Motion.FOLLOWING:
            self.motion, self.reason, self.stopping = Motion.STOPPING, reason, 0
            self.stopped_at = self._playback.speed

    def step(self, now: float, periods: int = 1) -> list[float]:
        """Return the command (7,) in rad, ``periods`` ms after the one before, at ``now`` (s)."""
        if self.motion is Motion.FOLLOWING and self.age(now) > self._settings.timeout:
            self.stop(f"no target for {self._settings.timeout} s")
        if self.motion is Motion.FOLLOWING:
            positions, velocities = self._playback.at(now)
            for _ in range(periods - 1):
                self._tracker.follow(positions, velocities)
            return self._tracker.follow(positions, velocities)
        for _ in range(periods - 1):
            self._tracker.brake()
        command = self._tracker.brake()
        if self.motion is Motion.STOPPING:
            self.stopping += periods
            if self._tracker.at_rest:
                self.motion = Motion.STANDING
        return command

    def _refusal(self, target: Target, now: float) -> str:
        if target.epoch != self._epoch:
            return f"it was made for motion {target.epoch}, this is motion {self._epoch}: begin at the measured pose"
        if target.sequence <= self._sequence:
            return f"it is target {target.sequence}, after {self._sequence}: repeated or overtaken"
        if not -AHEAD <= now - target.stamp <= self._settings.timeout:
            return (
                f"it is {now - target.stamp:.3f} s old, expected at most {self._settings.timeout} s; "
                "are the clocks of the machines in step?"
            )
        if not all(math.isfinite(value) for value in target.joints):
            return f"expected finite joint positions, got {target.joints}"
        beyond = outside(target.joints)
        if beyond:
            return beyond
        jumps = [abs(wanted - place) for wanted, place in zip(target.joints, self.position, strict=True)]
        largest = max(jumps)
        if largest > self._settings.largest_jump:
            return (
                f"{JOINT_NAMES[jumps.index(largest)]} would jump {largest:.3f} rad from where it is commanded, more "
                f"than {self._settings.largest_jump} rad; start from the measured pose and stream small steps"
            )
        return ""
