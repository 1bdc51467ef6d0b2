"""What becomes of an instruction that a program gave: the single place that decides when it is over, and how.

It is over when the arm has come to rest after following chunks for these words, when time ran out, when it was
cancelled, when the arm was stopped or kept from moving, or when other words came. Whether what was asked for was done
is no outcome: neither the policy nor this module knows. No ROS. Guarded by tests/unit/test_program.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from vipa_policy.errors import InstructionError
from vipa_policy.geometry import Array, rotation_angle
from vipa_policy.instruction import is_stop, normalise

# Two states closer in time than this say nothing about a speed.
SHORTEST = 1e-3
# s by which the clocks of two nodes on one machine may be read apart.
CLOCKS = 0.1
# Share of the settle time after which an arm is told to rest: one that is slow is not between two steps of its way.
RESTING = 0.3
# m. A policy that samples its motion hovers where it wants the tip: vipa-tiny by 4 to 20 mm in 1.5 s, mostly below 10.
SETTLE_DISTANCE = 0.015


class Outcome(IntEnum):
    """How it ended; values as in vipa_msgs/ExecuteInstruction."""

    UNKNOWN = 0
    SETTLED = 1
    TIMED_OUT = 2
    CANCELLED = 3
    HELD = 4
    REFUSED = 5
    PREEMPTED = 6


class Phase(IntEnum):
    """How far it is; values as in vipa_msgs/ExecuteInstruction."""

    WAITING = 0
    MOVING = 1
    RESTING = 2
    HOLDING = 3


@dataclass(frozen=True)
class Goal:
    """What is to be done, and when it is over.

    Attributes:
        instruction: normalised words.
        timeout: s from the beginning to the end at the latest.
        settle_time: s for which the arm must not have moved.
        settle_distance: m, by which the tip may have moved in that time.
        settle_angle: rad, by which it may have turned in that time.
        clear_stop: whether a stop that others latched is cleared.
    """

    instruction: str
    timeout: float = 60.0
    settle_time: float = 1.5
    settle_distance: float = SETTLE_DISTANCE
    settle_angle: float = 0.05
    clear_stop: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "instruction", normalise(self.instruction))
        if is_stop(self.instruction):
            raise InstructionError(
                "expected words that tell what to do, got none or 'stop'; to stop the arm cancel the goal, call "
                "arm/stop or publish 'stop' on the topic instruction"
            )
        for name in ("timeout", "settle_time", "settle_distance", "settle_angle"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise InstructionError(
                    f"expected a {name} above 0, got {value:g}; 0 in a goal takes the node's default"
                )


@dataclass(frozen=True)
class Patience:
    """How long is waited for what should come, s each.

    Attributes:
        words: until the policy has the words in force.
        first: until the arm follows the first chunk for them.
        hold: for a hold to end by itself.
        silence: without a state of the arm.
    """

    words: float = 2.0
    first: float = 10.0
    hold: float = 2.0
    silence: float = 1.0


@dataclass(frozen=True)
class ArmSeen:
    """What the arm node said at ``stamp`` (s).

    Attributes:
        stamp: s.
        base_from_tip: (4, 4), where the tip was commanded to.
        following: whether it follows chunks.
        chunk: identifier of the one it follows, 0 if none.
        stopped: whether a stop is latched.
        armed: whether it may move.
        reason: why it does not follow, or is not armed.
        heard_stamp: s, when it last heard words.
    """

    stamp: float
    base_from_tip: Array
    following: bool
    chunk: int = 0
    stopped: bool = False
    armed: bool = True
    reason: str = ""
    heard_stamp: float = 0.0


@dataclass(frozen=True)
class PolicySeen:
    """What the policy node said last.

    Attributes:
        run: which run of it said so.
        instruction: words in force.
        refused: whether it does not take them.
        reason: why it does not run.
        first_chunk: first chunk predicted since these words came into force, 0 if none was.
        last_chunk: last one told of.
    """

    run: str
    instruction: str
    refused: bool = False
    reason: str = ""
    first_chunk: int = 0
    last_chunk: int = 0


@dataclass(frozen=True)
class Ending:
    """How it ended, in words, and whether the arm must be told to stop now: what a goal began ends with it."""

    outcome: Outcome
    reason: str
    stop: bool = False


def refusal(goal: Goal, arm: ArmSeen | None, policy: PolicySeen | None, own_stop: bool, now: float) -> str:
    """Say why a goal cannot begin at ``now`` (s), "" where it can.

    Args:
        goal: to begin.
        arm: last state of the arm, None if never heard.
        policy: last status of the policy, None if never heard.
        own_stop: whether the stop that is latched, if there is one, comes from the end of an earlier goal.
        now: s.
    """
    if arm is None or now - arm.stamp > Patience.silence:
        return "the arm node is not heard on arm/execution_state; is it running and active?"
    if policy is None:
        return "the policy node is not heard on policy/status; is it running?"
    if not arm.armed:
        return f"the arm is not armed: {arm.reason}"
    if arm.stopped and not (own_stop or goal.clear_stop):
        return (
            f"the arm was stopped by somebody else: {arm.reason}; see to it, then call arm/resume, or set clear_stop "
            "in the goal"
        )
    return ""


class Program:
    """Follows one goal, from the moment its words were said.

    Args:
        goal: to follow.
        patience: how long is waited for what should come.
        before: the policy's last status before the words were said.
        now: s.
    """

    def __init__(self, goal: Goal, patience: Patience, before: PolicySeen, now: float) -> None:
        self.goal = goal
        self.phase = Phase.WAITING
        self.reason = "waiting for the policy to take the words"
        self.speed = 0.0
        self.distance = 0.0
        self.first_chunk = 0
        self.last_chunk = 0
        self.run = ""
        self._patience = patience
        self._before = before
        self._began = now
        self._taken = False
        self._released = False
        self._followed = False
        self._arm: ArmSeen | None = None
        self._heard = now
        self._held_since: float | None = None
        self._rest: ArmSeen | None = None
        self._ending: Ending | None = None

    def elapsed(self, now: float) -> float:
        """Return s since the words were said."""
        return max(0.0, now - self._began)

    @property
    def chunk(self) -> int:
        """Chunk that the arm follows, 0 if none."""
        return self._arm.chunk if self._arm is not None and self._arm.following else 0

    def cancel(self) -> None:
        """End as the one who asked for it wants."""
        self._end(Ending(Outcome.CANCELLED, "cancelled by the client; the arm was told to stop", stop=True))

    def preempt(self, by: str) -> None:
        """End because of what ``by`` says."""
        self._end(Ending(Outcome.PREEMPTED, by))

    def give_up(self, reason: str) -> None:
        """End because of something that neither arm nor policy told."""
        self._end(Ending(Outcome.HELD, f"{reason}; the arm was told to stop", stop=True))

    def policy(self, seen: PolicySeen) -> None:
        """Take what the policy says."""
        if self._taken and seen.run != self.run:
            self.give_up("the policy node was started anew and does not know the words any more")
        elif seen.instruction != self.goal.instruction:
            if self._taken:
                self.preempt(f"other words came: {seen.instruction!r}")
        elif seen.refused:
            self._end(Ending(Outcome.REFUSED, seen.reason or "the policy refused the words and told no reason"))
        elif self._is_new(seen):
            self._taken, self.run = True, seen.run
            if not self.first_chunk and seen.first_chunk:
                self.first_chunk = max(seen.first_chunk, self._chunks_before(seen) + 1)
            if seen.last_chunk >= self.first_chunk:
                self.last_chunk = max(self.last_chunk, seen.last_chunk)

    def _chunks_before(self, seen: PolicySeen) -> int:
        """Last chunk told of before the words were said, which were in force already."""
        return self._before.last_chunk if self._before.run == seen.run else 0

    def _is_new(self, seen: PolicySeen) -> bool:
        """Whether a status speaks of this goal's words, and not of the same words said before."""
        before = self._before
        if self._taken or before.instruction != seen.instruction or before.run != seen.run:
            return True
        # The same words again: they are in force already, or a stop in between makes a new use of them.
        return seen.last_chunk == 0 or seen.last_chunk > before.last_chunk

    def arm(self, seen: ArmSeen) -> None:
        """Take what the arm says; states that come late change nothing."""
        last = self._arm
        if last is not None and seen.stamp < last.stamp:
            return
        self._arm, self._heard = seen, seen.stamp
        if not seen.armed:
            self._end(Ending(Outcome.HELD, f"the arm may not move: {seen.reason}", stop=True))
        self._released = self._released or not seen.stopped
        if seen.stopped and self._released:
            self._end(Ending(Outcome.HELD, f"the arm was stopped: {seen.reason}"))
        if last is not None:
            self._move(last, seen)
        if seen.following and self._is_ours(seen.chunk):
            self._follow(seen)
        elif self._followed and not seen.following:
            if self._held_since is None:
                self._held_since = seen.stamp
            self._rest = None
            self.phase, self.reason = Phase.HOLDING, seen.reason

    def _is_ours(self, chunk: int) -> bool:
        return self._taken and 0 < self.first_chunk <= chunk

    def _move(self, last: ArmSeen, seen: ArmSeen) -> None:
        way = math.dist(last.base_from_tip[:3, 3], seen.base_from_tip[:3, 3])
        self.distance += way
        seconds = seen.stamp - last.stamp
        if seconds > SHORTEST:
            self.speed = way / seconds

    def _follow(self, seen: ArmSeen) -> None:
        self._followed, self._held_since = True, None
        self.last_chunk = max(self.last_chunk, seen.chunk)
        rest = self._rest
        if rest is None or self._away(rest, seen):
            self._rest = seen
            self.phase, self.reason = Phase.MOVING, ""
        elif seen.stamp - rest.stamp > RESTING * self.goal.settle_time:
            self.phase, self.reason = Phase.RESTING, ""

    def _away(self, rest: ArmSeen, seen: ArmSeen) -> bool:
        return (
            math.dist(rest.base_from_tip[:3, 3], seen.base_from_tip[:3, 3]) > self.goal.settle_distance
            or rotation_angle(rest.base_from_tip, seen.base_from_tip) > self.goal.settle_angle
        )

    def tick(self, now: float) -> Ending | None:
        """Return how it ended, None while it goes on at ``now`` (s). The first ending stands."""
        if self._ending is None:
            self._end_if_due(now)
        return self._ending

    def _end_if_due(self, now: float) -> None:
        goal, patience, arm = self.goal, self._patience, self._arm
        if now - self._heard > patience.silence:
            self.give_up(f"the arm node was not heard for {now - self._heard:.1f} s")
        elif arm is not None and self._rest is not None and arm.stamp - self._rest.stamp >= goal.settle_time:
            self._end(
                Ending(
                    Outcome.SETTLED,
                    f"the tip has not moved by more than {goal.settle_distance:g} m and {goal.settle_angle:g} rad for "
                    f"{goal.settle_time:g} s; whether what was asked for was done is not known here",
                    stop=True,
                )
            )
        elif self.elapsed(now) >= goal.timeout:
            self._end(Ending(Outcome.TIMED_OUT, f"{goal.timeout:g} s have passed; the arm was told to stop", stop=True))
        elif self._held_since is not None and now - self._held_since > patience.hold:
            self.give_up(f"the arm held for {now - self._held_since:.1f} s: {arm.reason if arm else ''}")
        elif not self._taken and self.elapsed(now) > patience.words:
            self._end(
                Ending(
                    Outcome.REFUSED,
                    f"the policy did not take the words within {patience.words:g} s; see policy/status",
                    stop=True,
                )
            )
        elif not self._followed and self.elapsed(now) > patience.first:
            why = (arm.reason if arm else "") or "no reason told"
            self.give_up(f"the arm followed no chunk for the words within {patience.first:g} s: {why}")
        elif self._taken and not self._followed:
            self.reason = "waiting for the first chunk"

    def _end(self, ending: Ending) -> None:
        self._ending = self._ending or ending


class OwnStop:
    """Remembers whether the stop that the arm has latched is the one that the end of a goal asked for."""

    def __init__(self) -> None:
        self._said: float | None = None
        self._heard: tuple[float, str] | None = None

    def said(self, now: float) -> None:
        """Note that this node told the arm to stop at ``now`` (s)."""
        self._said, self._heard = now, None

    def look(self, arm: ArmSeen) -> None:
        """Take what the arm says."""
        if not arm.stopped:
            if self._heard is not None:
                self._said = self._heard = None
        elif self.pending and self._said is not None and arm.heard_stamp > self._said - CLOCKS:
            self._heard = (arm.heard_stamp, arm.reason)

    @property
    def pending(self) -> bool:
        """Whether the arm has not said yet that it heard the stop."""
        return self._said is not None and self._heard is None

    def owns(self, arm: ArmSeen) -> bool:
        """Tell whether the arm's stop is this node's; one that somebody asked for later, or otherwise, is not."""
        return arm.stopped and self._heard == (arm.heard_stamp, arm.reason)
