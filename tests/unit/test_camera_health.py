"""Gaps, frozen streams and rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.camera.health import Numbering, RateMeter, RepeatDetector


@given(st.lists(st.integers(1, 5), min_size=1, max_size=50), st.integers(0, 1000))
def test_every_number_left_out_is_counted_once(steps: list[int], first: int) -> None:
    numbering = Numbering()
    number = first
    assert numbering.take(number)
    for step in steps:
        number += step
        assert numbering.take(number)
        assert not numbering.take(number)
    assert numbering.missed == sum(steps) - len(steps)


def test_a_count_that_begins_anew_is_no_gap() -> None:
    numbering = Numbering()
    for number in (100, 101, 1, 2, 4):
        assert numbering.take(number)
    assert numbering.missed == 1


@given(st.integers(0, 47), st.integers(0, 63))
def test_one_changed_pixel_is_a_living_sensor(row: int, column: int) -> None:
    first = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    second = first.copy()
    second[row, column] += 1
    detector = RepeatDetector()
    for picture, repeated in ((first, False), (second, False), (second.copy(), True), (first, False)):
        detector.take(picture)
        assert detector.repeated is repeated
        assert not detector.blank


def test_a_picture_without_contrast_is_not_judged() -> None:
    detector = RepeatDetector()
    for _ in range(3):
        detector.take(np.zeros((48, 64), np.uint16))
    assert detector.blank
    assert not detector.repeated
    detector.take(np.eye(48, 64, dtype=np.uint16))
    assert not detector.blank


def test_the_rate_falls_when_nothing_comes_any_more() -> None:
    meter = RateMeter()
    assert meter.rate(0.0) == 0.0
    for index in range(31):
        meter.note(10.0 + index / 30.0)
    assert meter.rate(11.0) == pytest.approx(30.0)
    assert meter.rate(11.03) == pytest.approx(30.0, rel=0.01)
    assert meter.rate(16.0) < 6.0
