"""Goals of grippers by property: one outstanding, what is lost tried again, what is held kept, positions both ways."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.control.gripper import ARRIVED, Convention, GoalKeeper, HandDecision, HandGoal, HandSettings, Outcome

LARGEST = 0.08
WIDTHS = st.floats(0.0, LARGEST)
OUTCOMES = st.sampled_from(Outcome)
SETTINGS = HandSettings()


class Hand:
    """A Franka Hand in a few lines: a block between the fingers, or nothing; goals end when they are told to."""

    def __init__(self, decision: HandDecision, block: float, width: float = LARGEST) -> None:
        self.decision, self.block, self.width, self.now = decision, block, width, 0.0
        self.goals: list[HandGoal] = []
        decision.measure(width)

    def step(self) -> None:
        """Do at once what is decided, and measure."""
        self.now += 0.05
        goal = self.decision.next(self.now)
        if goal is not None:
            self.goals.append(goal)
            self.decision.ended(self.do(goal), self.now)
        self.decision.measure(self.width)

    def do(self, goal: HandGoal) -> Outcome:
        if not goal.grasps:
            self.width = goal.width if goal.width >= self.width else max(goal.width, min(self.block, self.width))
            return Outcome.REACHED if abs(self.width - goal.width) <= ARRIVED else Outcome.MISSED
        self.width = min(self.block, self.width)
        return Outcome.REACHED if goal.width - goal.inner <= self.width <= goal.width + goal.outer else Outcome.MISSED


def test_closing_grasps_with_force_and_opening_moves() -> None:
    hand = Hand(HandDecision(), block=0.04)
    hand.decision.want(0.0)
    hand.step()
    hand.decision.want(LARGEST)
    hand.step()
    closing, opening = hand.goals
    assert closing.force == SETTINGS.force
    assert closing.speed == SETTINGS.speed
    assert opening == HandGoal(LARGEST, SETTINGS.speed)


@given(st.floats(SETTINGS.smallest + 1e-6, LARGEST - 0.02), WIDTHS)
def test_whatever_is_thicker_than_nothing_counts_as_held(block: float, wanted: float) -> None:
    hand = Hand(HandDecision(), block)
    hand.decision.want(wanted)
    hand.step()
    if hand.goals and hand.goals[0].grasps:
        assert hand.decision.held == pytest.approx(block)


@given(st.lists(WIDTHS, min_size=1, max_size=30), st.floats(0.01, 0.06))
def test_what_is_held_stays_held_until_a_clearly_larger_width_is_wanted(wishes: list[float], block: float) -> None:
    hand = Hand(HandDecision(), block)
    hand.decision.want(0.0)
    hand.step()
    assert hand.decision.held == pytest.approx(block)
    for wanted in wishes:
        before, held = len(hand.goals), hand.decision.held
        hand.decision.want(wanted)
        hand.step()
        if held is not None and wanted < held + SETTINGS.release:
            assert len(hand.goals) == before
            assert hand.decision.held == held
        elif held is not None:
            assert not hand.goals[-1].grasps
            assert hand.goals[-1].width == wanted
            assert hand.decision.held is None


@given(st.lists(st.floats(0.0, SETTINGS.smallest), min_size=1, max_size=20))
def test_a_grasp_that_found_nothing_is_not_repeated_before_the_fingers_open(wishes: list[float]) -> None:
    hand = Hand(HandDecision(), block=0.0)
    hand.decision.want(0.0)
    hand.step()
    assert hand.goals[0].grasps
    assert hand.decision.held is None
    for wanted in wishes:
        hand.decision.want(wanted)
        hand.step()
    assert sum(goal.grasps for goal in hand.goals) == 1 or any(not goal.grasps for goal in hand.goals)
    hand.decision.want(0.05)
    hand.step()
    hand.decision.want(0.0)
    hand.step()
    assert hand.goals[-1].grasps


def test_something_lost_from_between_the_fingers_is_told_once() -> None:
    hand = Hand(HandDecision(), block=0.04)
    hand.decision.want(0.0)
    hand.step()
    assert not hand.decision.measure(0.039)
    assert hand.decision.held == pytest.approx(0.039)
    assert hand.decision.measure(0.0005)
    assert not hand.decision.measure(0.0005)
    assert hand.decision.held is None


def test_nothing_is_decided_while_the_width_is_unknown() -> None:
    decision = HandDecision()
    decision.want(0.0)
    assert decision.next(1.0) is None
    decision.measure(LARGEST)
    assert decision.next(1.0) is not None


@given(st.lists(st.one_of(WIDTHS, st.sampled_from([math.nan, math.inf, -1.0, 1.0])), max_size=40), st.data())
def test_one_goal_is_outstanding_and_each_is_one_that_the_hand_takes(wishes: list[float], data: st.DataObject) -> None:
    decision = HandDecision()
    width, outstanding = LARGEST, False
    for step, wanted in enumerate(wishes):
        decision.measure(width)
        decision.want(wanted)
        goal = decision.next(float(step))
        assert decision.outstanding == (outstanding or goal is not None)
        if outstanding:
            assert goal is None
        elif goal is not None:
            outstanding = True
            assert 0.0 <= goal.width <= LARGEST
            assert goal.speed > 0.0
            assert goal.force >= 0.0
            assert goal.inner >= 0.0
            assert goal.outer >= 0.0
        if outstanding and data.draw(st.booleans()):
            decision.ended(data.draw(OUTCOMES), float(step))
            outstanding, width = False, data.draw(WIDTHS)


@given(st.lists(st.tuples(WIDTHS, OUTCOMES), max_size=30), WIDTHS)
def test_the_newest_width_gets_there_whatever_is_lost_on_the_way(
    history: list[tuple[float, Outcome]], last: float
) -> None:
    keeper, now = GoalKeeper(retry=1.0), 0.0
    for width, outcome in history:
        keeper.want(width)
        if keeper.next(now) is not None:
            keeper.ended(outcome, now)
        now += 0.1
    keeper.want(last)
    sent = keeper.next(now)
    assert sent == last
    keeper.ended(Outcome.LOST, now)
    assert keeper.next(now + 0.99) is None
    assert keeper.next(now + 1.01) == last
    keeper.ended(Outcome.REACHED, now + 2.0)
    assert keeper.next(now + 100.0) is None


def test_a_newer_width_waits_while_a_goal_is_under_way_and_needs_no_pause_after_a_loss() -> None:
    keeper = GoalKeeper(retry=1.0)
    keeper.want(0.08)
    assert keeper.next(0.0) == 0.08
    keeper.want(0.02)
    assert keeper.next(0.5) is None
    keeper.ended(Outcome.LOST, 0.6)
    assert keeper.next(0.6) == 0.02


@given(WIDTHS, st.floats(-2.0, 2.0), st.floats(0.01, 2.0), st.booleans())
def test_positions_of_a_driver_are_those_of_the_width(width: float, closed: float, span: float, falls: bool) -> None:
    convention = Convention(closed, closed - span if falls else closed + span, LARGEST)
    assert convention.width(convention.position(width)) == pytest.approx(width, abs=1e-9)
    assert convention.position(-1.0) == pytest.approx(closed)
    assert convention.position(1.0) == pytest.approx(convention.opened)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Convention(0.4, 0.4),
        lambda: Convention(largest=0.0),
        lambda: GoalKeeper(0.0),
        lambda: HandSettings(speed=0.0),
        lambda: HandSettings(smallest=0.1),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match="expected"):
        wrong()
