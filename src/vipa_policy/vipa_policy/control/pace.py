"""How fast a plan is gone through: one common factor on its time, 1 where no limit says otherwise.

A plan that asks for more than the limits is not clipped, component by component, into another path: its time is
stretched, for position and rotation alike, so that the tip stays on the path. ``Profile`` knows the factor each place
of a curve allows, seen far enough ahead to slow down in time; ``Pace`` follows it with bounded rate and bounded rate of
rate, so that the slowing itself keeps acceleration and jerk.
Guarded by tests/unit/test_control_pace.py.
"""

from __future__ import annotations

import math

import numpy as np

from vipa_policy.control.curve import SAMPLES, Curve
from vipa_policy.control.limits import Bounds

# Shares of the bounds that the path alone may use; the rest is for slowing down and for closing gaps.
VELOCITY_SHARE, ACCELERATION_SHARE, JERK_SHARE = 0.97, 0.8, 0.8
# Shares for changing the pace along the path.
RAMP_SHARE, RAMP_JERK_SHARE = 0.7, 0.5
# 1/s and 1/s^2, fastest change of the pace and of its rate where the plan hardly moves.
FASTEST_RAMP, FASTEST_BEND = 8.0, 160.0
# 1/s with which the pace approaches what is allowed.
GAIN = 20.0
# s of plan time looked ahead for what is allowed: the time a change of pace takes to begin.
AHEAD = 0.08
# A plan whose command is ahead of it is gone through this much faster at most, until the command is on it.
FASTEST_PACE = 2.0


class Profile:
    """The pace each place of a curve allows.

    Args:
        curve: through the rows.
        linear, angular: bounds of position and rotation.
    """

    def __init__(self, curve: Curve, linear: Bounds, angular: Bounds) -> None:
        self._step = curve.period / SAMPLES
        norms = np.maximum(curve.sampled(), 1e-9)
        # What lies between two places must hold, too: each takes the greater of its own and the next one's.
        norms[..., :-1] = np.maximum(norms[..., :-1], norms[..., 1:])
        bounds = np.array([[linear.velocity, angular.velocity], [linear.acceleration, angular.acceleration],
                           [linear.jerk, angular.jerk]])  # fmt: skip
        allowed = (np.array([VELOCITY_SHARE, ACCELERATION_SHARE, JERK_SHARE])[:, None] * bounds)[..., None] / norms
        paces = np.minimum(np.minimum(allowed[0], np.sqrt(allowed[1])), np.cbrt(allowed[2])).min(axis=0)
        ramps = np.minimum(FASTEST_RAMP, (RAMP_SHARE * bounds[1][:, None] / norms[0]).min(axis=0))
        bends = np.minimum(FASTEST_BEND, (RAMP_JERK_SHARE * bounds[2][:, None] / norms[0]).min(axis=0))
        # d(pace^2) = 2 ramp d(plan time): what a place ahead allows, and the way to slow down to it.
        gained = np.concatenate([[0.0], np.cumsum(ramps * self._step)[:-1]])
        squares = np.minimum(paces, 1.0) ** 2 + gained * 1.6
        reachable = np.minimum.accumulate(squares[::-1])[::-1] - gained * 1.6
        self._paces: list[float] = np.round(np.sqrt(np.maximum(reachable, 0.0)), 12).tolist()
        self._ramps: list[float] = ramps.tolist()
        self._bends: list[float] = bends.tolist()
        self._ahead = max(1, math.ceil(AHEAD / self._step))

    def at(self, time: float) -> tuple[float, float, float]:
        """Return the pace allowed at a plan time (s) and its greatest rate (1/s) and bend (1/s^2)."""
        index = max(int(time / self._step), 0)
        if index >= len(self._paces):
            return 1.0, FASTEST_RAMP, FASTEST_BEND
        return min(self._paces[index : index + self._ahead]), self._ramps[index], self._bends[index]


class Pace:
    """The factor on plan time now, and its rate in 1/s."""

    def __init__(self) -> None:
        self.value = 0.0
        self.rate = 0.0

    def reset(self, value: float = 0.0, rate: float = 0.0) -> None:
        """Go on with another pace; nothing that moves may depend on the old one."""
        self.value, self.rate = value, rate

    def step(self, allowed: float, ramp: float, bend: float, period: float) -> float:
        """Go towards an allowed pace for one period (s); return the plan time (s) gone through in it."""
        # No faster than the bend can still end: rate^2 = 2 bend distance.
        distance = allowed - self.value
        wanted = min(GAIN * abs(distance), math.sqrt(bend * abs(distance)), ramp)
        wanted = math.copysign(wanted, distance)
        self.rate += max(-bend * period, min(bend * period, wanted - self.rate))
        self.value += self.rate * period
        if self.value < 0.0:
            self.value = self.rate = 0.0
        return self.value * period
