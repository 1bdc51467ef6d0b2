"""Figures of smoothness: against motions whose jerk and spectrum are known."""

from __future__ import annotations

import numpy as np
import pytest

from vipa_sim.smoothness import Smoothness, command_jerk, jerk_of, smoothness_of, spectral_arc_length

PERIOD = 0.01
TIMES = np.arange(0.0, 2.0, PERIOD)


def minimum_jerk(times: np.ndarray, duration: float = 1.0) -> np.ndarray:
    """Places in m of the smoothest way of 0.3 m from rest to rest."""
    s = np.clip(times / duration, 0.0, 1.0)
    return 0.3 * (10.0 * s**3 - 15.0 * s**4 + 6.0 * s**5)


def along_x(places: np.ndarray) -> np.ndarray:
    return np.outer(places, [1.0, 0.0, 0.0])


def test_the_jerk_of_a_cubic_is_its_third_derivative() -> None:
    places = along_x(0.5 * TIMES**3)
    assert command_jerk(TIMES, places, PERIOD) == pytest.approx(3.0)
    assert jerk_of(places, PERIOD, stride=5) == pytest.approx(3.0)
    figures = smoothness_of(list(TIMES), list(places), PERIOD, list(places), PERIOD)
    assert figures.jerk_rms == pytest.approx(3.0)
    assert figures.jerk_p95 == pytest.approx(3.0)
    assert figures.tip_jerk_rms == pytest.approx(3.0)


def test_differences_across_a_missing_setpoint_are_left_out() -> None:
    """Taken for neighbours, they would show a jerk that was never commanded."""
    places = along_x(0.2 * TIMES)
    there = np.arange(len(TIMES)) != 50
    assert command_jerk(TIMES[there], places[there], PERIOD).max() < 1e-6
    assert jerk_of(places[there], PERIOD).max() > 1e3
    assert len(command_jerk(TIMES[there], places[there], PERIOD)) == len(TIMES[there]) - 3 - 3


def test_a_hesitation_lengthens_the_spectral_arc_and_speed_does_not() -> None:
    smooth = np.diff(minimum_jerk(TIMES)) / PERIOD
    slow = np.diff(minimum_jerk(TIMES, 1.9)) / PERIOD
    halting = np.diff(0.5 * (minimum_jerk(TIMES, 0.9) + minimum_jerk(TIMES - 1.0, 0.9))) / PERIOD
    assert spectral_arc_length(smooth, PERIOD) == pytest.approx(-1.41, abs=0.05)
    assert spectral_arc_length(slow, PERIOD) == pytest.approx(spectral_arc_length(smooth, PERIOD), abs=0.02)
    assert spectral_arc_length(halting, PERIOD) < spectral_arc_length(smooth, PERIOD) - 0.3


def test_what_never_moved_has_no_figures() -> None:
    figures = smoothness_of([], [], PERIOD, [], 0.004)
    assert figures == Smoothness(None, None, None, None)
