"""Which parts belong together, and the words for what is missing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.clock_watch import FUTURE_TOLERANCE
from vipa_policy.synchroniser import Part, Synchroniser

COLOUR, DEPTH, INFO, JOINTS = ("scene", "colour"), ("scene", "depth"), ("scene", "CameraInfo"), ("", "joint states")
TOPICS: dict[Part, str] = {COLOUR: "c/color", DEPTH: "c/depth", INFO: "c/info", JOINTS: "joint_states"}


def synchroniser() -> Synchroniser:
    return Synchroniser(TOPICS, slop=0.02, timeout=0.12, oldest=0.3)


def add_all(target: Synchroniser, stamp: float, now: float, *without: Part) -> None:
    for part in TOPICS:
        if part not in without:
            target.add(part, stamp, f"{part[1]} {stamp}", now)


def test_a_set_holds_the_nearest_of_every_part_and_is_handed_out_once() -> None:
    target = synchroniser()
    for stamp in (0.98, 0.99, 1.004, 1.01):
        target.add(JOINTS, stamp, stamp, 1.02)
    for part in (COLOUR, DEPTH, INFO):
        target.add(part, 1.0, part[1], 1.03)
    taken = target.take(1.03)
    assert taken is not None
    assert taken.parts[JOINTS] == (1.004, 1.004)
    assert taken.skew == pytest.approx(0.004)
    assert taken.arrived == 1.03
    assert target.take(1.04) is None
    assert not target.has_new()


def test_only_the_newest_of_several_sets_is_handed_out() -> None:
    target = synchroniser()
    add_all(target, 1.0, 1.01)
    add_all(target, 1.07, 1.08)
    taken = target.take(1.09)
    assert taken is not None
    assert taken.stamp == 1.07
    assert target.take(1.09) is None


def test_a_newer_image_without_its_depth_does_not_hide_the_set_before() -> None:
    target = synchroniser()
    add_all(target, 1.0, 1.01)
    target.add(COLOUR, 1.07, "", 1.08)
    taken = target.take(1.08)
    assert taken is not None
    assert taken.stamp == 1.0
    target.add(DEPTH, 1.07, "", 1.09)
    target.add(INFO, 1.07, "", 1.09)
    assert not target.has_new()  # joint states are 70 ms off
    target.add(JOINTS, 1.07, "", 1.09)
    assert target.has_new()


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ((COLOUR, DEPTH, INFO), "no colour of camera scene: nothing arrived yet on c/color"),
        ((DEPTH,), "no depth of camera scene: nothing arrived yet on c/depth"),
        ((INFO,), "depth without CameraInfo: nothing arrived yet on c/info"),
        ((JOINTS,), "no joint states: nothing arrived yet on joint_states"),
    ],
)
def test_the_missing_part_is_named_with_its_topic(missing: tuple[Part, ...], words: str) -> None:
    target = synchroniser()
    add_all(target, 1.0, 1.01, *missing)
    assert words in target.problem(1.02)


def test_a_part_that_ceases_is_named_with_the_time_since() -> None:
    target = synchroniser()
    add_all(target, 1.0, 1.01)
    assert target.problem(1.1) == ""
    add_all(target, 1.07, 1.08, DEPTH)
    assert target.problem(1.14) == "no depth of camera scene: nothing for 0.13 s on c/depth"


def test_parts_out_of_step_old_or_from_the_future_are_told() -> None:
    target = synchroniser()
    target.add(COLOUR, 1.0, "", 1.01)
    for part in (DEPTH, INFO, JOINTS):
        target.add(part, 0.9, "", 1.01)
    assert "not synchronised" in target.problem(1.02)
    assert target.take(1.02) is None
    old = synchroniser()
    add_all(old, 1.0, 1.5)
    assert "0.50 s old" in old.problem(1.5)
    ahead = synchroniser()
    add_all(ahead, 1.5, 1.0)
    assert "0.50 s in the future" in ahead.problem(1.0)


def test_stamps_that_jump_back_forget_what_was_there() -> None:
    target = synchroniser()
    add_all(target, 50.0, 50.01)
    assert target.take(50.02) is not None
    add_all(target, 1.0, 1.01)
    taken = target.take(1.02)
    assert taken is not None
    assert taken.stamp == 1.0


def test_a_picture_that_comes_late_hides_no_newer_one() -> None:
    target = synchroniser()
    add_all(target, 1.0, 1.01)
    assert target.take(1.01) is not None
    add_all(target, 1.07, 1.08)
    target.add(COLOUR, 0.98, "", 1.081)
    taken = target.take(1.09)
    assert taken is not None
    assert taken.stamp == 1.07


def test_a_set_that_is_whole_but_too_old_or_from_the_future_is_not_handed_out() -> None:
    target = synchroniser()
    add_all(target, 1.0, 1.5)
    assert target.take(1.5) is None
    ahead = synchroniser()
    add_all(ahead, 1.5, 1.0)
    assert ahead.take(1.0) is None


def test_a_repeated_picture_did_not_arrive() -> None:
    target = synchroniser()
    add_all(target, 1.0, 1.01)
    assert target.take(1.02) is not None
    add_all(target, 1.07, 1.08, DEPTH)
    target.repeat(DEPTH, 1.08)
    assert not target.has_new()
    add_all(target, 1.14, 1.15, DEPTH)
    target.repeat(DEPTH, 1.15)
    words = target.problem(1.16)
    assert "no depth of camera scene: the same picture for 0.15 s on c/depth" in words
    assert "set refuse_repeats to false" in words


def test_the_least_latency_holds_the_difference_of_the_clocks() -> None:
    target = synchroniser()
    assert math.isnan(target.least_latency(COLOUR))
    for step, way in enumerate((0.05, 0.09, 0.031, 0.2)):
        target.add(COLOUR, 1.0 + 0.1 * step, "", 1.0 + 0.1 * step + way)
    assert target.least_latency(COLOUR) == pytest.approx(0.031)


ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from([COLOUR, DEPTH, INFO, JOINTS]),
        st.floats(-0.1, 0.5),  # s from stamp to arrival
        st.floats(0.0, 0.05),  # s since the arrival before
        st.booleans(),
    ),
    max_size=80,
)


@given(ARRIVALS)
def test_whatever_arrives_in_whatever_order_no_set_is_old_torn_or_handed_out_twice(
    arrivals: list[tuple[Part, float, float, bool]],
) -> None:
    target, now, last = synchroniser(), 10.0, -math.inf
    for part, latency, waited, take in arrivals:
        now += waited
        stamp = round(now - latency, 2)
        target.add(part, stamp, stamp, now)
        taken = target.take(now) if take else None
        if taken is None:
            continue
        assert set(taken.parts) == set(TOPICS)
        assert all(stamp == payload for stamp, payload in taken.parts.values())
        assert all(abs(stamp - taken.stamp) <= 0.02 + 1e-9 for stamp, _ in taken.parts.values())
        assert -FUTURE_TOLERANCE <= now - taken.stamp <= 0.3
        # Only stamps that run back by more than `oldest` begin anew.
        assert taken.stamp > last or taken.stamp < last - 0.1
        last = taken.stamp
