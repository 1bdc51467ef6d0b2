"""Whether the arm may move at all: disarmed, armed, fault, and what is wrong meanwhile.

The single place for who may arm and what a fault leads to. The arm comes up disarmed. ``arm`` arms it where every
guard passes; ``disarm`` and a fault of the driver end that at any time. A fault must first be gone (``cleared``), and
then be confirmed by a person, with ``arm`` again: nothing moves in between.

Reasons: the first one stands. A mode keeps the reason it was entered for, a guard keeps the time since which it has
had a problem. Guarded by tests/unit/test_control_supervision.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

# Changes of mode that are remembered.
RECORDS = 50


class Mode(IntEnum):
    """Whether the arm may move; values as in vipa_msgs/ExecutionState."""

    DISARMED = 0
    ARMED = 1
    FAULT = 2
    CONFIRM = 3


class DriverState(IntEnum):
    """Whether the arm's driver takes targets; values as in vipa_msgs/DriverStatus."""

    READY = 0
    FAULT = 1
    UNAVAILABLE = 2


NEXT_STEP: Mapping[Mode, str] = {
    Mode.DISARMED: "call arm/arm",
    Mode.ARMED: "",
    Mode.FAULT: "see to the arm, then call arm/recover",
    Mode.CONFIRM: "look at the arm, then call arm/arm to confirm",
}
"""What an operator does next in each mode."""


@dataclass(frozen=True)
class Guard:
    """One thing that must be well for the arm to move.

    Attributes:
        name: of the guard.
        silenced_by: what makes it speak up.
        timeout: parameter of the arm node that says after how long or from what on, "" where it speaks at once.
        reason: how the reason it gives begins.
        arming: whether it must be well for the arm to be armed, and for a chunk to be taken.
    """

    name: str
    silenced_by: str
    timeout: str
    reason: str
    arming: bool = True


GUARDS: tuple[Guard, ...] = (
    Guard("tip", "TF of the tip is missing, old or from the future", "tf_timeout", "TF of <tip>"),
    Guard("driver", "the driver's status is a fault, unavailable, late or missing", "driver_timeout", "driver: "),
    Guard("setup", "payload and collision thresholds are not set", "", "setup: "),
    Guard("controller", "nobody takes the targets, or somebody else sends some", "", "controller: "),
    Guard("deadman", "the operator's switch is let go of, or silent", "deadman_timeout", "deadman: "),
    Guard("wrench", "the external wrench is missing or late", "wrench_timeout", "wrench: "),
    Guard("posture", "a joint is at its limit, or the arm near a singularity", "", "posture: "),
    Guard("contact", "the external wrench is that of a contact", "contact_force", "contact: ", arming=False),
    Guard("following", "the tip is not where it was commanded", "following_error", "the tip is ", arming=False),
    Guard("policy", "camera or another input is missing, or it runs no words", "", "policy: ", arming=False),
    Guard("chunks", "no chunk comes when one is due", "patience", "no new chunk for ", arming=False),
)
"""All watchdogs, in the order in which they are told. Those not for arming hold the arm through the executor."""
ARMING_GUARDS = tuple(guard for guard in GUARDS if guard.arming)


def told(problems: Mapping[str, str]) -> list[str]:
    """Return problems by guard as texts that begin with the guard's name."""
    return [text if text.startswith(f"{name}: ") else f"{name}: {text}" for name, text in problems.items()]


class Board:
    """What every guard for arming says now.

    Args:
        guards: in the order in which problems are told.
    """

    def __init__(self, guards: tuple[Guard, ...] = ARMING_GUARDS) -> None:
        self._problems: dict[str, tuple[str, float]] = {guard.name: ("", 0.0) for guard in guards}

    def set(self, name: str, problem: str, now: float) -> None:
        """Take what a guard says at ``now`` (s), "" where all is well. Raises KeyError for a name that is none."""
        before, since = self._problems[name]
        self._problems[name] = (problem, since if bool(before) == bool(problem) else now)

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by the guard's name."""
        return {name: problem for name, (problem, _) in self._problems.items() if problem}

    @property
    def first(self) -> str:
        """The problem that came first, "" where there is none."""
        wrong = [(since, order, problem) for order, (problem, since) in enumerate(self._problems.values()) if problem]
        return min(wrong)[2] if wrong else ""

    def since(self, name: str) -> float:
        """When a guard's state, well or not, began, s."""
        return self._problems[name][1]


@dataclass(frozen=True)
class Change:
    """A change of mode: when (s), to what, why."""

    stamp: float
    mode: Mode
    reason: str


@dataclass(frozen=True)
class Answer:
    """What came of asking to arm: whether the arm is armed, and why, or what is missing."""

    success: bool
    message: str


class Supervisor:
    """The mode, and why it was entered.

    Args:
        reason: why it is not armed yet.
        now: s.
    """

    def __init__(self, reason: str, now: float) -> None:
        self.mode = Mode.DISARMED
        self._reason = reason
        self.changes: deque[Change] = deque([Change(now, Mode.DISARMED, reason)], maxlen=RECORDS)

    @property
    def armed(self) -> bool:
        """Whether the arm may move."""
        return self.mode is Mode.ARMED

    @property
    def reason(self) -> str:
        """Why the arm is not armed, "" while it is."""
        return "" if self.armed else self._reason

    @property
    def advice(self) -> str:
        """Why the arm is not armed and what to do, "" while it is."""
        return "" if self.armed else f"{self._reason}; {NEXT_STEP[self.mode]}"

    def arm(self, problems: Mapping[str, str], now: float) -> Answer:
        """Arm at ``now`` (s), where no guard has a problem (by name), or say what is missing."""
        if self.armed:
            return Answer(True, "the arm is armed already")
        if self.mode is Mode.FAULT:
            return Answer(False, f"not armed: {self._reason}; {NEXT_STEP[self.mode]}")
        if problems:
            wrong = "; ".join(told(problems))
            return Answer(False, f"not armed, these guards do not pass: {wrong}")
        self._enter(Mode.ARMED, "armed", now)
        return Answer(True, "the arm is armed and starts from where it is measured to be")

    def disarm(self, reason: str, now: float) -> bool:
        """Take the leave to move away; returns whether it was there. A fault stays one; one to confirm stays so."""
        if not self.armed:
            return False
        self._enter(Mode.DISARMED, reason, now)
        return True

    def fault(self, reason: str, now: float) -> bool:
        """Take note of a fault of the driver; returns whether it is a new one."""
        if self.mode is Mode.FAULT:
            return False
        self._enter(Mode.FAULT, reason, now)
        return True

    def cleared(self, now: float) -> bool:
        """Take note that the driver's fault is gone; returns whether there was one. The operator must confirm."""
        if self.mode is not Mode.FAULT:
            return False
        self._enter(Mode.CONFIRM, f"recovered from {self._reason}", now)
        return True

    def _enter(self, mode: Mode, reason: str, now: float) -> None:
        self.mode, self._reason = mode, reason
        self.changes.append(Change(now, mode, reason))


class Freshness:
    """How long ago something was heard.

    Args:
        timeout: s, beyond which it counts as silent.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._heard: float | None = None

    def heard(self, now: float) -> None:
        """Take note that it was heard at ``now`` (s)."""
        self._heard = now

    def forget(self) -> None:
        """As if it had never been heard."""
        self._heard = None

    def problem(self, what: str, now: float) -> str:
        """Say since when ``what`` is silent at ``now`` (s), "" where it is not.

        A clock that jumped back far makes what was heard before it worthless.
        """
        if self._heard is None:
            return f"{what} was never heard"
        age = now - self._heard
        if age < -self._timeout:
            return f"{what} was last heard {-age:.2f} s in the future: the clock jumped back"
        if age > self._timeout:
            return f"{what} is silent for {age:.2f} s, more than {self._timeout} s"
        return ""
