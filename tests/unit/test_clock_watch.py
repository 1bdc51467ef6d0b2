"""A clock that stands still or jumps back is noticed, one that is slow is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.clock_watch import ClockWatch


@given(st.lists(st.tuples(st.floats(0.001, 0.5), st.floats(0.001, 0.9)), min_size=1, max_size=50))
def test_a_clock_that_goes_on_however_slowly_has_no_problem(steps: list[tuple[float, float]]) -> None:
    value, wall = 100.0, 5.0
    watch = ClockWatch(value, wall)
    for advance, passed in steps:
        value, wall = value + advance, wall + passed
        assert not watch.look(value, wall)
        assert watch.problem(wall, 1.0) == ""


def test_a_clock_that_stands_still_is_told_and_forgiven() -> None:
    watch = ClockWatch(1.0, 10.0)
    watch.look(1.0, 12.5)
    assert watch.problem(12.5, 1.0) == "the clock stands still for 2 s: is the simulator alive?"
    watch.look(1.1, 12.6)
    assert watch.problem(12.6, 1.0) == ""


def test_only_a_real_step_back_is_a_jump() -> None:
    watch = ClockWatch(50.0, 1.0)
    assert not watch.look(49.5, 1.1)
    assert watch.look(3.0, 1.2)
    assert not watch.look(3.1, 1.3)
