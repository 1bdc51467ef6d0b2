"""Setpoints as a controller got them, judged by the limits that were stated: mathematics of its own.

A busy machine thins a stream out, so nothing here takes it for uniform: velocity, acceleration and jerk are divided
differences over the stamps that came. Those of a thinner stream are weighted means of those of the whole one, so a
bound that the whole stream keeps is never seen broken in what came of it.
Guarded by tests/unit/test_fault_analysis.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.bench.inspection import Verdict, inspect_places, inspect_tilt
from vipa_policy.control.limits import Limits
from vipa_policy.geometry import Array

# Stamps are whole nanoseconds; third differences over 10 ms make 1e-4 of that.
ROUNDING = 1e-3
# s between two setpoints beyond which the process was not served, and the stream goes on from where it was.
STALL = 0.105
# m and rad from the true tip within which a stream may start afresh.
FRESH = (0.02, 0.1)
# m/s and rad/s below which a command stands: setpoints of a hold are equal to the last bit but for rounding.
STILL = (1e-5, 1e-4)


@dataclass(frozen=True)
class Stream:
    """Poses over time: stamps (n,) in s of simulated time, rising; poses (n, 4, 4) of the tip in the base frame."""

    stamps: Array = field(default_factory=lambda: np.zeros(0))
    poses: Array = field(default_factory=lambda: np.zeros((0, 4, 4)))

    def between(self, begin: float, end: float) -> Stream:
        """Return the part with stamps in [begin, end]."""
        chosen = (self.stamps >= begin) & (self.stamps <= end)
        return Stream(self.stamps[chosen], self.poses[chosen])

    def at(self, stamp: float) -> Array:
        """Return the position (3,) in m at a stamp, on straight lines between poses. Raises ValueError if empty."""
        if not len(self.stamps):
            raise ValueError("expected a stream with poses, got none")
        return np.array([np.interp(stamp, self.stamps, self.poses[:, axis, 3]) for axis in range(3)])

    def speeds(self) -> tuple[Array, Array]:
        """Return stamps (n - 1,) in s and speeds (n - 1,) in m/s of the steps that end there."""
        steps = np.linalg.norm(np.diff(self.poses[:, :3, 3], axis=0), axis=1)
        return self.stamps[1:], steps / np.diff(self.stamps)

    def last_motion(self, still: tuple[float, float] = STILL) -> float | None:
        """Return when the last step that moved ended, s; None where nothing moved."""
        if len(self.stamps) < 2:
            return None
        _, speeds = self.speeds()
        moving = (speeds > still[0]) | (_turns(self.poses) / np.diff(self.stamps) > still[1])
        return float(self.stamps[1:][moving][-1]) if moving.any() else None


def _turns(poses: Array) -> Array:
    """Angles (n - 1,) in rad between poses (n, 4, 4) and the next."""
    return np.linalg.norm(_turn_vectors(poses), axis=1)


def _turn_vectors(poses: Array) -> Array:
    if len(poses) < 2:
        return np.zeros((0, 3))
    rotations = Rotation.from_matrix(poses[:, :3, :3])
    return np.asarray((rotations[1:] * rotations[:-1].inv()).as_rotvec())


def inspect_stream(stream: Stream, limits: Limits, period: float, truth: Stream) -> Verdict:
    """Judge a stream; the verdict's "start" counts new beginnings that were neither on the stream nor at the arm.

    Args:
        stream: as the controller got it.
        limits: as the arm node was told them.
        period: s between two setpoints.
        truth: where the tip really was.
    """
    verdict = Verdict()
    starts = _starts(stream, limits)
    for begin, end in zip([0, *starts], [*starts, len(stream.stamps)], strict=True):
        part = Stream(stream.stamps[begin:end], stream.poses[begin:end])
        _inspect_motion(verdict, part, limits, period)
        if begin:
            verdict.count("start", int(not _may_start(stream, begin, limits, truth)))
    inspect_places(verdict, limits, stream.poses[:, :3, 3])
    inspect_tilt(verdict, limits, stream.poses[:, :3, 2])
    return verdict


def _starts(stream: Stream, limits: Limits) -> list[int]:
    """Indices at which the stream begins anew: after a silence, or far from the setpoint before while that stood."""
    intervals = np.diff(stream.stamps)
    steps = np.linalg.norm(np.diff(stream.poses[:, :3, 3], axis=0), axis=1)
    found = []
    for index in range(1, len(stream.stamps)):
        stood = index < 2 or steps[index - 2] <= STILL[0] * intervals[index - 2]
        if intervals[index - 1] > STALL or (stood and steps[index - 1] > limits.linear_step):
            found.append(index)
    return found


def _may_start(stream: Stream, index: int, limits: Limits, truth: Stream) -> bool:
    """Whether a new beginning continues the last setpoint, or lies where the arm really is."""
    here, before = stream.poses[index], stream.poses[index - 1]
    turn = float(_turns(np.stack([before, here]))[0])
    if np.linalg.norm(here[:3, 3] - before[:3, 3]) <= limits.linear_step and turn <= limits.angular_step:
        return True
    if not len(truth.stamps):
        return False
    nearest = truth.poses[int(np.abs(truth.stamps - stream.stamps[index]).argmin())]
    away = float(_turns(np.stack([nearest, here]))[0])
    return bool(np.linalg.norm(here[:3, 3] - truth.at(stream.stamps[index])) <= FRESH[0] and away <= FRESH[1])


def _inspect_motion(verdict: Verdict, part: Stream, limits: Limits, period: float) -> None:
    if len(part.stamps) < 2:
        return
    intervals = np.diff(part.stamps)
    # Whole periods are meant; what is off by less than a microsecond was rounded to nanoseconds.
    whole = np.maximum(np.round(intervals / period), 1.0) * period
    intervals = np.where(np.abs(intervals - whole) < 1e-6, whole, intervals)
    steps = {"linear": np.diff(part.poses[:, :3, 3], axis=0), "angular": _turn_vectors(part.poses)}
    uniform = np.isclose(intervals, period)
    for kind, moved in steps.items():
        spans = intervals
        values = moved / spans[:, None]
        periods = np.maximum(spans / period, 1.0)
        bound = getattr(limits, f"{kind}_step")
        verdict.note(f"{kind}_step", np.linalg.norm(moved, axis=1) / periods / bound, 1.0 + ROUNDING)
        verdict.note(
            f"{kind}_velocity", np.linalg.norm(values, axis=1) / getattr(limits, f"{kind}_velocity"), 1.0 + ROUNDING
        )
        for order, name in ((2, "acceleration"), (3, "jerk")):
            # Divided differences: the span of order + 1 stamps, shared among order steps.
            spans = np.convolve(intervals, np.ones(order), "valid") / order
            if not len(spans):
                break
            values = np.diff(values, axis=0) / spans[:, None]
            shares = np.linalg.norm(values, axis=1) / getattr(limits, f"{kind}_{name}")
            if kind == "angular":
                # Turns do not add up as vectors do: only evenly spaced ones are compared.
                even = np.convolve(uniform, np.ones(order), "valid") == order
                shares = shares[even]
            verdict.note(f"{kind}_{name}", shares, 1.0 + ROUNDING)
