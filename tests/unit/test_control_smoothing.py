"""Rows are smoothed within a tolerance, as little as makes their jerk comfortable; what is smooth is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.control.curve import Curve
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.pace import Profile
from vipa_policy.control.smoothing import COMFORT, smoothed, smoothed_rotations

PERIOD = 1.0 / 15.0
JERK = 20.0
TOLERANCE = 0.0025
ROWS = 16
DUE = PERIOD * np.arange(1, ROWS + 1)[:, None]


def scattered(seed: int, scatter: float) -> np.ndarray:
    """Rows (n, 3) of a way at 0.13 m/s that bows, each off by a scatter (m)."""
    rng = np.random.default_rng(seed)
    way = rng.normal(size=3)
    return (
        0.13 * way / np.linalg.norm(way) * DUE + rng.normal(0.0, 0.05, 3) * DUE**2 + rng.normal(0.0, scatter, (16, 3))
    )


def jerk_of(rows: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(rows, 3, axis=0), axis=1).max()) / PERIOD**3


@given(st.integers(0, 10**6), st.floats(0.0, 0.05), st.floats(0.0, 0.01), st.integers(1, 20))
@settings(max_examples=100)
def test_no_row_is_moved_further_than_the_tolerance(seed: int, scatter: float, tolerance: float, rows: int) -> None:
    given_rows = scattered(seed, scatter)[:rows]
    moved = np.linalg.norm(smoothed(given_rows, tolerance, JERK, PERIOD) - given_rows, axis=1)
    assert moved.max() <= tolerance + 1e-12


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_rows_that_scatter_by_half_a_millimetre_become_comfortable(seed: int) -> None:
    rows = scattered(seed, 5e-4)
    assert jerk_of(smoothed(rows, TOLERANCE, JERK, PERIOD)) <= COMFORT * JERK < jerk_of(rows)


def test_a_plan_that_scatters_is_gone_through_at_its_own_speed() -> None:
    """Which is what smoothing is for: limits would slow the same rows down as they are."""
    linear, angular = Bounds.linear(Limits()), Bounds.angular(Limits())
    upright = np.tile(np.eye(3), (ROWS, 1, 1))
    paces = {"as it is": [], "smoothed": []}
    for seed in range(20):
        rows = scattered(seed, 5e-4)
        for name, way in (("as it is", rows), ("smoothed", smoothed(rows, TOLERANCE, JERK, PERIOD))):
            profile = Profile(Curve(way, upright, PERIOD), linear, angular)
            paces[name] += [profile.at(time)[0] for time in np.arange(0.07, 0.6, 0.01)]
    assert np.mean(paces["as it is"]) < 0.9
    assert np.mean(paces["smoothed"]) > 0.99


@pytest.mark.parametrize("bow", [0.0, 0.3])
def test_a_straight_way_and_a_steady_bow_are_left_as_they_are(bow: float) -> None:
    rows = np.array([0.13, 0.0, -0.05]) * DUE + bow * DUE**2
    assert np.array_equal(smoothed(rows, TOLERANCE, JERK, PERIOD), rows)
    rows = rows + np.random.default_rng(1).normal(0.0, 5e-4, rows.shape)
    straightened = smoothed(rows, TOLERANCE, JERK, PERIOD)
    assert np.abs(straightened - (np.array([0.13, 0.0, -0.05]) * DUE + bow * DUE**2)).max() < 1.5e-3


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_where_a_plan_ends_is_kept_best(seed: int) -> None:
    rows = scattered(seed, 5e-4)
    moved = np.linalg.norm(smoothed(rows, TOLERANCE, JERK, PERIOD) - rows, axis=1)
    assert moved[-1] < 5e-4


def test_a_jump_within_a_plan_is_no_scatter() -> None:
    """Half a metre between two rows stays half a metre: it is for the pace, and for the limits, to deal with."""
    rows = np.array([0.13, 0.0, 0.0]) * DUE
    rows[8:, 1] += 0.5
    assert np.linalg.norm(smoothed(rows, TOLERANCE, JERK, PERIOD) - rows, axis=1).max() <= TOLERANCE


@given(st.integers(0, 10**6), st.floats(0.0, 6.0))
@settings(max_examples=30)
def test_rotations_are_smoothed_about_their_own_way(seed: int, spin: float) -> None:
    """Past half a turn, too; each stays a rotation within the tolerance of its own."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    way = Rotation.from_rotvec(spin * axis / np.linalg.norm(axis) * DUE)
    rows = (Rotation.from_rotvec(rng.normal(0.0, 0.004, (ROWS, 3))) * way * Rotation.random(rng=rng)).as_matrix()
    found = smoothed_rotations(rows, 0.02, 100.0, PERIOD)
    assert np.allclose(found @ np.swapaxes(found, 1, 2), np.eye(3), atol=1e-9)
    # A rotation vector of some turns moves the rotation by less than itself.
    assert Rotation.from_matrix(found @ np.swapaxes(rows, 1, 2)).magnitude().max() <= 0.02 + 1e-9
