"""Committed rows are dated by what the arm consumes, so that a chunk that continues them joins without a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unit.test_control_executor import PERIOD, START, TICK, Rig
from vipa_policy.commitment import OLDEST, Commitment, Followed, Published
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.geometry import Array
from vipa_policy.observation import CommittedTail
from vipa_policy.presets import franka_contract

CONTRACT = franka_contract()
ROWS = CONTRACT.horizon
WORDS = "reach the red block"
TELLING = 5  # ticks between two tellings of the arm


def line(origin: Array, speed: float, seconds: Array) -> Array:
    """Poses (n, 4, 4) on a line in x, at times (n,) in s after it left its origin (4, 4)."""
    rows = np.tile(origin, (len(seconds), 1, 1))
    rows[:, 0, 3] += speed * seconds
    return rows


def told(rig: Rig) -> Followed:
    executor = rig.executor
    poses, gripper = executor.committed()
    return Followed(rig.now, executor.chunk_id, executor.consumed, executor.ahead, executor.lead, poses, gripper)


def run(rig: Rig, commitment: Commitment, until: float) -> None:
    while rig.now < until - 1e-9:
        rig.tick()
        if rig.ticks % TELLING == 0:
            commitment.followed(told(rig))


def tail_of(commitment: Commitment, now: float, captured: float, words: str = WORDS) -> CommittedTail | None:
    return commitment.tail(CONTRACT, words, now, captured, lambda frame: np.eye(4))


def setting_out(speed: float, factor: float, until: float, delay: float = 0.07) -> tuple[Rig, Commitment]:
    """An arm that sets out on a line of a speed (m/s), of which a factor is allowed."""
    rig, commitment = Rig(seam="rtc", adapt_lead=False), Commitment()
    rig.executor.speed = factor
    run(rig, commitment, delay)
    due = PERIOD * (np.arange(ROWS) + 1)
    assert rig.send(BaseChunk(1, 0.0, PERIOD, line(START, speed, due), np.full(ROWS, 0.08), start=START)) == ""
    commitment.published(Published(1, 0.0, WORDS), delay)
    run(rig, commitment, until)
    return rig, commitment


@given(st.floats(0.08, 0.25), st.floats(0.3, 1.0), st.floats(0.15, 0.6), st.integers(2, 14))
@example(speed=0.25, factor=0.3, captured=0.2, delay=10)
@settings(max_examples=40, deadline=None)
def test_a_chunk_that_continues_the_tail_joins_without_a_gap(
    speed: float, factor: float, captured: float, delay: int
) -> None:
    """However slowly the arm sets out: dated by the clock, rows lie as far ahead as it fell behind its plan."""
    rig, commitment = setting_out(speed, factor, captured + TICK)
    tail = tail_of(commitment, rig.now, captured)
    assert tail is not None
    due = captured + PERIOD * (np.arange(ROWS) + 1)
    rows = line(tail.base_from_tip[0], speed, due - tail.first_due)
    run(rig, commitment, rig.now + delay * TICK)
    assert rig.send(BaseChunk(2, captured, PERIOD, rows, np.full(ROWS, 0.08))) == ""
    run(rig, commitment, rig.now + PERIOD / factor + 0.3)
    seam = rig.executor.seam
    assert (seam.chunk, seam.policy) == (2, "rtc")
    assert seam.gap < 1e-3
    assert rig.executor.pace <= factor + 1e-6
    rig.assert_limits()


@given(st.floats(0.3, 1.0), st.floats(0.15, 0.6))
@settings(max_examples=20, deadline=None)
def test_rows_are_frozen_as_far_as_the_arm_gets_meanwhile(factor: float, captured: float) -> None:
    delay = 0.1
    rig, commitment = setting_out(0.2, factor, captured + TICK, delay)
    tail = tail_of(commitment, rig.now, captured)
    assert tail is not None
    before, begun = rig.executor.consumed, rig.now
    run(rig, commitment, begun + delay)
    reached = captured + rig.executor.lead + (rig.executor.consumed - before) + (begun - captured) * factor
    assert tail.frozen_until >= reached - rig.executor.lead - 5e-3
    # No more than a period and the whole delay beyond what is consumed at the full pace.
    assert tail.frozen_until <= begun + rig.executor.lead + delay + PERIOD + 5e-3


def test_nothing_is_committed_for_other_words_nor_after_a_silence() -> None:
    _, commitment = setting_out(0.2, 1.0, 0.4)
    assert tail_of(commitment, 0.4, 0.39) is not None
    assert tail_of(commitment, 0.4, 0.39, "reach the blue block") is None
    assert tail_of(commitment, 0.41 + OLDEST, 0.39) is None


@pytest.mark.parametrize("restart", ["clock", "arm node"])
def test_what_was_told_before_a_restart_counts_no_more(restart: str) -> None:
    commitment = Commitment()
    row = START[None]
    for step in range(10):
        commitment.followed(Followed(10.0 + 0.05 * step, 1, 3.0 + 0.05 * step, 0.02, 0.0, row, np.zeros(1)))
    begin = 5.0 if restart == "clock" else 11.0
    commitment.published(Published(1, begin, WORDS), 0.05)
    for step in range(4):
        consumed = 4.0 if restart == "clock" else 0.0
        commitment.followed(Followed(begin + 0.05 * step, 1, consumed + 0.05 * step, 0.02, 0.0, row, np.zeros(1)))
    tail = tail_of(commitment, begin + 0.16, begin + 0.1)
    assert tail is not None
    # Told at 0.15 s, when the row was 0.02 s ahead; the picture was taken 0.05 s before.
    assert tail.first_due == pytest.approx(begin + 0.1 + 0.05 + 0.02)
