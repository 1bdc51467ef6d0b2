"""Goals of grippers by property: one outstanding, what is lost tried again, what is held kept, positions both ways."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.control.gripper import (
    ARRIVED,
    Convention,
    GoalKeeper,
    GripperGate,
    HandDecision,
    HandGoal,
    HandSettings,
    Outcome,
)

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


@given(st.lists(st.floats(0.0, SETTINGS.smallest), min_size=1, max_size=20), st.floats(0.0, SETTINGS.smallest - 1e-6))
def test_a_grasp_that_found_nothing_is_not_repeated_before_the_fingers_open(wishes: list[float], block: float) -> None:
    hand = Hand(HandDecision(), block)
    hand.decision.want(0.0)
    hand.step()
    assert hand.goals[0].grasps
    assert hand.decision.held is None
    for wanted in wishes:
        hand.decision.want(wanted)
        hand.step()
    assert not any(before.grasps and after.grasps for before, after in pairwise(hand.goals))
    hand.decision.want(0.05)
    hand.step()
    hand.decision.want(0.0)
    hand.step()
    assert hand.goals[-1].grasps


@pytest.mark.parametrize("opened_to", [0.0019, 0.05])
def test_fingers_that_found_nothing_close_again_once_they_were_opened_by_whatever(opened_to: float) -> None:
    hand = Hand(HandDecision(), block=0.0)
    hand.decision.want(0.0)
    hand.step()
    if opened_to > SETTINGS.smallest:
        hand.decision.measure(opened_to)  # by hand, or by another node
    else:
        hand.decision.want(opened_to)
        hand.step()
    hand.decision.want(0.0)
    hand.step()
    assert hand.goals[-1].grasps
    assert len(hand.goals) >= 2


def test_a_missed_grasp_holds_nothing_wherever_the_fingers_stopped_and_is_not_tried_again_by_itself() -> None:
    decision = HandDecision()
    decision.measure(LARGEST)
    decision.want(0.0)
    assert decision.next(1.0) is not None
    decision.measure(0.03)
    decision.ended(Outcome.MISSED, 1.5)
    assert decision.held is None
    decision.measure(0.03)
    assert decision.next(100.0) is None


def test_what_is_held_is_not_judged_while_a_goal_is_under_way_and_a_lost_goal_lets_nothing_go() -> None:
    hand = Hand(HandDecision(), block=0.04)
    hand.decision.want(0.0)
    hand.step()
    hand.decision.want(LARGEST)
    assert hand.decision.next(1.0) is not None
    assert not hand.decision.measure(0.0005)
    assert hand.decision.held == pytest.approx(0.04)
    hand.decision.ended(Outcome.LOST, 1.1)
    assert hand.decision.held == pytest.approx(0.04)


def test_a_lost_goal_of_the_hand_is_sent_again_after_the_pause_that_was_set() -> None:
    decision = HandDecision(HandSettings(retry=0.2))
    decision.measure(LARGEST)
    decision.want(0.0)
    sent = decision.next(5.0)
    decision.ended(Outcome.LOST, 5.0)
    assert decision.next(5.19) is None
    assert sent is not None
    assert decision.next(5.21) == sent


def test_goals_have_the_speed_and_force_that_were_set_and_grasps_tolerate_all_that_is_not_nothing() -> None:
    chosen = HandSettings(speed=0.03, force=35.0, smallest=0.004, release=0.02, largest=0.07)
    hand = Hand(HandDecision(chosen), block=0.03, width=0.06)
    for wanted in (chosen.largest, 0.02, 0.049, 0.051):
        hand.decision.want(wanted)
        hand.step()
    opening, closing, releasing = hand.goals
    assert opening == HandGoal(chosen.largest, chosen.speed)
    assert (closing.width, closing.speed, closing.force) == (0.02, chosen.speed, chosen.force)
    assert closing.width - closing.inner == pytest.approx(chosen.smallest)
    assert closing.width + closing.outer == pytest.approx(chosen.largest)
    assert releasing == HandGoal(0.051, chosen.speed)


@given(st.floats(0.01, 0.07), st.floats(-0.004, 0.004))
def test_fingers_that_are_there_are_given_no_goal_and_others_are(measured: float, off: float) -> None:
    decision = HandDecision()
    decision.measure(measured)
    decision.want(measured + off)
    if abs(abs(off) - ARRIVED) > 1e-9:
        assert (decision.next(1.0) is None) == (abs(off) < 0.0015)


def test_a_width_that_asks_for_nothing_is_done_with_whatever_is_measured_later() -> None:
    decision = HandDecision()
    decision.measure(LARGEST)
    decision.want(LARGEST)
    assert decision.next(1.0) is None
    decision.measure(0.04)
    assert decision.next(100.0) is None


def test_a_grasp_that_ends_while_the_width_is_unknown_holds_something_of_its_own_width() -> None:
    decision = HandDecision()
    decision.measure(LARGEST)
    decision.want(0.03)
    assert decision.next(1.0) is not None
    decision.measure(None)
    decision.ended(Outcome.REACHED, 2.0)
    assert decision.held == 0.03


def test_something_lost_from_between_the_fingers_is_told_once() -> None:
    hand = Hand(HandDecision(), block=0.04)
    hand.decision.want(0.0)
    hand.step()
    assert not hand.decision.measure(0.039)
    assert hand.decision.held == pytest.approx(0.039)
    assert not hand.decision.measure(0.0395)
    assert hand.decision.held == pytest.approx(0.039)
    assert hand.decision.measure(0.0005)
    assert not hand.decision.measure(0.0005)
    assert hand.decision.held is None


def test_nothing_is_decided_while_the_width_is_unknown() -> None:
    decision = HandDecision()
    decision.want(0.0)
    assert decision.next(1.0) is None
    decision.measure(LARGEST)
    decision.measure(None)
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


@given(WIDTHS, WIDTHS, st.sampled_from([Outcome.REACHED, Outcome.MISSED]))
def test_a_width_whose_goal_is_under_way_is_not_sent_again(width: float, between: float, outcome: Outcome) -> None:
    keeper = GoalKeeper()
    keeper.want(width)
    assert keeper.next(0.0) == width
    keeper.want(between)
    keeper.want(width)
    assert keeper.outstanding
    keeper.ended(outcome, 0.1)
    assert not keeper.outstanding
    assert keeper.next(100.0) is None


@given(st.lists(st.tuples(st.floats(-0.1, 0.2) | st.sampled_from([math.nan, math.inf]), st.booleans()), max_size=40))
def test_a_gate_passes_what_is_clearly_new_within_its_range_and_nothing_while_busy(
    offers: list[tuple[float, bool]],
) -> None:
    gate, last = GripperGate(threshold=0.02, minimum=0.01, maximum=0.07), math.inf
    for width, busy in offers:
        wanted = min(max(width, 0.01), 0.07)
        passes = math.isfinite(width) and not busy and abs(wanted - last) >= 0.02
        assert gate.offer(width, busy) == (wanted if passes else None)
        last = wanted if passes else last


def test_a_gate_that_was_reset_goes_by_what_the_fingers_measure() -> None:
    gate = GripperGate(threshold=0.02)
    gate.reset(0.04)
    assert gate.offer(0.05, busy=False) is None
    assert gate.offer(0.07, busy=False) == 0.07
    gate.reset()
    assert gate.offer(0.07, busy=False) == 0.07


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
        lambda: GripperGate(threshold=0.0),
        lambda: GripperGate(minimum=0.08),
        lambda: HandSettings(speed=0.0),
        lambda: HandSettings(force=0.0),
        lambda: HandSettings(release=0.0),
        lambda: HandSettings(smallest=0.0),
        lambda: HandSettings(smallest=0.1),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match="expected"):
        wrong()
