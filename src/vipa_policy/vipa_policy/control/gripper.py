"""When a wanted gripper width becomes a goal: hysteresis, one goal at a time, and which goal a Franka Hand is given.

Guarded by tests/unit/test_control_gripper.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

# m: fingers within this of a width are there.
ARRIVED = 0.0015


class GripperGate:
    """Turns a stream of wanted widths into few goals.

    Args:
        threshold: m, how far the wanted width must be from the last goal to become a new one.
        minimum, maximum: m, widths are clamped to this range.
    """

    def __init__(self, threshold: float = 0.01, minimum: float = 0.0, maximum: float = 0.08) -> None:
        if not threshold > 0.0:
            raise ValueError(f"expected a gripper threshold above 0 m, got {threshold}")
        if not maximum > minimum:
            raise ValueError(f"expected a gripper range with maximum above minimum, got {minimum} to {maximum} m")
        self._threshold = threshold
        self._minimum, self._maximum = minimum, maximum
        self._goal: float | None = None

    def reset(self, width: float | None = None) -> None:
        """Forget the last goal; ``width`` (m) is what the fingers measure now, None where unknown."""
        self._goal = width

    def offer(self, width: float, busy: bool) -> float | None:
        """Return the width in m to send as a goal, or None; nothing is sent while one is under way (busy)."""
        if busy or not math.isfinite(width):
            return None
        wanted = min(max(width, self._minimum), self._maximum)
        if self._goal is not None and abs(wanted - self._goal) < self._threshold:
            return None
        self._goal = wanted
        return wanted


@dataclass(frozen=True)
class Convention:
    """What a driver calls positions of the gripper, linear in the width between the fingers.

    Attributes:
        closed: position of closed fingers, in the driver's own unit.
        opened: position at the largest width.
        largest: m, that width.
    """

    closed: float = 0.0
    opened: float = 0.08
    largest: float = 0.08

    def __post_init__(self) -> None:
        if not self.largest > 0.0:
            raise ValueError(f"expected a largest gripper width above 0 m, got {self.largest}")
        if self.closed == self.opened:
            raise ValueError(f"expected different positions for closed and open fingers, got {self.closed} for both")

    def position(self, width: float) -> float:
        """Return the driver's position for a width in m."""
        share = min(max(width / self.largest, 0.0), 1.0)
        return self.closed + share * (self.opened - self.closed)

    def width(self, position: float) -> float:
        """Return the width in m at a position of the driver."""
        return self.largest * (position - self.closed) / (self.opened - self.closed)


class Outcome(Enum):
    """How a goal ended."""

    REACHED = "reached"
    """As it was meant: there, or for a grasp, something is held."""
    MISSED = "missed"
    """The fingers stopped otherwise; the same goal again would do no better."""
    LOST = "lost"
    """Refused, cancelled, or never answered: it may not have been tried at all."""


class GoalKeeper:
    """Keeps one goal outstanding, the newest wanted; what was lost is tried again after a pause, what missed is not.

    Args:
        retry: s between a loss and the next try.
    """

    def __init__(self, retry: float = 1.0) -> None:
        if not retry > 0.0:
            raise ValueError(f"expected a pause above 0 s before a lost goal is sent again, got {retry}")
        self._retry = retry
        self._wanted: float | None = None
        self._current: float | None = None
        self._not_before = -math.inf

    @property
    def outstanding(self) -> bool:
        """Whether a goal was handed out and has not ended."""
        return self._current is not None

    def want(self, width: float) -> None:
        """Take a width in m as the newest that is wanted; it takes the place of any other that waits."""
        self._wanted = width if width != self._current else None
        self._not_before = -math.inf

    def next(self, now: float) -> float | None:
        """Return the width in m to send now (s), None where none waits or one is under way."""
        if self._wanted is None or self._current is not None or now < self._not_before:
            return None
        self._current, self._wanted = self._wanted, None
        return self._current

    def ended(self, outcome: Outcome, now: float) -> None:
        """Take note at ``now`` (s) of how the outstanding goal ended."""
        if outcome is Outcome.LOST and self._wanted is None:
            self._wanted, self._not_before = self._current, now + self._retry
        self._current = None


@dataclass(frozen=True)
class HandSettings:
    """How a Franka Hand is driven.

    Attributes:
        speed: m/s, of the fingers.
        force: N, with which they hold.
        smallest: m; fingers that close to less hold nothing.
        release: m by which the wanted width must exceed that of a held object to let it go.
        largest: m, widest opening.
        retry: s between a lost goal and the next try.
    """

    speed: float = 0.1
    force: float = 20.0
    smallest: float = 0.002
    release: float = 0.01
    largest: float = 0.08
    retry: float = 1.0

    def __post_init__(self) -> None:
        if not (self.speed > 0.0 and self.force > 0.0 and self.release > 0.0):
            raise ValueError("expected speed, force and release of the hand above 0")
        if not 0.0 < self.smallest < self.largest:
            raise ValueError(f"expected 0 < smallest < largest width, got {self.smallest} and {self.largest} m")


@dataclass(frozen=True)
class HandGoal:
    """A goal of a Franka Hand: a move, or with a force a grasp.

    Attributes:
        width: m.
        speed: m/s.
        force: N; 0 for a move.
        inner, outer: m by which what is grasped may be narrower or wider than ``width`` and count as held.
    """

    width: float
    speed: float
    force: float = 0.0
    inner: float = 0.0
    outer: float = 0.0

    @property
    def grasps(self) -> bool:
        """Whether it is a grasp."""
        return self.force > 0.0


class HandDecision:
    """Which goals a Franka Hand is given for the widths wanted: opening is a move, closing is a grasp.

    The hand closes until something stops it, so a grasp tolerates every width that is not nothing. What is held stays
    held, force and all, until a width is wanted that is larger by ``release``; a grasp that found nothing is not
    repeated before the fingers were opened. Nothing is decided while the width is unknown.
    """

    def __init__(self, settings: HandSettings | None = None) -> None:
        self._settings = settings or HandSettings()
        self._keeper = GoalKeeper(self._settings.retry)
        self._goal: HandGoal | None = None
        self._measured: float | None = None
        self._held: float | None = None
        self._empty = False  # whether the fingers closed on nothing and were not opened since

    @property
    def outstanding(self) -> bool:
        """Whether a goal was handed out and has not ended."""
        return self._goal is not None

    @property
    def held(self) -> float | None:
        """Width in m of what is held, None where nothing is."""
        return self._held

    def measure(self, width: float | None) -> bool:
        """Take the measured width in m, None where it is unknown; returns whether what was held is now gone."""
        self._measured = width
        self._empty = self._empty and (width is None or width < self._settings.smallest)
        if width is None or self._held is None or self.outstanding:
            return False
        self._held = min(self._held, width) if width >= self._settings.smallest else None
        return self._held is None

    def want(self, width: float) -> None:
        """Take a width in m as the newest that is wanted."""
        if math.isfinite(width):
            self._keeper.want(min(max(width, 0.0), self._settings.largest))

    def next(self, now: float) -> HandGoal | None:
        """Return the goal to send now (s), None where there is none to send."""
        if self._measured is None:
            return None
        wanted = self._keeper.next(now)
        if wanted is None:
            return None
        self._goal = self._goal_for(wanted, self._measured)
        if self._goal is None:
            self._keeper.ended(Outcome.REACHED, now)
        return self._goal

    def ended(self, outcome: Outcome, now: float) -> None:
        """Take note at ``now`` (s) of how the outstanding goal ended."""
        goal, self._goal = self._goal, None
        if goal is not None and outcome is not Outcome.LOST:
            holds = goal.grasps and outcome is Outcome.REACHED
            self._held = (self._measured if self._measured is not None else goal.width) if holds else None
            self._empty = goal.grasps and outcome is Outcome.MISSED
        self._keeper.ended(outcome, now)

    def _goal_for(self, wanted: float, measured: float) -> HandGoal | None:
        settings = self._settings
        if self._held is not None:
            return HandGoal(wanted, settings.speed) if wanted >= self._held + settings.release else None
        if abs(wanted - measured) <= ARRIVED:
            return None
        if wanted > measured:
            return HandGoal(wanted, settings.speed)
        if self._empty:
            return None
        width = max(wanted, settings.smallest)
        return HandGoal(
            width, settings.speed, settings.force, width - settings.smallest, max(settings.largest - width, 0.0)
        )
