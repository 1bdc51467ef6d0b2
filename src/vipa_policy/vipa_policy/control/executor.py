"""From chunks to setpoints: what is followed, when it is held, and why. The arm node is a thin shell around this.

IDLE: never had a chunk; nothing is streamed. FOLLOWING: setpoints follow the timeline. HOMING: they follow the way
home. RAMPING: braking along the verified plan. HOLDING: at rest, the same pose is streamed, unless a stop is latched or
the arm is disarmed: then nothing is, and the driver keeps its last target. Whether it may be armed, ``supervision``
decides. Guarded by tests/unit/test_control_executor.py and tests/unit/test_control_home.py.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from vipa_policy.control.chunk import BaseChunk, Executable
from vipa_policy.control.gripper import GripperGate
from vipa_policy.control.home import Homing
from vipa_policy.control.lag import LagEstimator
from vipa_policy.control.limits import Limits
from vipa_policy.control.settings import Settings
from vipa_policy.control.timeline import Seam, Timeline
from vipa_policy.control.tracker import Tracker
from vipa_policy.control.vectors import ZERO, Vector, vector
from vipa_policy.errors import ChunkError
from vipa_policy.geometry import Array, rotation_angle

# A stream that was not ticked for longer than this many periods is continued, not caught up with.
MOST_STEPS = 10
# Chunks whose spacing is remembered to know when the next one is due.
INTERVALS = 5
# A pace below this is on its way up: rows are expected as if it were there.
SLOWEST_PACE = 0.2
# s, within which the arm's lag is looked for.
LAG_BOUNDS = (0.0, 0.15)
# Ends of motion that are remembered.
RECORDS = 50
# s in which an arm that stands has moved by less than this share of the following error.
STANDING, STIRRED = 0.2, 0.1


class State(IntEnum):
    """State of the executor; values as in vipa_msgs/ExecutionState."""

    IDLE = 0
    FOLLOWING = 1
    RAMPING = 2
    HOLDING = 3
    HOMING = 4


@dataclass(frozen=True)
class Setpoint:
    """One setpoint.

    Attributes:
        stamp: s, when it is due.
        base_from_tip: (4, 4) pose of the tip in the base frame.
        gripper: m, a goal for the width between the fingers; None where there is none.
        velocity: m/s along x, y, z of the base frame, commanded together with the pose.
        turn_rate: rad/s about x, y, z of the base frame, the same.
    """

    stamp: float
    base_from_tip: Array
    gripper: float | None
    velocity: Vector = ZERO
    turn_rate: Vector = ZERO


@dataclass(frozen=True)
class Ending:
    """Why a motion ended: time in s, reason, whether it was latched. One per hold, whatever else is lost meanwhile."""

    stamp: float
    reason: str
    latched: bool


class Executor:
    """Follows chunks within limits, or brakes to a hold and says why.

    Args:
        limits: of the motion, base frame.
        settings: periods, patience, seams.
        base_from_tip: (4, 4) measured pose at activation.
        now: s.
        gripper: hysteresis of gripper goals.
        executable: what a chunk's contract must say; None where chunks carry none.
        disarmed: why the arm comes up disarmed, "" where it is armed.

    Raises ValueError where the limits cannot brake in time.
    """

    def __init__(
        self,
        limits: Limits,
        settings: Settings,
        base_from_tip: Array,
        now: float,
        gripper: GripperGate | None = None,
        executable: Executable | None = None,
        disarmed: str = "",
    ) -> None:
        limits.check_hold(settings.period)
        self._limits = limits
        self.settings = settings
        self.state = State.IDLE
        self.stopped = False
        self.disarmed = bool(disarmed)
        self.hold_reason = disarmed or "no chunk yet"
        self.endings: deque[Ending] = deque(maxlen=RECORDS)
        self._tracker = Tracker(limits, settings.period, base_from_tip)
        self._timeline = Timeline(
            limits,
            settings.period,
            settings.seam,
            settings.crossfade,
            settings.lead,
            (settings.seam_tolerance, settings.seam_angle),
            (settings.row_error, settings.row_angle),
        )
        self._gripper = gripper or GripperGate()
        self._executable = executable
        self._time = now
        self._held_since = now
        self._last_accepted: float | None = None
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        self._homing: Homing | None = None
        self._looks: deque[tuple[float, Array]] = deque()
        self._lag = LagEstimator(settings.lead, LAG_BOUNDS)

    @property
    def base_from_tip(self) -> Array:
        """The last commanded pose (4, 4)."""
        return self._tracker.base_from_tip

    @property
    def chunk_id(self) -> int:
        """Identifier of the chunk being followed, 0 if none."""
        chunk = self._timeline.chunk
        return chunk.identifier if chunk is not None and self.state is State.FOLLOWING else 0

    @property
    def rows_consumed(self) -> int:
        """Rows of the followed chunk that were gone through."""
        return self._timeline.rows_consumed if self.state is State.FOLLOWING else 0

    @property
    def driven(self) -> bool:
        """Whether the arm goes somewhere, and is not merely braking or at rest."""
        return self.state in (State.FOLLOWING, State.HOMING)

    @property
    def latched(self) -> bool:
        """Whether nothing is streamed: nothing ever was, or the arm is at rest and stopped or disarmed."""
        held = self.state is State.HOLDING and (self.stopped or self.disarmed)
        return self.state is State.IDLE or held

    @property
    def pace(self) -> float:
        """How fast the plan is gone through: 1 as it was meant, less where limits slow it, 0 where nothing moves."""
        return self._timeline.pace.value if self.state is State.FOLLOWING else 0.0

    @property
    def lead(self) -> float:
        """By how much the arm follows its command late, in s, as far as is known."""
        return self._timeline.lead

    @property
    def speed(self) -> float:
        """Factor on the pace that was asked for; pace, and what is chased without a plan, go there within bounds."""
        return self._timeline.speed

    @speed.setter
    def speed(self, factor: float) -> None:
        self._timeline.speed = factor
        self._tracker.slow(factor)
        if self._homing is not None:
            self._homing.speed = factor

    @property
    def consumed(self) -> float:
        """s of plan time, of all chunks, that were gone through so far; it never falls."""
        return self._timeline.consumption.total

    @property
    def ahead(self) -> float:
        """s of plan time until the first row of ``committed`` is due; 0 where there is none."""
        return self._timeline.ahead if self.state is State.FOLLOWING else 0.0

    @property
    def first_due(self) -> float:
        """s, when that row is due if the pace stays as it is; 0 where there is none."""
        return self._time + self.ahead / max(self.pace, SLOWEST_PACE) if self.ahead > 0.0 else 0.0

    @property
    def seam(self) -> Seam:
        """How the chunk in force was joined to the motion before."""
        return self._timeline.seam

    def committed(self) -> tuple[Array, Array]:
        """Return poses (n, 4, 4) and gripper widths (n,) of the followed chunk's rows not yet gone through."""
        if self.state is not State.FOLLOWING:
            return np.zeros((0, 4, 4)), np.zeros(0)
        return self._timeline.committed()

    def accept_chunk(self, chunk: BaseChunk, now: float) -> None:
        """Follow a chunk from now (s) on.

        Raises ContractMismatch where the chunk means other actions. Raises ChunkError, changing nothing, where a stop
        is latched, where the chunk was captured before the hold began (what ended the motion may not be in the
        picture yet), and for all that ``Timeline.accept`` refuses.
        """
        if self._executable is not None:
            self._executable.check(chunk)
        if self.stopped or self.disarmed or self.state is State.HOMING:
            raise ChunkError(f"chunk {chunk.identifier} is not followed: {self.hold_reason}")
        if self.state in (State.RAMPING, State.HOLDING) and chunk.stamp < self._held_since:
            raise ChunkError(
                f"chunk {chunk.identifier} was captured {self._held_since - chunk.stamp:.3f} s before the hold began"
            )
        self._timeline.accept(chunk, now, self._tracker.command)
        if self._last_accepted is not None and self.state is State.FOLLOWING:
            self._intervals.append(now - self._last_accepted)
        self._last_accepted = now
        self.state = State.FOLLOWING
        self.hold_reason = ""

    def hold(self, reason: str, now: float) -> bool:
        """Brake to a hold; the first reason stands until a chunk is followed again. Returns whether this began one."""
        if self.state is State.IDLE and not self.disarmed:
            self.hold_reason = reason
        if not self.driven:
            return False
        self._begin_hold(reason, now)
        return True

    def stop(self, reason: str, now: float) -> bool:
        """Brake to a hold and latch it until ``resume``. Returns whether it was not latched before.

        What is told from here on is the stop, which is what must be cleared; why the motion had ended before it
        stands in ``endings``.
        """
        if self.stopped and not self.driven:
            return False
        self.stopped = True
        if self.disarmed:
            self._held_since = now  # that is what must be cleared first, and its reason stands
        else:
            self._latch(reason, now)
        return True

    def disarm(self, reason: str, now: float) -> bool:
        """Brake to a hold and latch it until ``arm``, whatever is resumed. Returns whether it was armed before."""
        if self.disarmed:
            return False
        self.disarmed = True
        self._latch(reason, now)
        return True

    def arm(self, base_from_tip: Array, now: float) -> None:
        """Take chunks again, from the measured pose (4, 4) on; a stop stays latched.

        Raises RuntimeError where the arm still brakes: it would be torn from its brake.
        """
        if self.state is State.RAMPING:
            raise RuntimeError("the arm still brakes; call arm/arm again when it stands")
        self.disarmed = False
        self._held_since = now
        self.hold_reason = "stopped before it was armed; give another instruction or call arm/resume"
        if not self.stopped:
            self.hold_reason = "no chunk yet" if self.state is State.IDLE else "waiting for a chunk"
        self.anchor(base_from_tip)

    def resume(self, base_from_tip: Array, now: float) -> None:
        """Clear the latch. At rest the commanded pose starts afresh from the measured one (4, 4)."""
        self.stopped = False
        self._held_since = now
        if not self.driven and not self.disarmed:
            self.hold_reason = "waiting for a chunk"
        self.anchor(base_from_tip)

    def home(self, base_from_home: Array, base_from_tip: Array, now: float) -> None:
        """Go home (4, 4) from the measured pose (4, 4), straight, within all limits; ends in a hold that says how.

        Raises ChunkError where the arm is disarmed or moving, or the way is no motion.
        """
        if self.disarmed:
            raise ChunkError(self.hold_reason)
        if self.state not in (State.IDLE, State.HOLDING):
            raise ChunkError(f"the arm is {self.state.name.lower()}; stop it first, with arm/stop")
        self.anchor(base_from_tip)
        homing = Homing(self._limits, self.settings.period, base_from_home, self._tracker.command, now)
        homing.speed = self.speed
        self._homing = homing
        self.state = State.HOMING
        self.hold_reason = "on the way home"

    def anchor(self, base_from_tip: Array) -> bool:
        """Start afresh from a measured pose (4, 4) where nothing is moving; returns whether that was so."""
        if self.driven or self.state is State.RAMPING or not self._tracker.at_rest:
            return False
        self._tracker.anchor(base_from_tip)
        self._lag.clear()
        self._gripper.reset()
        return True

    def measure(self, base_from_tip: Array, now: float, stamp: float | None = None) -> float:
        """Compare the commanded with the measured pose (4, 4) and return their distance in m.

        ``stamp`` is when it was measured, in s; None where that is not known, and tells nothing of the arm's lag.

        An arm that is further away than ``following_error`` or ``following_angle`` was moved by somebody else: the
        motion is held, and a hold starts afresh from where the arm is. Or it stands and does not follow: then the hold
        is a stop, for the next chunk would only lead away from it again. While nothing was ever streamed, the motion
        will start from where the arm is, however near.
        """
        if stamp is not None and self.state is State.FOLLOWING and self.settings.adapt_lead:
            self._lag.measure(vector(base_from_tip[:3, 3]), stamp)
            self._timeline.lead = self._lag.value
        stands = self._stands(base_from_tip, now)
        commanded = self.base_from_tip
        error = math.dist(commanded[:3, 3], base_from_tip[:3, 3])
        angle = rotation_angle(commanded, base_from_tip)
        if error > self.settings.following_error or angle > self.settings.following_angle:
            away = f"the tip is {error:.3f} m and {angle:.2f} rad away from where it was commanded"
            if self.driven and stands:
                self.stop(f"{away} and does not move: see to the driver; give another instruction or resume", now)
            elif self.driven:
                self.hold(away, now)
            else:
                self.anchor(base_from_tip)
        elif self.state is State.IDLE or self.disarmed:
            self.anchor(base_from_tip)
        return error

    def _stands(self, base_from_tip: Array, now: float) -> bool:
        """Take a look at the arm (4, 4) in; returns whether it has stood for a while."""
        looks = self._looks
        if looks and looks[-1][0] >= now:
            looks.clear()  # a clock that was set back
        looks.append((now, base_from_tip))
        while len(looks) > 1 and looks[1][0] <= now - STANDING:
            looks.popleft()
        return looks[0][0] <= now - STANDING and all(
            math.dist(before[:3, 3], base_from_tip[:3, 3]) < STIRRED * self.settings.following_error
            and rotation_angle(before, base_from_tip) < STIRRED * self.settings.following_angle
            for _, before in looks
        )

    def tick(self, now: float, gripper_busy: bool = False) -> Setpoint | None:
        """Advance the stream to now (s) and return the setpoint to send, None where there is none to send."""
        if now < self._time - self.settings.period:
            self.hold("the clock jumped back", now)
            self._time = now - self.settings.period  # the stream goes on, a setpoint a tick
        steps = round((now - self._time) / self.settings.period)
        if steps <= 0:
            return None
        self._check_patience(now)
        if steps > MOST_STEPS:
            self._time = now - self.settings.period
            steps = 1
        wanted: float | None = None
        for _ in range(steps):
            self._time += self.settings.period
            wanted = self._step()
            self._lag.command(self._tracker.position, self._time)
        if self.latched:
            return None
        goal = self._gripper.offer(wanted, gripper_busy) if wanted is not None else None
        command = self._tracker.command
        return Setpoint(self._time, self.base_from_tip, goal, command.velocity, command.turn_rate)

    def _step(self) -> float | None:
        """Advance by one period; returns the gripper width wanted, None where nothing is followed."""
        if self.state is State.FOLLOWING:
            target = self._timeline.advance(self._tracker.command, self._time)
            if target is not None:
                self._tracker.follow(target)
                return target.gripper
        elif self.state is State.HOMING and self._homing is not None:
            self._tracker.follow(self._homing.advance(self._tracker.command, self._time))
            if ended := self._homing.ended(self._tracker.command):
                self._begin_hold(ended, self._time)
        elif self.state is State.RAMPING:
            self._tracker.brake()
            if self._tracker.at_rest:
                self.state = State.HOLDING
        return None

    def _check_patience(self, now: float) -> None:
        if self.state is not State.FOLLOWING or self._last_accepted is None:
            return
        due = max(self._intervals) if self._intervals else self.settings.first_interval
        silent = now - self._last_accepted
        if silent > due + self.settings.patience:
            self.hold(f"no new chunk for {silent:.2f} s (one was due after {due:.2f} s)", now)

    def _latch(self, reason: str, now: float) -> None:
        """Brake to a hold that somebody must clear, with its reason; at rest the reason is told all the same."""
        if self.driven:
            self._begin_hold(reason, now)
            return
        # Nothing seen before may move the arm after it.
        self.hold_reason, self._held_since = reason, now
        self.endings.append(Ending(now, reason, True))
        if self.state is State.IDLE:
            self.state = State.HOLDING

    def _begin_hold(self, reason: str, now: float) -> None:
        self.state = State.RAMPING
        self.hold_reason = reason
        self.endings.append(Ending(now, reason, self.stopped or self.disarmed))
        self._held_since = now
        self._last_accepted = None
        self._intervals.clear()
        self._timeline.clear()
        self._homing = None
