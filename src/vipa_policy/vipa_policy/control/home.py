"""The way home: a straight line of the tip with a smooth beginning and end, within the same limits as any motion.

The way is a plan like a chunk's, gone through by a timeline of its own: what it asks for beyond a limit is done slower,
and the executor's tracker proves every step. Guarded by tests/unit/test_control_home.py.
"""

from __future__ import annotations

import math

import numpy as np

from vipa_policy.control import rotations
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.timeline import Command, Target, Timeline
from vipa_policy.control.vectors import minus, norm, vector
from vipa_policy.errors import ChunkError
from vipa_policy.geometry import Array

# s between two rows of the way.
ROW_PERIOD = 0.05
# Greatest velocity, acceleration and jerk of the quintic from 0 to 1 in one second, at rest at both ends.
QUINTIC = (1.875, 5.7735, 60.0)
SHORTEST = 0.4  # s
# m and rad at which the tip counts as arrived.
NEAR, NEAR_ANGLE = 0.001, 0.005
# s for which the plan may have ended, or wait for a command that gets no further, before the motion is broken off.
SETTLING = 1.0
# A pace below this is none: the slowest that may be asked for is 0.05.
STANDING = 0.01


class Homing:
    """The motion to one pose.

    Args:
        limits: of the motion.
        period: s between two setpoints.
        base_from_home: (4, 4) where to go.
        command: where the tip is commanded to be, at rest.
        now: s.

    Raises ChunkError where the way is none: a pose that is not finite, or no rotation.
    """

    def __init__(self, limits: Limits, period: float, base_from_home: Array, command: Command, now: float) -> None:
        if not np.isfinite(base_from_home).all():
            raise ChunkError("expected a finite home pose, got NaN or infinity")
        self._period = period
        self._place = vector(base_from_home[:3, 3])
        self._rotation = rotations.from_matrix(base_from_home)
        self._timeline = Timeline(limits, period, "replace")
        plan = self._plan(limits, command, now)
        self._rows = plan.rows
        self._timeline.accept(plan, now, command)
        self._waited = 0.0

    @property
    def speed(self) -> float:
        """Factor on the pace."""
        return self._timeline.speed

    @speed.setter
    def speed(self, factor: float) -> None:
        self._timeline.speed = factor

    def advance(self, command: Command, now: float) -> Target:
        """Go on by one setpoint due at ``now`` (s) and return its target."""
        waiting = self._finished or self._timeline.pace.value < STANDING
        self._waited = self._waited + self._period if waiting else 0.0
        target = self._timeline.advance(command, now)
        assert target is not None
        return target

    def ended(self, command: Command) -> str:
        """Say how the motion has ended, "" while it has not."""
        left, turn = self._left(command)
        if self._finished and left < NEAR and turn < NEAR_ANGLE:
            return "home: arrived"
        if self._waited > SETTLING:
            return f"home: stopped {left:.3f} m and {turn:.2f} rad short of it, limits bar the straight way there"
        return ""

    @property
    def _finished(self) -> bool:
        return self._timeline.rows_consumed == self._rows

    def _left(self, command: Command) -> tuple[float, float]:
        """How far it still is, m and rad."""
        return norm(minus(self._place, command.position)), norm(rotations.between(command.rotation, self._rotation))

    def _plan(self, limits: Limits, command: Command, now: float) -> BaseChunk:
        """The rows of the way, in a time in which the limits allow it."""
        way, turn = self._left(command)
        duration = SHORTEST
        for size, bounds in (
            (way, Bounds.linear(limits, self._period)),
            (turn, Bounds.angular(limits, self._period)),
        ):
            orders = (bounds.velocity, bounds.acceleration, bounds.jerk)
            for order, (greatest, bound) in enumerate(zip(QUINTIC, orders, strict=True), start=1):
                duration = max(duration, (greatest * size / bound) ** (1.0 / order))
        rows = math.ceil(duration / ROW_PERIOD)
        shares = np.arange(1, rows + 1) / rows
        shares = shares**3 * (10.0 - 15.0 * shares + 6.0 * shares**2)
        turning = rotations.between(command.rotation, self._rotation)
        poses = []
        for share in shares.tolist():
            step = rotations.from_vector((share * turning[0], share * turning[1], share * turning[2]))
            place = tuple(a + share * (b - a) for a, b in zip(command.position, self._place, strict=True))
            poses.append(rotations.to_matrix(rotations.multiply(step, command.rotation), vector(place)))
        start = rotations.to_matrix(command.rotation, command.position)
        return BaseChunk(1, now, ROW_PERIOD, np.array(poses), np.zeros(rows), start=start)
