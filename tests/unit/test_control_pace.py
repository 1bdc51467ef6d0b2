"""The pace: what a curve allows, seen far enough ahead; followed with bounded rates; the tip stays on its path."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.bench.control import start_pose
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.curve import Curve
from vipa_policy.control.executor import Executor, Settings
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.pace import FASTEST_BEND, FASTEST_RAMP, Pace, Profile

TICK = 0.01
PERIOD = 0.1
LINEAR, ANGULAR = Bounds.linear(Limits()), Bounds.angular(Limits())


def curve_of(way: np.ndarray) -> Curve:
    return Curve(way, np.tile(np.eye(3), (len(way), 1, 1)), PERIOD)


def test_a_plan_within_the_limits_is_gone_through_as_it_is() -> None:
    profile = Profile(curve_of(np.outer(np.arange(1, 17), [0.01, 0.0, 0.0])), LINEAR, ANGULAR)
    assert profile.at(0.0)[0] == profile.at(0.8)[0] == 1.0


def test_a_fast_plan_is_slowed_to_the_limit_on_speed() -> None:
    profile = Profile(curve_of(np.outer(np.arange(1, 17), [0.1, 0.0, 0.0])), LINEAR, ANGULAR)
    assert profile.at(0.5)[0] == pytest.approx(0.97 * 0.25 / 1.0)


def test_turning_slows_the_way_as_well() -> None:
    turns = np.array([[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]] for a in 0.2 * np.arange(16)])
    curve = Curve(np.outer(np.arange(1, 17), [0.01, 0.0, 0.0]), turns, PERIOD)
    assert Profile(curve, LINEAR, ANGULAR).at(0.5)[0] == pytest.approx(0.97 * 1.0 / 2.0)


def test_a_corner_ahead_is_seen_in_time() -> None:
    """Gone through at the pace that follows the profile, curve and slowing together keep speed and acceleration."""
    legs = np.outer(np.arange(1, 9), [0.02, 0.0, 0.0]), np.outer(np.arange(1, 9), [0.0, 0.02, 0.0])
    curve = curve_of(np.concatenate([legs[0], legs[0][-1] + legs[1]]))
    profile, pace = Profile(curve, LINEAR, ANGULAR), Pace()
    pace.reset(1.0)
    time, paces = 0.0, []
    while time < 1.4:
        time += pace.step(*profile.at(time), TICK)
        slope, bend = (np.array(curve.derivative(time, order)[0]) for order in (1, 2))
        assert np.linalg.norm(slope) * pace.value <= LINEAR.velocity
        assert np.linalg.norm(bend * pace.value**2 + slope * pace.rate) <= LINEAR.acceleration
        paces.append(pace.value)
    assert paces[0] == pytest.approx(1.0)
    assert min(paces) < 0.75
    assert max(paces[len(paces) // 2 :]) > 0.95  # and goes on at full pace behind the corner


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20), st.floats(0.5, 8.0), st.floats(5.0, 160.0))
@settings(max_examples=60)
def test_the_pace_changes_with_bounded_rates_and_stays_in_range(wanted: list[float], ramp: float, bend: float) -> None:
    pace = Pace()
    before = 0.0
    for allowed in wanted:
        for _ in range(30):
            value = pace.value
            assert pace.step(allowed, ramp, bend, TICK) == pytest.approx(pace.value * TICK)
            assert 0.0 <= pace.value <= 1.08
            assert abs(pace.value - value) <= ramp * TICK + bend * TICK**2 + 1e-12
            if pace.value > 0.0:
                assert abs(pace.rate - before) <= bend * TICK + 1e-12
            before = pace.rate


def test_the_pace_settles_on_what_is_allowed() -> None:
    pace = Pace()
    for _ in range(100):
        pace.step(0.7, FASTEST_RAMP, FASTEST_BEND, TICK)
    assert pace.value == pytest.approx(0.7, abs=1e-6)


def executed(way: np.ndarray, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) streamed for a chunk, from rest at its beginning, and the pace (n,)."""
    start = start_pose()
    rows = np.tile(start, (len(way), 1, 1))
    rows[:, :3, 3] += way
    executor = Executor(Limits(), Settings(period=TICK, first_interval=20.0), start, 0.0)
    executor.accept_chunk(BaseChunk(1, 0.0, PERIOD, rows, np.full(len(way), 0.08)), 0.0)
    places, paces = [], []
    for tick in range(ticks):
        executor.tick((tick + 1) * TICK)
        places.append(executor.base_from_tip[:3, 3] - start[:3, 3])
        paces.append(executor.pace)
    return np.array(places), np.array(paces)


@pytest.mark.parametrize("speed", [0.2, 0.5, 1.0])
def test_a_plan_too_fast_for_its_corners_is_slowed_and_stays_on_its_path(speed: float) -> None:
    """An L of 15 cm and 15 cm, asked for at up to four times the speed limit: slower, and not cut short."""
    count = max(round(0.15 / (speed * PERIOD)), 2)
    leg = np.linspace(0.0, 0.15, count + 1)[1:]
    first, second = np.outer(leg, [1, 0, 0]), np.outer(leg, [0, 1, 0])
    way = np.concatenate([first, first[-1] + second])
    places, paces = executed(way, 400)
    dense = np.array([curve_of(way).place(time)[0] for time in np.arange(0.0, PERIOD * len(way) + 0.01, 0.001)])
    away = np.array([np.linalg.norm(dense - place, axis=1).min() for place in places])
    assert away.max() < 1.5e-3
    assert np.linalg.norm(places[-1] - way[-1]) < 1e-4
    assert speed < 0.5 or paces[:100].max() < 0.9
