"""The speed override: the smallest wish holds, and no limit feels that it changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.test_control_executor import TICK, Rig, chunk_to, pose
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.speed import SLOWEST, SpeedOverride


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(SLOWEST, 1.0)), max_size=30))
def test_the_smallest_of_all_wishes_holds(wishes: list[tuple[str, float]]) -> None:
    speed, newest = SpeedOverride(), {}
    for source, factor in wishes:
        before = speed.factor
        newest[source] = factor
        changed = speed.set(source, factor, "why")
        assert speed.factor == min(newest.values())
        assert changed == (speed.factor != before)
    assert set(speed.reasons) == {source for source, factor in newest.items() if factor < 1.0}


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.01, math.nan, math.inf, 0.04])
def test_what_is_no_speed_is_refused(factor: float) -> None:
    speed = SpeedOverride()
    with pytest.raises(ValueError, match=r"expected a speed of 0\.05 to 1"):
        speed.set("somebody", factor, "")
    with pytest.raises(ValueError, match="source with a name"):
        speed.set(" ", 0.5, "")
    assert speed.factor == 1.0


def line(speed: float) -> BaseChunk:
    """A plan from the start along y at a speed, m/s."""
    rows = np.array([pose(0.4, speed * (row + 1) / 15.0, 0.3) for row in range(16)])
    return BaseChunk(1, 0.0, 1.0 / 15.0, rows, np.full(16, 0.08))


def fastest(rig: Rig) -> float:
    places = np.array(rig.poses)[:, :3, 3]
    return float(np.linalg.norm(np.diff(places[-20:], axis=0), axis=1).max() / TICK)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 30), st.floats(SLOWEST, 1.0)), min_size=1, max_size=12))
def test_no_limit_feels_the_speed_change(changes: list[tuple[int, float]]) -> None:
    rig = Rig()
    for identifier, (ticks, factor) in enumerate(changes, start=1):
        rig.executor.speed = factor
        rig.send(chunk_to(pose(0.7, 0.3 * (-1) ** identifier, 0.2, 1.0), identifier, max(rig.now - 0.05, 0.0)))
        rig.tick(ticks)
    rig.assert_limits()


def test_half_the_speed_is_half_as_fast_on_the_same_path() -> None:
    for factor in (1.0, 0.5, 0.2):
        rig = Rig(first_interval=20.0)
        rig.executor.speed = factor
        rig.send(line(0.1))
        rig.tick(90)
        assert fastest(rig) == pytest.approx(0.1 * factor, rel=0.05)


def test_a_motion_that_is_limited_anyway_is_slowed_too() -> None:
    rig = Rig(first_interval=20.0)
    rig.executor.speed = 0.4
    rig.send(line(0.3))  # the limit is 0.25
    rig.tick(90)
    assert fastest(rig) == pytest.approx(0.4 * 0.97 * 0.25, rel=0.05)


def test_a_goal_too_far_for_a_seam_is_approached_no_faster() -> None:
    rig = Rig(first_interval=20.0)
    rig.executor.speed = 0.3
    rig.send(chunk_to(pose(0.7, 0.3, 0.2), 1, 0.0))
    rig.tick(80)
    assert 0.2 * 0.25 < fastest(rig) <= 0.3 * 0.25
