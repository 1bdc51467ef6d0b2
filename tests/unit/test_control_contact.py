"""The contact guard: silent below its thresholds whatever the noise, loud above them, and it lets go of a known one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.control.contact import MARGIN, ContactGuard, ContactLimits
from vipa_policy.control.vectors import ZERO, Vector, norm, times, unit

STEP = 0.008
LIMITS = ContactLimits(force=20.0, torque=5.0, filter_time=0.02)
part = st.floats(-1.0, 1.0)
directions = st.tuples(part, part, part).filter(lambda v: norm(v) > 0.1).map(unit)


class Push:
    """A guard on a clock, fed by steps."""

    def __init__(self, limits: ContactLimits = LIMITS) -> None:
        self.guard = ContactGuard(limits)
        self.time = 0.0

    def feel(self, force: Vector, torque: Vector = ZERO, steps: int = 60) -> int | None:
        """Feel a wrench for some steps; returns after how many a contact was told, None where it was not."""
        for step in range(1, steps + 1):
            self.time += STEP
            assert self.guard.take(force, torque, self.time)
            if self.guard.contact():
                return step
        return None


@given(st.lists(st.tuples(directions, st.floats(0.0, 19.9), st.floats(0.0, 4.9)), min_size=1, max_size=50))
def test_nothing_below_the_thresholds_is_a_contact(samples: list[tuple[Vector, float, float]]) -> None:
    push = Push()
    for direction, force, torque in samples:
        assert push.feel(times(force, direction), times(torque, direction), steps=1) is None


@given(directions, st.floats(20.5, 500.0))
def test_a_push_beyond_the_threshold_is_told_as_fast_as_the_filter_says(direction: Vector, force: float) -> None:
    push = Push()
    push.feel(ZERO, steps=5)
    steps = push.feel(times(force, direction), steps=100)
    assert steps is not None
    exact = -LIMITS.filter_time * math.log(1.0 - LIMITS.force / force)
    assert abs(steps * STEP - exact) <= STEP + 1e-9
    assert push.guard.contact().startswith("contact: ")
    assert "more than 20 N" in push.guard.contact()


@given(directions, st.floats(0.0, 100.0), directions, st.floats(0.0, 19.9))
def test_what_was_felt_while_arming_is_no_contact(weight: Vector, load: float, push_: Vector, force: float) -> None:
    push = Push()
    push.feel(times(load, weight))
    push.guard.zero()
    assert push.guard.force == pytest.approx(0.0)
    both = tuple(np.add(times(load, weight), times(force, push_)).tolist())
    assert push.feel(both) is None  # type: ignore[arg-type]
    assert push.guard.force <= 20.0


@given(directions, st.floats(21.0, 60.0), st.floats(0.0, 1.0), st.floats(1.1, 3.0))
def test_an_acknowledged_contact_may_go_but_not_grow(
    direction: Vector, force: float, kept: float, growth: float
) -> None:
    push = Push()
    assert push.feel(times(force, direction)) is not None
    push.feel(times(force, direction))
    push.guard.acknowledge()
    assert push.feel(times(force, direction)) is None
    assert push.feel(times(kept * force, direction)) is None  # it may go
    allowed = max(20.0, kept * force + MARGIN * 20.0)
    assert push.feel(times(allowed * growth, direction)) is not None


def test_torque_is_filtered_biased_and_acknowledged_as_force_is() -> None:
    push = Push()
    push.feel(ZERO, (0.0, 4.0, 0.0))
    push.guard.zero()
    assert push.guard.torque == pytest.approx(0.0)
    assert push.feel(ZERO, (0.0, 8.5, 0.0)) is None
    assert push.guard.torque == pytest.approx(4.5, abs=1e-6)
    steps = push.feel((3.0, 0.0, 0.0), (0.0, 10.0, 0.0))
    assert steps is not None
    assert steps > 1
    assert push.guard.contact() == f"contact: {push.guard.torque:.1f} N m, more than 5 N m"
    for _ in range(60):
        push.feel(ZERO, (0.0, 10.0, 0.0), steps=1)
    push.guard.acknowledge()
    assert push.feel(ZERO, (0.0, 10.0 + 0.9 * 0.3 * 5.0, 0.0)) is None
    assert push.feel(ZERO, (0.0, 10.0 + 1.1 * 0.3 * 5.0, 0.0)) is not None


@given(st.floats(21.0, 200.0))
def test_an_acknowledged_contact_may_grow_by_a_share_of_the_threshold_however_large_it_is(force: float) -> None:
    push = Push()
    push.feel((force, 0.0, 0.0))
    push.guard.acknowledge()
    assert push.feel((force + 0.9 * 0.3 * 20.0, 0.0, 0.0)) is None
    assert push.feel((force + 1.1 * 0.3 * 20.0, 0.0, 0.0)) is not None


def test_a_new_bias_takes_back_what_was_acknowledged() -> None:
    push = Push()
    push.feel((100.0, 0.0, 0.0))
    push.guard.acknowledge()
    push.guard.zero()
    assert push.guard.contact() == ""
    push.guard.take((0.0, 0.0, 0.0), ZERO, push.time + 1.0)
    assert push.guard.contact() == "contact: 100 N, more than 20 N"


def test_without_a_filter_every_sample_counts_at_once() -> None:
    push = Push(ContactLimits(20.0, 5.0, filter_time=0.0))
    push.feel(ZERO)
    assert push.feel((20.1, 0.0, 0.0)) == 1


def test_torque_alone_is_a_contact_and_zero_switches_off() -> None:
    assert Push().feel(ZERO, (0.0, 6.0, 0.0)) is not None
    assert Push(ContactLimits(20.0, 0.0)).feel(ZERO, (0.0, 60.0, 0.0)) is None
    assert Push(ContactLimits(0.0, 5.0)).feel((99.0, 0.0, 0.0), ZERO) is None
    assert not ContactLimits(0.0, 0.0).on
    assert ContactLimits(20.0, 0.0).on
    assert ContactLimits(0.0, 5.0).on


def test_what_is_no_sample_changes_nothing() -> None:
    push = Push()
    push.feel((19.0, 0.0, 0.0))
    before = push.guard.force
    assert not push.guard.take((math.nan, 0.0, 0.0), ZERO, push.time + STEP)
    assert not push.guard.take(ZERO, (0.0, 0.0, math.inf), push.time + STEP)
    assert not push.guard.take((99.0, 0.0, 0.0), ZERO, push.time)  # repeated
    assert not push.guard.take((99.0, 0.0, 0.0), ZERO, push.time - 0.1)  # old
    assert push.guard.force == before
    # A long silence or a clock that jumped back starts the filter afresh.
    assert push.guard.take((1.0, 0.0, 0.0), ZERO, push.time + 0.6)
    assert push.guard.force == pytest.approx(1.0)
    assert push.guard.take((2.0, 0.0, 0.0), ZERO, 0.0)
    assert push.guard.force == pytest.approx(2.0)


@pytest.mark.parametrize("force", [-1.0, math.nan, math.inf])
def test_thresholds_that_are_none_are_refused(force: float) -> None:
    with pytest.raises(ValueError, match="expected a finite force"):
        ContactLimits(force, 5.0)
    with pytest.raises(ValueError, match="expected a finite torque"):
        ContactLimits(20.0, force)
    with pytest.raises(ValueError, match="expected a finite filter_time"):
        ContactLimits(20.0, 5.0, force)
