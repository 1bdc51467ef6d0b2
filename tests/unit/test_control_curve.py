"""What lies between rows: through every row, twice continuously differentiable, at rest where the plan is at rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.control.curve import SAMPLES, Curve, setting_out

PERIOD = 0.1


def sampled(curve: Curve, times: np.ndarray) -> tuple[np.ndarray, Rotation]:
    places = [curve.place(time) for time in times]
    turns = Rotation.from_quat([curve.rotation(turn) for _, turn in places])
    return np.array([position for position, _ in places]), turns


def wandering(seed: int, rows: int = 8, spin: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    positions = np.cumsum(rng.normal(0.0, 0.02, (rows, 3)), axis=0)
    turns = Rotation.from_rotvec(np.cumsum(rng.normal(0.0, 0.3 * spin, (rows, 3)), axis=0))
    return positions, (turns * Rotation.random(rng=rng)).as_matrix()


@given(st.integers(0, 10**6), st.floats(0.0, 3.0))
@settings(max_examples=40)
def test_it_passes_through_every_row(seed: int, spin: float) -> None:
    positions, rotations = wandering(seed, spin=spin)
    curve = Curve(positions, rotations, PERIOD)
    found, turns = sampled(curve, (np.arange(8) + 1) * PERIOD)
    assert np.allclose(found, positions, atol=1e-12)
    assert (turns * Rotation.from_matrix(rotations).inv()).magnitude().max() < 1e-7


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_position_and_rotation_are_twice_continuously_differentiable(seed: int) -> None:
    """Second differences do not jump at rows: they change over a small step as little as the third derivative says."""
    positions, rotations = wandering(seed)
    curve = Curve(positions, rotations, PERIOD)
    step = 1e-4
    times = np.concatenate([row * PERIOD + np.arange(-6, 7) * step for row in range(1, 8)])
    found, turns = sampled(curve, times)
    jerk = curve.sampled()[2].max(axis=1)
    for row in range(7):
        part = slice(13 * row, 13 * row + 13)
        for kind, values in (
            ("position", np.diff(found[part], axis=0)),
            ("rotation", (turns[part][1:] * turns[part][:-1].inv()).as_rotvec()),
        ):
            accelerations = np.diff(values, axis=0) / step**2
            # A quintic's third derivative between samples may exceed the sampled one; a jump were 1e3 times it.
            most = 6.0 * jerk[0 if kind == "position" else 1] + 50.0
            assert np.linalg.norm(np.diff(accelerations, axis=0), axis=1).max() < most * step + 1e-3


def test_derivatives_are_those_of_the_places() -> None:
    curve = Curve(*wandering(3), PERIOD)
    step = 1e-5
    for time in (0.013, 0.1, 0.234, 0.777):
        before, here, after = (np.concatenate(curve.place(time + k * step)) for k in (-1, 0, 1))
        assert np.allclose(np.concatenate(curve.derivative(time, 1)), (after - before) / (2.0 * step), atol=1e-4)
        bend = (after - 2.0 * here + before) / step**2
        assert np.allclose(np.concatenate(curve.derivative(time, 2)), bend, rtol=1e-3, atol=1e-2)


def test_a_steady_plan_is_a_straight_line_from_the_capture_on() -> None:
    rows = np.outer(np.arange(1, 9), [0.01, 0.0, -0.005])
    turns = Rotation.from_rotvec(np.outer(np.arange(1, 9), [0.0, 0.02, 0.0])).as_matrix()
    curve = Curve(rows, turns, PERIOD)
    for time in (0.0, 0.02, 0.1, 0.333, 0.65):
        position, turn = curve.place(time)
        assert np.allclose(position, np.array([0.1, 0.0, -0.05]) * time, atol=1e-12)
        assert Rotation.from_quat(curve.rotation(turn)).as_rotvec()[1] == pytest.approx(0.2 * time, abs=1e-9)


def test_a_steadily_accelerating_plan_is_a_parabola() -> None:
    """Between inner rows; the first and the last have a neighbour on one side only."""
    due = (np.arange(8) + 1) * PERIOD
    curve = Curve(np.outer(0.02 * due + 0.1 * due**2, [1.0, 0.0, 0.0]), np.tile(np.eye(3), (8, 1, 1)), PERIOD)
    for time in np.arange(0.2, 0.69, 0.013):
        assert curve.place(time)[0][0] == pytest.approx(0.02 * time + 0.1 * time**2, abs=1e-9)
        assert curve.derivative(time, 2)[0][0] == pytest.approx(0.2, abs=1e-6)


def test_a_plan_that_comes_to_rest_does_not_swing_through() -> None:
    way = np.minimum(np.arange(1, 9), 4)[:, None] * np.array([0.02, -0.01, 0.0])
    curve = Curve(way, np.tile(np.eye(3), (8, 1, 1)), PERIOD)
    for time in np.arange(0.4, 1.2, 0.01):
        assert np.allclose(curve.place(time)[0], way[-1], atol=1e-12)
    along = [np.dot(curve.place(time)[0], way[-1]) for time in np.arange(0.0, 0.4, 0.01)]
    assert np.all(np.diff(along) > -1e-12)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_it_sets_out_from_the_start_and_bends_towards_the_first_row_smoothly(seed: int) -> None:
    positions, rotations = wandering(seed, rows=9)
    curve = Curve(positions[1:], rotations[1:], PERIOD, (positions[0], rotations[0]))
    found, turns = sampled(curve, np.arange(9) * PERIOD)
    assert np.allclose(found, positions, atol=1e-12)
    assert (turns * Rotation.from_matrix(rotations).inv()).magnitude().max() < 1e-7
    assert curve.rows == 8
    for order in (1, 2):
        before, after = (np.concatenate(curve.derivative(PERIOD + side, order)) for side in (-1e-9, 1e-9))
        assert np.allclose(before, after, atol=1e-4)


def test_a_plan_that_bends_at_its_second_row_is_not_left_before_the_first() -> None:
    """Level for three rows, then down: without the start the curve comes from above, by as much as it goes down."""
    way = np.array([[0.01 * row, 0.0, -0.01 * max(row - 2, 0)] for row in range(1, 9)])
    upright = np.tile(np.eye(3), (8, 1, 1))
    level = Curve(way[1:], upright[1:], PERIOD, (way[0], np.eye(3)))
    made_up = Curve(way[1:], upright[1:], PERIOD)
    assert abs(level.place(0.0)[0][2]) < 1e-12
    assert made_up.place(0.0)[0][2] > 0.009


def poses_of(positions: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 3], poses[:, :3, :3] = positions, rotations
    return poses


@given(st.integers(0, 10**6), st.floats(1e-4, 1.0), st.floats(1e-4, 1.0))
@settings(max_examples=40)
def test_what_a_motion_could_have_come_from_is_taken_and_the_rest_is_a_gap(seed: int, most: float, lean: float) -> None:
    start, *rows = poses_of(*wandering(seed, rows=4))
    taken = setting_out(start, np.array(rows), (most, lean))
    bend = taken[:3, 3] - 2.0 * rows[0][:3, 3] + rows[1][:3, 3]
    assert np.linalg.norm(bend) <= most * (1.0 + 1e-9)
    step, before = rows[1][:3, :3] @ rows[0][:3, :3].T, rows[0][:3, :3] @ taken[:3, :3].T
    assert Rotation.from_matrix(step @ before.T).magnitude() <= lean + 1e-6
    assert np.allclose(taken[:3, :3] @ taken[:3, :3].T, np.eye(3), atol=1e-9)
    within = setting_out(start, np.array(rows), (1.0, 4.0))
    assert np.allclose(within, start, atol=1e-6)


def test_a_chunk_of_one_row_sets_out_from_the_start() -> None:
    start, row = poses_of(*wandering(2, rows=2))
    assert np.allclose(setting_out(start, row[None], (1.0, 4.0)), start, atol=1e-6)


def test_after_the_last_row_it_rests() -> None:
    curve = Curve(*wandering(1), PERIOD)
    assert curve.place(5.0) == curve.place(0.8)
    assert curve.derivative(5.0, 1) == ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def test_rotations_past_half_a_turn_do_not_wrap() -> None:
    turns = Rotation.from_rotvec(np.outer(np.arange(1, 9), [0.0, 0.0, 0.9])).as_matrix()
    curve = Curve(np.zeros((8, 3)), turns, PERIOD)
    _, found = sampled(curve, np.arange(0.1, 0.8, 0.01))
    steps = (found[1:] * found[:-1].inv()).as_rotvec()
    assert np.allclose(steps[:60], [0.0, 0.0, 0.09], atol=1e-3)


def test_sampled_norms_are_those_of_the_derivatives() -> None:
    curve = Curve(*wandering(5), PERIOD)
    norms = curve.sampled()
    assert norms.shape == (3, 2, 8 * SAMPLES)
    for index in (0, 5, 18):
        time = index * PERIOD / SAMPLES
        for order in (1, 2):
            position, turn = curve.derivative(time + 1e-12, order)
            assert norms[order - 1, 0, index] == pytest.approx(np.linalg.norm(position), rel=1e-4, abs=1e-6)
            assert norms[order - 1, 1, index] == pytest.approx(np.linalg.norm(turn), rel=1e-4, abs=1e-6)


def test_a_single_row_is_a_place_to_rest() -> None:
    curve = Curve(np.array([[0.1, 0.2, 0.3]]), np.eye(3)[None], PERIOD)
    assert curve.place(0.0)[0] == curve.place(1.0)[0] == (0.1, 0.2, 0.3)
