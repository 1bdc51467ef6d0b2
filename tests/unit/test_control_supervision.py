"""Supervision: whatever happens in whatever order, the arm is only ever armed by a person, with every guard passing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.control.supervision import ARMING_GUARDS, GUARDS, NEXT_STEP, Board, Freshness, Mode, Supervisor

EVENTS = st.lists(
    st.tuples(st.sampled_from(["arm", "arm in vain", "disarm", "fault", "cleared"]), st.text(min_size=1, max_size=5)),
    max_size=40,
)


@given(EVENTS)
def test_only_arming_with_every_guard_passing_arms(events: list[tuple[str, str]]) -> None:
    supervisor = Supervisor("just started", 0.0)
    for number, (kind, reason) in enumerate(events, start=1):
        before, told = supervisor.mode, supervisor.reason
        if kind == "arm":
            assert supervisor.arm({}, number).success == (before is not Mode.FAULT)
        elif kind == "arm in vain":
            answer = supervisor.arm({"driver": reason}, number)
            assert answer.success == (before is Mode.ARMED)
            assert before in (Mode.ARMED, Mode.FAULT) or f"driver: {reason}" in answer.message
        elif kind == "disarm":
            assert supervisor.disarm(reason, number) == (before is Mode.ARMED)
        elif kind == "fault":
            assert supervisor.fault(reason, number) == (before is not Mode.FAULT)
        else:
            assert supervisor.cleared(number) == (before is Mode.FAULT)
        after = supervisor.mode
        assert after is not Mode.ARMED or before is Mode.ARMED or kind == "arm"
        assert before is not Mode.FAULT or after in (Mode.FAULT, Mode.CONFIRM)
        assert after is not Mode.CONFIRM or before in (Mode.FAULT, Mode.CONFIRM)
        assert supervisor.armed == (supervisor.reason == "")
        if after is before:
            assert supervisor.reason == told  # the first reason stands
        else:
            assert supervisor.changes[-1].stamp == number
        assert supervisor.armed or NEXT_STEP[after] in supervisor.advice


def test_a_fault_is_cleared_and_then_confirmed_before_anything_moves() -> None:
    supervisor = Supervisor("just started", 0.0)
    assert supervisor.advice == "just started; call arm/arm"
    assert supervisor.arm({}, 1.0).success
    assert supervisor.fault("reflex: joint 4", 2.0)
    refused = supervisor.arm({}, 3.0)
    assert not refused.success
    assert "arm/recover" in refused.message
    assert supervisor.cleared(4.0)
    assert supervisor.advice.startswith("recovered from reflex: joint 4")
    assert not supervisor.armed
    assert supervisor.arm({}, 5.0).success
    assert [change.mode for change in supervisor.changes] == [
        Mode.DISARMED,
        Mode.ARMED,
        Mode.FAULT,
        Mode.CONFIRM,
        Mode.ARMED,
    ]


@given(st.lists(st.tuples(st.sampled_from([guard.name for guard in ARMING_GUARDS]), st.sampled_from(["", "a", "b"]))))
def test_the_board_tells_the_problem_that_came_first_and_since_when(entries: list[tuple[str, str]]) -> None:
    board = Board()
    expected: dict[str, tuple[str, float]] = {guard.name: ("", 0.0) for guard in ARMING_GUARDS}
    for now, (name, problem) in enumerate(entries, start=1):
        board.set(name, problem, float(now))
        before, since = expected[name]
        expected[name] = (problem, float(now) if bool(before) != bool(problem) else since)
    wrong = {name: problem for name, (problem, _) in expected.items() if problem}
    assert board.problems == wrong
    assert all(board.since(name) == since for name, (_, since) in expected.items())
    first = min((expected[name][1], order) for order, name in enumerate(expected) if name in wrong) if wrong else None
    assert board.first == (list(expected.values())[first[1]][0] if first else "")


def test_a_guard_that_is_none_is_not_taken() -> None:
    with pytest.raises(KeyError):
        Board().set("fences", "open", 1.0)
    with pytest.raises(KeyError):
        Board().set("chunks", "none", 1.0)  # the executor's own


@given(st.floats(0.01, 5.0), st.floats(0.0, 100.0), st.floats(-10.0, 10.0))
def test_silence_is_told_beyond_the_timeout_and_only_then(timeout: float, heard: float, later: float) -> None:
    freshness = Freshness(timeout)
    assert freshness.problem("the driver", heard) == "the driver was never heard"
    freshness.heard(heard)
    problem = freshness.problem("the driver", heard + later)
    age = (heard + later) - heard
    assert bool(problem) == (abs(age) > timeout)
    assert not problem or ("clock jumped back" in problem) == (age < 0.0)
    freshness.forget()
    assert freshness.problem("the driver", heard + later) == "the driver was never heard"


def test_every_guard_says_what_silences_it_and_how_its_reason_begins() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)
    assert all(guard.silenced_by and guard.reason for guard in GUARDS)
