"""Collects what a graph does around a fault, in simulated time that no fault touches.

The clock may be what fails: nodes then stamp by a clock that is ahead of the truth, or behind. ``TrueTime`` knows by
how much, and takes it off again. Guarded by tests/unit/test_fault_analysis.py.
"""

from __future__ import annotations

import math

import numpy as np

from vipa_policy.control.executor import State
from vipa_policy.geometry import Array
from vipa_sim.faults.judge import Moment, Recording
from vipa_sim.faults.stream import Stream

# Setpoints that tell whether the arm moves.
RECENT = 150
# Periods within which a stream that went through a jump of the clock must have gone on.
RESTART = 3.5


class TrueTime:
    """The time of the simulation, and by how much the clock that the nodes see is ahead of it."""

    def __init__(self) -> None:
        self.now = 0.0
        """s, true."""
        self._offsets = (0.0, 0.0)  # now, and before: what is heard may have been stamped before the last jump

    @property
    def offset(self) -> float:
        """s that the clock is ahead by now."""
        return self._offsets[0]

    def jump(self, offset: float) -> None:
        """Let the clock be ahead by ``offset`` s from now on."""
        self._offsets = (offset, self._offsets[0])

    def of(self, stamp: float) -> tuple[float, float]:
        """Return the true time of the stamp of a message that has just come, and the offset it was made with, in s."""
        offset = min(self._offsets, key=lambda offset: abs(stamp - offset - self.now))
        return stamp - offset, offset


class Record:
    """What was seen so far.

    Args:
        time: to which stamps are brought.
        period: s between two setpoints.
    """

    def __init__(self, time: TrueTime, period: float) -> None:
        self._time, self._period = time, period
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        self.moments: list[Moment] = []
        self._setpoints: list[tuple[float, Array]] = []
        self._truth: list[tuple[float, Array]] = []
        self._offset = self._phase = 0.0

    def take_setpoint(self, stamp: float, pose: Array) -> None:
        """Take a setpoint (4, 4) as it comes, stamped by its sender."""
        true, offset = self._time.of(stamp)
        before = self._setpoints[-1][0] if self._setpoints else -math.inf
        if offset != self._offset:
            # Timers begin anew where the clock jumped. That the setpoint came a little sooner or later than a period
            # after the one before is a matter of stamps, not of motion; the rest are moved with it.
            meant = before + self._period
            self._offset = offset
            self._phase = meant - true if true < before + RESTART * self._period else 0.0
        true += self._phase
        if true > before:
            self._setpoints.append((true, pose))

    def take_moment(self, stamp: float, state: int, stopped: bool, reason: str) -> None:
        """Take what the arm node tells, as it comes."""
        self.moments.append(Moment(self._time.of(stamp)[0], state, stopped, reason))

    def take_truth(self, stamp: float, pose: Array) -> None:
        """Take where the tip really is (4, 4), with its true stamp."""
        self._truth.append((stamp, pose))

    def moving_for(self, slowest: float) -> float:
        """Return for how many s the command has been faster than ``slowest`` m/s, with the arm following chunks."""
        recent = _stream(self._setpoints[-RECENT:])
        if len(recent.stamps) < 2:
            return 0.0
        stamps, speeds = recent.speeds()
        begins = [float(recent.stamps[0]), *stamps[speeds < slowest]]
        begins += [moment.stamp for moment in self.moments if moment.state != State.FOLLOWING]
        return max(float(stamps[-1]) - max(begins), 0.0)

    def moves_after(self, stamp: float, speed: float) -> bool:
        """Whether the arm has followed chunks after a stamp (s), and its command was faster than ``speed`` m/s then."""
        following = [
            moment.stamp for moment in self.moments if moment.stamp >= stamp and moment.state == State.FOLLOWING
        ]
        if not following:
            return False
        recent = _stream(self._setpoints[-RECENT:]).between(following[0], math.inf)
        return speed <= 0.0 or (len(recent.stamps) > 1 and bool((recent.speeds()[1] > speed).any()))

    def recording(self, struck: float, lifted: float) -> Recording:
        """Return all that was seen, with when the fault struck and was lifted, s."""
        return Recording(
            setpoints=_stream(self._setpoints),
            truth=_stream(self._truth),
            moments=list(self.moments),
            struck=struck,
            lifted=lifted,
            ended=self._time.now,
            period=self._period,
        )


def _stream(samples: list[tuple[float, Array]]) -> Stream:
    if not samples:
        return Stream()
    return Stream(np.array([stamp for stamp, _ in samples]), np.array([pose for _, pose in samples]))
