"""A recording of a graph with a fault in it, judged by what the table requires.

Unsafe is what could hurt: a limit broken in the stream to the controller, or motion after the time that the table gives
for coming to rest, of the command or of the arm itself. Not as required is that, and all else that the table asks for
and that was not so. Guarded by tests/unit/test_fault_analysis.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vipa_policy.control.executor import State
from vipa_policy.control.limits import Limits
from vipa_sim.faults.stream import STILL, Stream, inspect_stream
from vipa_sim.faults.table import End, Fault

# s before a fault in which the arm may have noticed it: a publisher is discovered before it speaks.
EARLY = 0.5
# The arm itself follows its command late and swings a little: s after the command's rest, and m from there on.
SETTLING = 0.25
SWING = 0.003
# m/s and rad/s below which the arm itself stands.
CRAWLING = (0.003, 0.05)
# m that an arm which goes on must at least have gone.
PROGRESS = 0.05
# m/s of the command that count as moving again.
MOVING = 0.02
# s of the trace before and after the fault.
BEFORE, AFTER = 1.0, 4.0
# s between two setpoints across which the command is not known.
KNOWN = 0.1


@dataclass(frozen=True)
class Moment:
    """What the arm node told at a stamp (s): State, whether a stop is latched, and why it holds."""

    stamp: float
    state: int
    stopped: bool
    reason: str

    @property
    def holds(self) -> bool:
        """Whether it brakes or stands."""
        return self.state in (State.RAMPING, State.HOLDING)


@dataclass(frozen=True)
class Recording:
    """What was seen, stamps in s of simulated time that no fault touches.

    Attributes:
        setpoints: as the controller got them.
        truth: where the tip was.
        moments: what the arm node told, in order.
        struck, lifted, ended: when the fault began, when it was lifted, when the recording ended.
        period: s between two setpoints.
    """

    setpoints: Stream
    truth: Stream
    moments: Sequence[Moment]
    struck: float
    lifted: float
    ended: float
    period: float = 0.01


@dataclass(frozen=True)
class Outcome:
    """What a fault came to.

    Attributes:
        fault: its name.
        as_required: whether all was as the table says.
        unsafe: what could hurt, in words; empty where nothing could.
        shortfalls: what was not as required, in words; empty where all was.
        begun: s from the fault to the beginning of the hold; None where none began.
        rest: s from there to rest; None where it never came to rest.
        travel: m that the command went on after the fault, until it was lifted.
        deviation: m, largest distance of the tip from its command meanwhile.
        reason: recorded for the first hold, "" where there was none.
        lifted: s from the fault until it was lifted.
        recovered: whether the arm moved again afterwards.
        recovery: s from the lifting of the fault until it did; None where it did not.
        worst: per limit the largest share that was used.
        trace: stamps in s from the fault on, and commanded speeds in m/s, for the plot.
    """

    fault: str
    as_required: bool
    unsafe: tuple[str, ...] = ()
    shortfalls: tuple[str, ...] = ()
    begun: float | None = None
    rest: float | None = None
    travel: float = 0.0
    deviation: float = 0.0
    reason: str = ""
    lifted: float = 0.0
    recovered: bool = False
    recovery: float | None = None
    worst: dict[str, float] = field(default_factory=dict)
    trace: tuple[tuple[float, ...], tuple[float, ...]] = field(default=((), ()), repr=False)


def judge(fault: Fault, recording: Recording, limits: Limits) -> Outcome:
    """Return what a fault came to."""
    unsafe, worst = _broken_limits(recording, limits)
    shortfalls: list[str] = []
    hold = _hold(recording)
    begun = rest = None
    reason = ""
    if fault.end is End.STAND:
        begun = 0.0
        rest = _rest_of(recording.truth, recording, 0.0)
        unsafe += _motion_of_the_arm(fault, recording, recording.struck)
    elif hold is not None:
        begun, reason = max(hold.stamp - recording.struck, 0.0), hold.reason
        if fault.holds:
            rest = _rest_of(recording.setpoints, recording, begun)
            unsafe += _motion(fault, recording, recording.struck + begun)
            unsafe += _motion_of_the_arm(fault, recording, recording.struck + begun)
    shortfalls += _hold_shortfalls(fault, begun, rest) if fault.holds else _progress_shortfalls(recording)
    shortfalls += _reason_shortfalls(fault, recording)
    recovery = _recovery(fault, recording)
    if recovery is None:
        shortfalls.append("the arm did not move again")
    return Outcome(
        fault=fault.name,
        as_required=not shortfalls and not unsafe,
        unsafe=tuple(unsafe),
        shortfalls=tuple(shortfalls),
        begun=begun,
        rest=rest,
        travel=_travel(recording.truth if fault.end is End.STAND else recording.setpoints, recording),
        deviation=_deviation(recording),
        reason=reason,
        lifted=recording.lifted - recording.struck,
        recovered=recovery is not None,
        recovery=recovery,
        worst=worst,
        trace=_trace(recording),
    )


def _broken_limits(recording: Recording, limits: Limits) -> tuple[list[str], dict[str, float]]:
    verdict = inspect_stream(
        recording.setpoints.between(recording.struck - BEFORE, recording.ended),
        limits,
        recording.period,
        recording.truth,
    )
    broken = [
        f"{name} broken {number} times, at worst {verdict.worst.get(name, float('nan')):.2f} of the limit"
        for name, number in verdict.violations.items()
    ]
    return broken, verdict.worst


def _hold(recording: Recording) -> Moment | None:
    """The first hold from the fault on, until it is lifted."""
    for moment in recording.moments:
        if recording.struck - EARLY <= moment.stamp <= recording.lifted and moment.holds:
            return moment
    return None


def _rest_of(stream: Stream, recording: Recording, begun: float) -> float | None:
    """s from the hold's beginning, ``begun`` s after the fault, to the last motion before it was lifted."""
    part = stream.between(recording.struck + begun, recording.lifted)
    last = part.last_motion(CRAWLING if stream is recording.truth else STILL)
    return 0.0 if last is None else last - recording.struck - begun


def _motion(fault: Fault, recording: Recording, begun: float) -> list[str]:
    after = recording.setpoints.between(begun + fault.rest_within, recording.lifted)
    last = after.last_motion()
    if last is None:
        return []
    return [f"the command moved until {last - begun:.2f} s after the hold began, more than {fault.rest_within} s"]


def _motion_of_the_arm(fault: Fault, recording: Recording, begun: float) -> list[str]:
    after = recording.truth.between(begun + fault.rest_within + SETTLING, recording.lifted)
    if len(after.stamps) < 2:
        return []
    swing = float(np.linalg.norm(after.poses[:, :3, 3] - after.poses[0, :3, 3], axis=1).max())
    return [f"the arm moved {1000.0 * swing:.0f} mm after it should have stood"] if swing > SWING else []


def _hold_shortfalls(fault: Fault, begun: float | None, rest: float | None) -> list[str]:
    if begun is None:
        return ["no hold began"]
    found = []
    if begun > fault.begin_within:
        found.append(f"the hold began after {begun:.2f} s, more than {fault.begin_within} s")
    if rest is None or rest > fault.rest_within:
        found.append(f"rest came {rest if rest is not None else float('nan'):.2f} s after that")
    return found


def _progress_shortfalls(recording: Recording) -> list[str]:
    gone = _path(recording.setpoints.between(recording.struck, recording.ended))
    return [] if gone >= PROGRESS else [f"it went on by {1000.0 * gone:.0f} mm only"]


def _reason_shortfalls(fault: Fault, recording: Recording) -> list[str]:
    """What is wrong with the reasons: of the first hold, or of each where the arm goes on in between."""
    if not fault.words:
        return []
    holds = [
        moment
        for moment in recording.moments
        if recording.struck - EARLY <= moment.stamp <= recording.lifted and moment.holds
    ]
    told = [moment.reason for moment in holds[:1] if fault.holds] or [moment.reason for moment in holds]
    wrong = [reason for reason in told if not any(words in reason for words in fault.words)]
    return [f"the reason recorded is {wrong[0]!r}"] if wrong else []


def _recovery(fault: Fault, recording: Recording) -> float | None:
    """s from the lifting of the fault until the arm follows, and moves where it had stood; None where it does not."""
    following = [
        moment.stamp
        for moment in recording.moments
        if moment.stamp >= recording.lifted and moment.state == State.FOLLOWING
    ]
    if not following:
        return None
    if not fault.holds:
        return following[0] - recording.lifted
    stamps, speeds = recording.setpoints.between(recording.lifted, recording.ended).speeds()
    moving = stamps[(speeds > MOVING) & (stamps >= following[0])]
    return float(moving[0] - recording.lifted) if len(moving) else None


def _path(stream: Stream) -> float:
    return float(np.linalg.norm(np.diff(stream.poses[:, :3, 3], axis=0), axis=1).sum())


def _travel(stream: Stream, recording: Recording) -> float:
    return _path(stream.between(recording.struck, recording.lifted))


def _deviation(recording: Recording) -> float:
    """Largest distance in m of the true tip from its command, until the fault was lifted."""
    setpoints = recording.setpoints.between(recording.struck - KNOWN, recording.lifted)
    truth = recording.truth.between(recording.struck, recording.lifted)
    away = [
        float(np.linalg.norm(setpoints.at(stamp) - pose[:3, 3]))
        for stamp, pose in zip(truth.stamps, truth.poses, strict=True)
        if len(setpoints.stamps) and np.abs(setpoints.stamps - stamp).min() <= KNOWN
    ]
    return max(away, default=0.0)


def _trace(recording: Recording) -> tuple[tuple[float, ...], tuple[float, ...]]:
    part = recording.setpoints.between(recording.struck - BEFORE, recording.struck + AFTER)
    stamps, speeds = part.speeds()
    return (
        tuple(round(float(stamp - recording.struck), 3) for stamp in stamps),
        tuple(round(float(speed), 4) for speed in speeds),
    )
