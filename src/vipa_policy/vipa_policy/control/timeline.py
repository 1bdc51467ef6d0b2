"""The timeline of targets, made from chunks in the base frame; it counts what was consumed, not the time on the wall.

Its clock is *plan time*: the sum of what each setpoint went through of the plan. While no limit slows the motion it
runs with the wall; a pace below 1 (``pace``) lets it run slower, for position and rotation alike, so the tip stays on
its path. Row i of a chunk lies (i + 1) periods after the place that had been consumed when the arm of its image was
commanded: at ``stamp - lead``, read from the record of consumption. So the delay of a prediction is counted in
setpoints really consumed: an arm that stood still consumed none, and begins a late chunk at its beginning.

Seams: ``replace`` goes over to a new chunk as soon as limits allow, ``blend`` within ``crossfade``. ``rtc`` is for
chunks that the model in-painted against the committed tail: the row under way is still executed from the old chunk,
and the new one takes over there if it continues it within ``seam_tolerance``; one that does not is blended at once.
Guarded by tests/unit/test_control_timeline.py and tests/unit/test_control_stream.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vipa_policy.control import rotations
from vipa_policy.control.chunk import BaseChunk, check_captured
from vipa_policy.control.consumption import Consumption
from vipa_policy.control.curve import Curve, setting_out
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.pace import FASTEST_BEND, FASTEST_PACE, FASTEST_RAMP, Pace, Profile
from vipa_policy.control.rotations import Quaternion
from vipa_policy.control.seam import NO_FADE, Gap, fade
from vipa_policy.control.smoothing import smoothed, smoothed_rotations
from vipa_policy.control.vectors import ZERO, Vector, dot, minus, norm, plus, times
from vipa_policy.control.workspace import TiltCone, Workspace
from vipa_policy.errors import ChunkError
from vipa_policy.geometry import Array

SEAM_POLICIES = ("replace", "blend", "rtc")
# s, least time in which `replace` closes a gap: a few setpoints.
REPLACE_WITHIN = 0.05
# Mismatch of velocities at a seam, in shares of the limits, beyond which the pace changes to fit the new chunk's speed.
MISFIT = 0.03
# A plan slower than this share of the limits stands still, and no pace can be read from it.
STILL = 0.02
# m and rad between command and target up to which the plan goes on at full pace; at twice that it waits.
LAG = (0.004, 0.03)


class Command(NamedTuple):
    """The state of the commanded tip, base frame: pose, and finite differences of its setpoints."""

    position: Vector
    rotation: Quaternion
    velocity: Vector
    acceleration: Vector
    turn_rate: Vector
    turn_acceleration: Vector


class Target(NamedTuple):
    """Where the tip should be, base frame.

    Attributes:
        position: m, rotation: where the target is at the last setpoint.
        velocity: m/s over the last step. next_velocity: over the next one.
        turn_rate: rad/s over the last step. next_turn_rate: over the next one.
        gripper: m.
    """

    position: Vector
    rotation: Quaternion
    velocity: Vector
    next_velocity: Vector
    turn_rate: Vector
    next_turn_rate: Vector
    gripper: float


@dataclass(frozen=True)
class Seam:
    """How the chunk in force was joined: its identifier, the policy that was used, the gap there in m and rad."""

    chunk: int = 0
    policy: str = ""
    gap: float = 0.0
    angle: float = 0.0


@dataclass(frozen=True)
class _Placed:
    """A chunk with its curve, the pace it allows, and where it begins on the timeline (s of plan time)."""

    chunk: BaseChunk
    curve: Curve
    profile: Profile
    begin: float


class Timeline:
    """The chunk in force, the place reached in it, and the fading gap to the motion before.

    Args:
        limits: of the motion; rows outside workspace and tilt cone are bent into them.
        period: s between two setpoints.
        policy: one of SEAM_POLICIES.
        crossfade: s over which `blend` and `rtc` close a gap.
        lead: s by which the arm follows its command late.
        seam_tolerance: m and rad, largest gap of a chunk that continues the committed tail.
        row_error: m and rad, by which rows may be moved to make a smooth motion of them.
    """

    def __init__(
        self,
        limits: Limits,
        period: float,
        policy: str = "blend",
        crossfade: float = 0.15,
        lead: float = 0.0,
        seam_tolerance: tuple[float, float] = (0.01, 0.1),
        row_error: tuple[float, float] = (0.0025, 0.02),
    ) -> None:
        if policy not in SEAM_POLICIES:
            raise ValueError(f"expected a seam policy of {', '.join(SEAM_POLICIES)}, got {policy!r}")
        self._period = period
        self._policy = policy
        self._shortest = REPLACE_WITHIN if policy == "replace" else max(crossfade, REPLACE_WITHIN)
        self.lead = lead
        self._tolerance = seam_tolerance
        self._error = row_error
        self._linear, self._angular = Bounds.linear(limits, period), Bounds.angular(limits, period)
        self._workspace, self._cone = Workspace(limits, period), TiltCone(limits)
        self.consumption = Consumption()
        self.pace = Pace()
        self.speed = 1.0  # factor on the pace, in (0, 1]; the pace goes there within its bounds, so no limit feels it
        self.seam = Seam()
        self.clear()

    def clear(self) -> None:
        """Forget the chunk in force: the next one begins from rest or from the brake, at its own beginning."""
        self._placed: _Placed | None = None
        self._next: tuple[_Placed, float, Seam] | None = None
        self._position: Vector = ZERO
        self._rotation: Quaternion = (0.0, 0.0, 0.0, 1.0)
        self._velocity: Vector = ZERO
        self._turn_rate: Vector = ZERO
        self._offset, self._turn = NO_FADE, NO_FADE
        self._since = 0.0
        self.pace.reset()
        self.consumption.clear()

    @property
    def chunk(self) -> BaseChunk | None:
        """The chunk in force."""
        return self._placed.chunk if self._placed else None

    @property
    def newest(self) -> BaseChunk | None:
        """The chunk that was accepted last; it may still wait for the row under way to end."""
        return self._next[0].chunk if self._next else self.chunk

    @property
    def rows_consumed(self) -> int:
        """Rows of the chunk in force that were gone through."""
        if self._placed is None:
            return 0
        return _rows_through(self._placed, self.consumption.total)

    @property
    def ahead(self) -> float:
        """s of plan time until the first row of ``committed`` is due, 0 without one."""
        placed = self._placed
        if placed is None or self.rows_consumed == placed.curve.rows:
            return 0.0
        return placed.begin + (self.rows_consumed + 1) * placed.curve.period - self.consumption.total

    def accept(self, chunk: BaseChunk, now: float, command: Command) -> None:
        """Put a chunk in force at now (s), seen from what is commanded.

        Raises ChunkError where it is malformed, older than (or as old as) the newest accepted, wholly in the past, or
        captured in the future.
        """
        chunk.verify()
        newest = self.newest
        check_captured(chunk.identifier, chunk.stamp, now)
        if newest is not None and chunk.stamp <= newest.stamp:
            raise ChunkError(
                f"chunk {chunk.identifier} is no newer than chunk {newest.identifier} in force "
                f"({newest.stamp - chunk.stamp:.3f} s older)"
            )
        if chunk.end <= now:
            raise ChunkError(
                f"chunk {chunk.identifier} lies wholly in the past: its last row was due {now - chunk.end:.3f} s ago; "
                "the policy is too slow for its horizon"
            )
        placed = self._place(chunk, command)
        if self._policy == "rtc" and self._placed is not None and self._await_row(placed):
            return
        self._next = None
        self._begin(placed, command, self._policy if self._policy != "rtc" else "blend")

    def advance(self, command: Command, now: float) -> Target | None:
        """Consume one setpoint due at now (s) and return its target; None without a chunk."""
        placed = self._placed
        if placed is None:
            return None
        if self._next is not None and self.consumption.total >= self._next[1] - 1e-9:
            placed, _, seam = self._next
            self._next = None
            self._begin(placed, command, "rtc")
            self.seam = seam
        position, rotation, velocity, turn_rate = self._position, self._rotation, self._velocity, self._turn_rate
        waiting = self._consume(placed, command, now)
        self._position, self._rotation = self._reference(placed)
        self._velocity = times(1.0 / self._period, minus(self._position, position))
        self._turn_rate = times(1.0 / self._period, rotations.between(rotation, self._rotation))
        if waiting:
            # How the target slows down while it waits is nothing to follow.
            velocity, turn_rate = self._velocity, self._turn_rate
        row = math.floor((self.consumption.total - placed.begin) / placed.curve.period + 1e-6) - 1
        gripper = float(placed.chunk.gripper[min(max(row, 0), placed.curve.rows - 1)])
        return Target(position, rotation, velocity, self._velocity, turn_rate, self._turn_rate, gripper)

    def committed(self) -> tuple[Array, Array]:
        """Return poses (n, 4, 4) and gripper widths (n,) of the rows not yet gone through, as they will be executed."""
        placed = self._placed
        if placed is None:
            return np.zeros((0, 4, 4)), np.zeros(0)
        through = self.rows_consumed
        poses = []
        for row in range(through, placed.curve.rows):
            place = (row + 1) * placed.curve.period
            # At the present pace; what is left of the gap there fades with time, not with consumption.
            ahead = (place - (self.consumption.total - placed.begin)) / max(self.pace.value, 0.2)
            position, turn = placed.curve.place(place)
            rest = rotations.from_vector(self._turn.at(self._since + ahead))
            poses.append(
                rotations.to_matrix(
                    rotations.multiply(rest, placed.curve.rotation(turn)),
                    plus(position, 1.0, self._offset.at(self._since + ahead)),
                )
            )
        return np.array(poses).reshape(-1, 4, 4), placed.chunk.gripper[through:]

    def _place(self, chunk: BaseChunk, command: Command) -> _Placed:
        """Smooth a chunk, bend it into workspace and cone; it begins where the arm of its image had got to."""
        period = chunk.period
        poses = chunk.base_from_tip
        if chunk.start is not None:
            most = self._linear.acceleration * period**2, self._angular.acceleration * period**2
            poses = np.concatenate([setting_out(chunk.start, poses, most)[None], poses])
        positions = smoothed(poses[:, :3, 3], self._error[0], self._linear.jerk, period)
        turns = smoothed_rotations(poses[:, :3, :3], self._error[1], self._angular.jerk, period)
        start = None if chunk.start is None else (positions[0], turns[0])  # bent nowhere: the arm was there
        rows = slice(0 if start is None else 1, None)
        bent = self._workspace.bend(positions[rows], np.array(command.position))
        curve = Curve(bent, self._cone.bend(turns[rows]), period, start)
        begin = self.consumption.at(chunk.stamp - self.lead)
        return _Placed(chunk, curve, Profile(curve, self._linear, self._angular), begin)

    def _await_row(self, placed: _Placed) -> bool:
        """Let a chunk wait for the end of the row under way; False where it does not continue that row."""
        current = self._placed
        assert current is not None
        if self._next is not None:
            boundary = self._next[1]  # a newer one takes its place, the row is still the same
        else:
            boundary = current.begin + (_rows_through(current, self.consumption.total) + 1) * current.curve.period
        position, turn = current.curve.place(boundary - current.begin)
        other, other_turn = placed.curve.place(boundary - placed.begin)
        gap = norm(minus(other, position))
        angle = norm(rotations.between(current.curve.rotation(turn), placed.curve.rotation(other_turn)))
        if gap > self._tolerance[0] or angle > self._tolerance[1]:
            return False
        self._next = (placed, boundary, Seam(placed.chunk.identifier, "rtc", gap, angle))
        return True

    def _begin(self, placed: _Placed, command: Command, policy: str) -> None:
        """Follow a chunk from here on: position, velocity and acceleration go on as they are commanded."""
        started = self._placed is None
        self._placed = placed
        self._since = 0.0
        curve, place = placed.curve, self.consumption.total - placed.begin
        position, turn = curve.place(place)
        slope, turn_slope = curve.derivative(place, 1)
        bend, turn_bend = curve.derivative(place, 2)
        rate, rate_bend = rotations.rate_of(turn, turn_slope), rotations.rate_of(turn, turn_bend)
        # The setpoints' finite differences lie half a step back.
        half = 0.5 * self._period
        velocity = plus(command.velocity, half, command.acceleration)
        turn_rate = plus(command.turn_rate, half, command.turn_acceleration)
        self._fit_pace(velocity, turn_rate, command, (slope, rate), (bend, rate_bend))
        pace, ramp = self.pace.value, self.pace.rate
        gap = Gap(
            minus(command.position, position),
            plus(velocity, -pace, slope),
            plus(plus(command.acceleration, -pace * pace, bend), -ramp, slope),
        )
        rotation = curve.rotation(turn)
        away = rotations.between(rotation, command.rotation)
        lean = rotations.from_vector(away)
        own_rate = rotations.rotate(lean, times(pace, rate))
        own_bend = rotations.rotate(lean, plus(times(pace * pace, rate_bend), ramp, rate))
        turn_gap = Gap(
            away,
            rotations.change_of(away, minus(turn_rate, own_rate)),
            rotations.change_of(away, minus(command.turn_acceleration, own_bend)),
        )
        offset = fade(gap, self._shortest, self._linear, pace * norm(slope))
        turned = fade(turn_gap, self._shortest, self._angular, pace * norm(rate))
        if (offset is None and norm(gap.offset) > 2.0 * LAG[0]) or (turned is None and norm(away) > 2.0 * LAG[1]):
            self.pace.reset()  # the curve waits for the arm
            pace = 0.0
        self._offset, self._turn = offset or NO_FADE, turned or NO_FADE
        # Where a gap cannot fade in time the target is on the curve, and the tracker goes there by its own law.
        self._position = command.position if offset else position
        self._velocity = command.velocity if offset else times(pace, slope)
        self._rotation = command.rotation if turned else rotation
        self._turn_rate = command.turn_rate if turned else times(pace, rate)
        self.seam = Seam(placed.chunk.identifier, "start" if started else policy, norm(gap.offset), norm(away))

    def _fit_pace(
        self,
        velocity: Vector,
        turn_rate: Vector,
        command: Command,
        slopes: tuple[Vector, Vector],
        bends: tuple[Vector, Vector],
    ) -> None:
        """Take the pace at which the new chunk's speed is the commanded one, where the present pace misses it.

        Least squares over both velocities in shares of their limits. It goes back to what the limits allow from there.
        """
        scale, turn_scale = 1.0 / self._linear.velocity, 1.0 / self._angular.velocity
        pace = self.pace.value
        misfit = scale * norm(plus(velocity, -pace, slopes[0])) + turn_scale * norm(plus(turn_rate, -pace, slopes[1]))
        speed = scale**2 * dot(slopes[0], slopes[0]) + turn_scale**2 * dot(slopes[1], slopes[1])
        if misfit < MISFIT or speed < STILL**2:
            return
        fitted = scale**2 * dot(velocity, slopes[0]) + turn_scale**2 * dot(turn_rate, slopes[1])
        fitted = min(max(fitted / speed, 0.0), FASTEST_PACE)
        pull = minus(command.acceleration, times(fitted**2, bends[0]))
        turn_pull = minus(command.turn_acceleration, times(fitted**2, bends[1]))
        ramp = (scale**2 * dot(pull, slopes[0]) + turn_scale**2 * dot(turn_pull, slopes[1])) / speed
        self.pace.reset(fitted, min(max(ramp, -FASTEST_RAMP), FASTEST_RAMP))

    def _consume(self, placed: _Placed, command: Command, now: float) -> bool:
        """Go through a setpoint's share of the plan: less where limits ask for it or the command is behind.

        Returns whether the target waits for the command.
        """
        allowed, ramp, bend = placed.profile.at(self.consumption.total - placed.begin)
        allowed *= self.speed
        lag = max(
            norm(minus(self._position, command.position)) / LAG[0],
            norm(rotations.between(command.rotation, self._rotation)) / LAG[1],
        )
        if lag > 1.0:
            # The target waits for the command; what it does itself moves nothing.
            allowed, ramp, bend = allowed * max(2.0 - lag, 0.0), FASTEST_RAMP, FASTEST_BEND
        self.consumption.add(self.pace.step(allowed, ramp, bend, self._period), now)
        self._since += self._period
        return lag > 1.0

    def _reference(self, placed: _Placed) -> tuple[Vector, Quaternion]:
        position, turn = placed.curve.place(self.consumption.total - placed.begin)
        rotation = placed.curve.rotation(turn)
        if self._since < self._offset.duration:
            position = plus(position, 1.0, self._offset.at(self._since))
        if self._since < self._turn.duration:
            rotation = rotations.multiply(rotations.from_vector(self._turn.at(self._since)), rotation)
        return position, rotation


def _rows_through(placed: _Placed, total: float) -> int:
    # One nanosecond of grace: a setpoint at exactly the row's place has gone through it.
    rows = math.floor((total - placed.begin + 1e-9) / placed.curve.period)
    return min(max(rows, 0), placed.curve.rows)
