"""The arm's lag is found from its motion, within bounds; standing still and errors across the motion say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.control.lag import LagEstimator
from vipa_policy.control.vectors import Vector

TICK = 0.01
BOUNDS = (0.0, 0.15)


def on_a_circle(time: float) -> Vector:
    """A place on a circle of 20 cm, gone through at 0.15 m/s."""
    angle = 0.75 * time
    return 0.2 * float(np.cos(angle)), 0.2 * float(np.sin(angle)), 0.3


def observe(estimator: LagEstimator, lag: float, seconds: float, offset: float = 0.0, seed: int | None = None) -> None:
    """Let an arm follow the circle so late, looked at every 50 ms, ``offset`` m too high."""
    rng = np.random.default_rng(seed)
    for tick in range(round(seconds / TICK)):
        now = tick * TICK
        estimator.command(on_a_circle(now), now)
        if tick % 5 == 0:
            x, y, z = np.array(on_a_circle(now - 0.004 - lag)) + (0.0 if seed is None else rng.normal(0.0, 5e-4, 3))
            estimator.measure((x, y, z + offset), now - 0.004)


@given(st.floats(0.0, 0.12), st.floats(0.0, 0.1), st.floats(-0.02, 0.02), st.integers(0, 10**6))
@settings(max_examples=30)
def test_the_lag_is_found_whatever_was_guessed(lag: float, guessed: float, offset: float, seed: int) -> None:
    estimator = LagEstimator(guessed, BOUNDS)
    observe(estimator, lag, 5.0, offset, seed)
    assert estimator.value == pytest.approx(lag, abs=0.004)


def test_an_arm_that_stands_still_says_nothing() -> None:
    estimator = LagEstimator(0.05, BOUNDS)
    for tick in range(200):
        estimator.command((0.4, 0.0, 0.3), tick * TICK)
        estimator.measure((0.45, 0.0, 0.3), tick * TICK)
    assert estimator.value == 0.05


@given(st.floats(-1.0, 1.0), st.integers(0, 10**6))
@settings(max_examples=20)
def test_nothing_that_is_measured_leads_beyond_the_bounds(away: float, seed: int) -> None:
    """An arm that is held, or TF that is nonsense."""
    rng = np.random.default_rng(seed)
    estimator = LagEstimator(0.05, (0.02, 0.1))
    values = []
    for tick in range(400):
        estimator.command(on_a_circle(tick * TICK), tick * TICK)
        estimator.measure(tuple(away + rng.normal(0.0, 0.1, 3)), tick * TICK - rng.uniform(-0.1, 0.3))
        values.append(estimator.value)
    assert 0.02 <= min(values) <= max(values) <= 0.1
    assert np.abs(np.diff(values)).max() <= 0.1 * 0.04 + 1e-12


def test_after_a_fresh_start_old_commands_are_not_compared() -> None:
    estimator = LagEstimator(0.05, BOUNDS)
    observe(estimator, 0.05, 1.0)
    estimator.clear()
    known = estimator.value
    for tick in range(100, 103):
        estimator.command((0.7, 0.0, 0.3), tick * TICK)
        estimator.measure((0.7, 0.0, 0.3), tick * TICK)
    assert estimator.value == known
