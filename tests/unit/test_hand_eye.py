"""The hand-eye solver on paper: exact without noise, good with it, robust, and honest about what it cannot know."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.board_scene import BOARD, LENS, Rig

from vipa_policy import geometry
from vipa_policy.calibration.board import Board, BoardView
from vipa_policy.calibration.diversity import GOOD_SPREAD, measure, rotation_spread
from vipa_policy.calibration.hand_eye import HandEye, Mode, Sample, closed_form, sample, solve
from vipa_policy.calibration.validation import hold_out
from vipa_policy.errors import CalibrationError, DegenerateMotion, WrongBoard

MODES = pytest.mark.parametrize("mode", list(Mode))


def errors(found: np.ndarray, rig: Rig) -> tuple[float, float]:
    """Distance in mm and angle in degrees to the truth."""
    distance = float(np.linalg.norm(found[:3, 3] - rig.parent_from_camera[:3, 3]))
    return 1000.0 * distance, math.degrees(geometry.rotation_angle(found, rig.parent_from_camera))


def run(rig: Rig, samples: list[Sample]) -> HandEye:
    return solve(rig.mode, rig.board, rig.lens, samples)


@MODES
@settings(max_examples=6)
@given(seed=st.integers(0, 10_000))
def test_exact_without_noise(mode: Mode, seed: int) -> None:
    rig = Rig(mode, seed)
    found = run(rig, rig.samples(8, noise=0.0))
    distance, angle = errors(found.parent_from_camera, rig)
    assert distance < 1e-3
    assert angle < 1e-4
    assert found.residual < 1e-3
    assert np.allclose(found.carrier_from_board, rig.carrier_from_board, atol=1e-6)


@MODES
@settings(max_examples=6)
@given(seed=st.integers(0, 10_000))
def test_a_tenth_of_a_pixel_of_noise(mode: Mode, seed: int) -> None:
    rig = Rig(mode, seed)
    samples = rig.samples(15)
    found = run(rig, samples)
    distance, angle = errors(found.parent_from_camera, rig)
    assert distance < 1.0
    assert angle < 0.1
    assert found.residual == pytest.approx(0.1 * math.sqrt(2.0), rel=0.15)
    base_from_hand = samples[0].base_from_hand
    assert np.allclose(found.camera_from_board(base_from_hand), rig.where_board_is(base_from_hand), atol=2e-3)


@MODES
def test_the_second_step_beats_the_closed_form(mode: Mode) -> None:
    refined, first = [], []
    for seed in range(5):
        rig = Rig(mode, seed)
        samples = rig.samples(12, noise=0.3)
        refined.append(errors(run(rig, samples).parent_from_camera, rig)[0])
        first.append(errors(closed_form(mode, rig.board, rig.lens, samples), rig)[0])
    assert np.median(refined) < 0.6 * np.median(first)


@MODES
def test_misread_corners_do_not_decide(mode: Mode) -> None:
    rig = Rig(mode, 3)
    samples = rig.samples(15)
    for index in range(0, 15, 2):
        pixels = samples[index].view.pixels.copy()
        pixels[rig.random.integers(0, len(pixels), 2)] += rig.random.normal(0.0, 8.0, (2, 2))
        samples[index] = replace(samples[index], view=BoardView(samples[index].view.ids, pixels))
    distance, angle = errors(run(rig, samples).parent_from_camera, rig)
    # Plain least squares would be 1.2 mm off here.
    assert distance < 0.6
    assert angle < 0.05


@MODES
@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.6, 0.0, 0.8)])
def test_turning_about_one_axis_is_refused_and_the_missing_one_named(
    mode: Mode, axis: tuple[float, float, float]
) -> None:
    rig = Rig(mode, 0)
    samples = [rig.sample(angle * np.array(axis)) for angle in np.linspace(-0.6, 0.6, 12)]
    with pytest.raises(DegenerateMotion, match="turn the hand about") as refusal:
        run(rig, samples)
    assert len(refusal.value.missing) == 1
    # What is asked for is across what was done, and doing it helps.
    diversity = measure([item.base_from_hand for item in samples], [item.view for item in samples], rig.lens)
    spreads, axes = diversity.spreads, diversity.axes
    assert spreads[0] > 10 * spreads[1]
    moved = [
        replace(item, base_from_hand=item.base_from_hand @ turned(angle * axes[1]))
        for item, angle in zip(samples, rig.random.uniform(-0.5, 0.5, len(samples)), strict=True)
    ]
    better = [seen_from(rig, item.base_from_hand) for item in moved]
    distance, angle = errors(run(rig, better).parent_from_camera, rig)
    assert distance < 4.0
    assert angle < 0.4


def turned(vector: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(vector).as_matrix()
    return matrix


def seen_from(rig: Rig, base_from_hand: np.ndarray) -> Sample:
    """A sample at a hand pose, wherever the board then is in the picture."""
    return sample(rig.board, rig.view(rig.where_board_is(base_from_hand), 0.1), rig.lens, base_from_hand)


@MODES
def test_shifting_alone_is_refused(mode: Mode) -> None:
    rig = Rig(mode, 1)
    with pytest.raises(DegenerateMotion) as refusal:
        run(rig, [rig.sample((0.0, 0.0, 0.0)) for _ in range(12)])
    assert len(refusal.value.missing) == 2


def test_few_poses_are_refused() -> None:
    rig = Rig(Mode.EYE_IN_HAND, 2)
    for count in (0, 1, 4):
        with pytest.raises(DegenerateMotion, match=f"got {count}") as refusal:
            run(rig, rig.samples(count))
        assert any("more poses" in item for item in refusal.value.missing)


@MODES
def test_varied_motion_misses_nothing(mode: Mode) -> None:
    rig = Rig(mode, 4)
    diversity = run(rig, rig.samples(15)).diversity
    assert all(spread > GOOD_SPREAD for spread in diversity.spreads)
    assert diversity.missing == ()


@given(
    vectors=st.lists(st.lists(st.floats(-0.7, 0.7), min_size=3, max_size=3), min_size=2, max_size=12),
    seed=st.integers(0, 1000),
)
def test_spread_does_not_depend_on_where_the_arm_stands(vectors: list[list[float]], seed: int) -> None:
    poses = [turned(np.array(vector)) for vector in vectors]
    base = turned(np.random.default_rng(seed).normal(size=3))
    before, _ = rotation_spread(poses)
    after, axes = rotation_spread([base @ item for item in poses])
    assert np.allclose(before, after, atol=1e-6)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert before[0] >= before[1] >= before[2] >= 0.0


@MODES
@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_a_print_of_another_size_is_noticed(mode: Mode, factor: float) -> None:
    rig = Rig(mode, 5)
    samples = rig.samples(15)
    said = Board(square=BOARD.square * factor, marker=BOARD.marker * factor)
    again = [sample(said, item.view, rig.lens, item.base_from_hand) for item in samples]
    with pytest.raises(WrongBoard, match=r"squares measure 3[45]\.\d+ mm") as refusal:
        solve(mode, said, rig.lens, again)
    measured = float(str(refusal.value).split("squares measure ")[1].split(" mm")[0])
    assert measured == pytest.approx(1000.0 * BOARD.square, rel=0.003)


@MODES
def test_a_board_that_moved_meanwhile_is_noticed(mode: Mode) -> None:
    rig = Rig(mode, 6)
    before = rig.samples(8)
    rig.carrier_from_board = rig.carrier_from_board @ turned(np.array([0.0, 0.5, 0.3]))
    rig.carrier_from_board[:3, 3] += 0.05
    with pytest.raises(CalibrationError, match="Board or camera moved"):
        run(rig, before + rig.samples(8))


def test_the_wrong_mode_is_noticed() -> None:
    rig = Rig(Mode.EYE_IN_HAND, 7)
    with pytest.raises(CalibrationError, match="no camera pose explains"):
        solve(Mode.EYE_TO_HAND, rig.board, rig.lens, rig.samples(15))


@MODES
def test_residuals_on_poses_held_out(mode: Mode) -> None:
    rig = Rig(mode, 8)
    samples = rig.samples(15)
    solution = run(rig, samples)
    held = hold_out(mode, BOARD, LENS, samples, solution)
    # A little worse than the residual of the fit, which has seen the poses.
    assert solution.residual < held.reprojection < 1.5 * solution.residual
    assert held.position < 0.002
    assert held.rotation < math.radians(1.0)
    distance, angle = errors(solution.parent_from_camera, rig)
    assert distance < 4.0 * 1000.0 * held.position_error
    assert angle < 4.0 * math.degrees(held.rotation_error)


def test_a_pose_told_wrong_stands_out_when_held_out() -> None:
    rig = Rig(Mode.EYE_TO_HAND, 9)
    samples = rig.samples(15)
    wrong = samples[6].base_from_hand.copy()
    wrong[:3, 3] += 0.005 * rig.parent_from_camera[:3, 0]  # across the picture
    samples[6] = replace(samples[6], base_from_hand=wrong)
    held = hold_out(rig.mode, BOARD, LENS, samples, run(rig, samples))
    assert held.worst == 6
    assert held.worst_reprojection > 5.0 * 0.14
    assert held.reprojection > 0.5
