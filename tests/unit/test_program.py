"""A goal's course, whatever policy and arm say in whatever order: it ends, in time, and never as more than settled."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.errors import InstructionError
from vipa_policy.program import (
    ArmSeen,
    Ending,
    Goal,
    Outcome,
    OwnStop,
    Patience,
    Phase,
    PolicySeen,
    Program,
    refusal,
)

WORDS = "reach the red block"
GOAL = Goal(WORDS, timeout=20.0)
BEFORE = PolicySeen("run", "go left", first_chunk=1, last_chunk=40)
TAKEN = PolicySeen("run", WORDS, first_chunk=41, last_chunk=41)
PERIOD = 0.05


def seen(stamp: float, place: float = 0.0, **values: object) -> ArmSeen:
    """The arm at ``place`` m along x, following chunk 41."""
    pose = np.eye(4)
    pose[0, 3] = place
    return ArmSeen(**{"stamp": stamp, "base_from_tip": pose, "following": True, "chunk": 41, **values})  # type: ignore[arg-type]


class Run:
    """A program and a clock that goes on with every state of the arm."""

    def __init__(self, goal: Goal = GOAL, before: PolicySeen = BEFORE) -> None:
        self.now = 100.0
        self.program = Program(goal, Patience(), before, self.now)

    def arm(self, seconds: float, speed: float = 0.0, place: float = 0.0, **values: object) -> Ending | None:
        """Let the arm say its state for so long; returns the ending."""
        ending = None
        for step in range(round(seconds / PERIOD)):
            self.now += PERIOD
            self.program.arm(seen(self.now, place + speed * step * PERIOD, **values))
            ending = self.program.tick(self.now)
            if ending is not None:
                break
        return ending


def test_an_arm_that_came_to_rest_has_settled_and_nobody_says_more() -> None:
    run = Run()
    run.arm(0.3, chunk=40)
    run.program.policy(TAKEN)
    assert run.arm(2.0, speed=0.1) is None
    assert run.program.phase is Phase.MOVING
    assert run.program.speed == pytest.approx(0.1)
    ending = run.arm(3.0, place=0.2)
    assert ending is not None
    assert (ending.outcome, ending.stop) == (Outcome.SETTLED, True)
    assert "whether what was asked for was done is not known" in ending.reason
    assert run.program.elapsed(run.now) == pytest.approx(3.8, abs=0.15)
    assert (run.program.run, run.program.first_chunk, run.program.last_chunk) == ("run", 41, 41)
    assert run.program.distance == pytest.approx(0.2, abs=0.01)


def test_rest_before_a_chunk_for_the_words_settles_nothing() -> None:
    run = Run()
    run.program.policy(dataclasses.replace(TAKEN, first_chunk=0, last_chunk=0))
    assert run.arm(5.0, chunk=40) is None
    assert run.program.phase is Phase.WAITING
    ending = run.arm(6.0, chunk=40)
    assert ending is not None
    assert ending.outcome is Outcome.HELD
    assert "followed no chunk for the words within 10 s" in ending.reason


@pytest.mark.parametrize(
    ("happening", "outcome", "words", "stop"),
    [
        (lambda run: run.arm(0.1, stopped=True, following=False, reason="stopped by arm/stop"), 4, "arm/stop", False),
        (lambda run: run.arm(0.1, armed=False, following=False, reason="call arm/arm"), 4, "call arm/arm", True),
        (lambda run: run.arm(3.0, following=False, chunk=0, reason="policy: no depth"), 4, "policy: no depth", True),
        (lambda run: run.program.policy(dataclasses.replace(TAKEN, run="other")), 4, "started anew", True),
        (lambda run: run.program.policy(PolicySeen("run", "go left")), 6, "other words came: 'go left'", False),
        (lambda run: run.program.policy(dataclasses.replace(TAKEN, refused=True, reason="mauve")), 5, "mauve", False),
        (lambda run: run.program.cancel(), 3, "cancelled by the client", True),
        (lambda run: run.program.preempt("a new goal"), 6, "a new goal", False),
        (lambda run: run.arm(30.0, speed=0.1), 2, "20 s have passed", True),
        (lambda run: setattr(run, "now", run.now + 2.0), 4, "the arm node was not heard for 2.0 s", True),
    ],
)
def test_what_ends_a_moving_goal_is_told(happening, outcome: int, words: str, stop: bool) -> None:
    run = Run()
    run.program.policy(TAKEN)
    assert run.arm(1.0, speed=0.1) is None
    happening(run)
    ending = run.program.tick(run.now)
    assert ending is not None
    assert (ending.outcome, ending.stop) == (Outcome(outcome), stop)
    assert words in ending.reason
    run.program.cancel()
    assert run.program.tick(run.now + 100.0) == ending


def test_a_short_hold_is_waited_for_and_is_no_rest() -> None:
    run = Run()
    run.program.policy(TAKEN)
    run.arm(1.0, speed=0.1)
    assert run.arm(1.2, following=False, reason="policy: no colour", place=0.1) is None
    assert (run.program.phase, run.program.reason) == (Phase.HOLDING, "policy: no colour")
    assert run.arm(1.3, place=0.1) is None
    assert run.arm(0.5, place=0.1).outcome is Outcome.SETTLED


def test_words_that_nobody_takes_are_refused() -> None:
    run = Run()
    ending = run.arm(3.0, chunk=40)
    assert ending is not None
    assert ending.outcome is Outcome.REFUSED
    assert "did not take the words within 2 s" in ending.reason


def test_words_that_were_in_force_before_count_from_the_next_chunk_on() -> None:
    run = Run(before=dataclasses.replace(TAKEN, first_chunk=10, last_chunk=40))
    run.program.policy(dataclasses.replace(TAKEN, first_chunk=10, last_chunk=40))
    run.arm(0.5, chunk=40)
    assert run.program.phase is Phase.WAITING
    run.program.policy(dataclasses.replace(TAKEN, first_chunk=10, last_chunk=55))
    run.arm(0.5, chunk=55)
    assert (run.program.first_chunk, run.program.last_chunk) == (41, 55)


def test_a_stop_of_an_earlier_goal_is_no_stop_of_this_one() -> None:
    run = Run()
    assert run.arm(0.2, stopped=True, following=False) is None
    run.program.policy(TAKEN)
    assert run.arm(0.5, speed=0.1) is None


STATES = st.tuples(
    st.floats(0.0, 0.6),
    st.sampled_from(["arm", "policy"]),
    st.floats(-0.02, 0.02),
    st.sampled_from([0, 40, 41, 42]),
    st.booleans(),
    st.integers(0, 19),
)


@given(st.lists(STATES, max_size=80))
def test_whatever_comes_it_ends_in_time_and_settles_only_at_rest(events: list) -> None:
    program, now, heard = Program(GOAL, Patience(), BEFORE, 0.0), 0.0, []
    ending = None
    for wait, who, place, chunk, following, rare in events:
        now += wait
        if who == "arm":
            heard.append(seen(now, place, chunk=chunk, following=following, stopped=rare == 0, armed=rare != 1))
            program.arm(heard[-1])
        else:
            words = "go left" if rare == 2 else WORDS
            program.policy(
                PolicySeen("run", words, refused=rare == 3, first_chunk=41 if chunk else 0, last_chunk=chunk)
            )
        ending = program.tick(now)
        if ending is not None:
            break
    if ending is None:
        ending = program.tick(max(now, GOAL.timeout))
    assert ending is not None
    assert ending.outcome is not Outcome.UNKNOWN
    assert ending.reason
    assert program.elapsed(now) <= GOAL.timeout + 0.6
    assert program.last_chunk == 0 or program.last_chunk >= program.first_chunk
    if ending.outcome is Outcome.SETTLED:
        rest = [one for one in heard if one.stamp > heard[-1].stamp - GOAL.settle_time]
        places = [one.base_from_tip[0, 3] for one in rest if one.chunk >= 41]
        assert all(one.following or one.stamp == rest[0].stamp for one in rest)
        assert max(places) - min(places) <= 2 * GOAL.settle_distance
    # What went on when it ended is told to stop, unless others took over or it never began.
    others = ending.outcome is Outcome.PREEMPTED or "was stopped" in ending.reason or rare_refusal(ending)
    assert ending.stop or others


def rare_refusal(ending: Ending) -> bool:
    return ending.outcome is Outcome.REFUSED and "did not take" not in ending.reason


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"instruction": " Stop. "}, "expected words that tell what to do"),
        ({"instruction": ""}, "expected words that tell what to do"),
        ({"timeout": math.nan}, "expected a timeout above 0, got nan"),
        ({"settle_time": -1.0}, "expected a settle_time above 0, got -1"),
        ({"settle_distance": math.inf}, "expected a settle_distance above 0, got inf"),
    ],
)
def test_goals_that_make_no_sense_are_refused(values: dict, words: str) -> None:
    with pytest.raises(InstructionError, match=words):
        Goal(**{"instruction": WORDS, **values})


def test_why_a_goal_cannot_begin_is_told() -> None:
    arm, policy = seen(10.0), BEFORE
    assert refusal(GOAL, arm, policy, False, 10.1) == ""
    assert "arm node is not heard" in refusal(GOAL, None, policy, False, 10.1)
    assert "arm node is not heard" in refusal(GOAL, arm, policy, False, 20.0)
    assert "policy node is not heard" in refusal(GOAL, arm, None, False, 10.1)
    disarmed = seen(10.0, armed=False, reason="call arm/arm")
    assert refusal(GOAL, disarmed, policy, False, 10.1) == "the arm is not armed: call arm/arm"
    stopped = seen(10.0, stopped=True, reason="stopped by arm/stop")
    assert "was stopped by somebody else: stopped by arm/stop" in refusal(GOAL, stopped, policy, False, 10.1)
    assert refusal(GOAL, stopped, policy, True, 10.1) == ""
    assert refusal(dataclasses.replace(GOAL, clear_stop=True), stopped, policy, False, 10.1) == ""


def test_only_the_stop_that_was_said_here_is_one_s_own() -> None:
    own = OwnStop()
    stopped = seen(10.2, stopped=True, reason="by words", heard_stamp=10.1)
    assert not own.owns(stopped)
    own.said(10.1)
    assert own.pending
    own.look(seen(10.15))
    assert own.pending
    own.look(stopped)
    assert own.owns(stopped)
    assert not own.pending
    # Somebody stops it again, by words or otherwise.
    assert not own.owns(dataclasses.replace(stopped, heard_stamp=12.0))
    assert not own.owns(dataclasses.replace(stopped, reason="emergency stop"))
    own.look(seen(13.0))
    assert not own.owns(stopped)
