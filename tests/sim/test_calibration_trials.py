"""Cameras of the simulated cell, calibrated from rendered, noisy pictures, against where they truly are."""

from __future__ import annotations

import math
from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from vipa_policy import geometry
from vipa_policy.calibration.hand_eye import Mode
from vipa_sim.calibration_board import THICKNESS, BoardPlacement
from vipa_sim.calibration_trials import FEWEST_CORNERS, CalibrationCell, Trial, calibrate
from vipa_sim.cell import Cell, CellConfig
from vipa_sim.eval_calibration import SHEET_COLUMNS, SHEET_SCALE, report, sheet, summarise

pytestmark = pytest.mark.sim

SIZE = (640, 480)
POSES = 10


@pytest.fixture(scope="module", params=list(Mode))
def cell(request: pytest.FixtureRequest) -> Iterator[CalibrationCell]:
    made = CalibrationCell(request.param, SIZE)
    yield made
    made.close()


@pytest.fixture(scope="module")
def trial(cell: CalibrationCell) -> Trial:
    return calibrate(cell, 0, 0, POSES)


def test_the_board_is_drawn_where_it_is_said_to_be(cell: CalibrationCell) -> None:
    generator = np.random.default_rng(1)
    cell.place(generator, 5)
    offsets = []
    for shot, _ in zip(cell.shots(generator), range(5), strict=False):
        board = cell.placement.carrier_from_board
        if cell.placement.on_hand:
            board = shot.base_from_hand @ board
        camera_from_board = geometry.inverse(cell.cell.world_from_camera(cell.camera)) @ board
        corners = geometry.apply(camera_from_board, cell.board.corners[shot.view.ids])
        offsets.append(shot.view.pixels - cell.lens.project(corners))
        assert len(shot.view.ids) >= FEWEST_CORNERS
    every = np.concatenate(offsets)
    assert np.median(np.linalg.norm(every, axis=1)) < 0.25
    assert np.abs(np.median(every, axis=0)).max() < 0.12


def test_the_camera_is_found_where_it_truly_is(trial: Trial) -> None:
    # A third of the pixels and two thirds of the poses of `make eval-calibration`, hence less exact.
    assert trial.translation < 0.001
    assert trial.rotation < math.radians(0.1)
    assert trial.translation < trial.closed_form_translation
    assert trial.solution.diversity.poses == POSES
    assert trial.held_out.reprojection < 0.5


def test_placements_differ_and_repeat(cell: CalibrationCell) -> None:
    poses = []
    for index in (0, 1, 0):
        cell.place(np.random.default_rng([0, index]), index)
        poses.append(cell.parent_from_camera)
    assert np.array_equal(poses[0], poses[2])
    assert np.linalg.norm(poses[0][:3, 3] - poses[1][:3, 3]) > 0.005


def test_figures_and_pictures_of_an_evaluation(trial: Trial) -> None:
    line = report([trial, trial])
    assert line["placements"] == 2
    assert line["translation_mm_p95"] == pytest.approx(1000.0 * trial.translation, abs=1e-4)
    assert line["rotation_deg_p95"] == pytest.approx(math.degrees(trial.rotation), abs=1e-4)
    assert line[trial.mode.value] == {"placements": 2, **summarise([trial, trial])}
    assert not any(mode.value in line for mode in Mode if mode is not trial.mode)
    picture = sheet([trial])
    assert picture.shape == (round(SIZE[1] * SHEET_SCALE), SHEET_COLUMNS * round(SIZE[0] * SHEET_SCALE), 3)


def test_a_board_is_an_extra() -> None:
    """What is drawn beside the board, and what moves, is as without one."""
    plain, other = Cell(CellConfig(noise=None)), Cell(CellConfig(noise=None, board=BoardPlacement(False)))
    try:
        (plain_rgb, plain_depth), (rgb, depth) = plain.render("scene"), other.render("scene")
        changed = np.any(plain_rgb != rgb, axis=2)
        assert 100 < np.count_nonzero(changed) < 0.2 * changed.size
        # White on a light table: where no colour changed, at most the plate's thickness did.
        assert np.abs(plain_depth - depth)[~changed].max() < 3.0 * THICKNESS
        assert plain.model.nq == other.model.nq
        assert np.array_equal(plain.model.body_mass, other.model.body_mass)
        plain.step(0.1)
        other.step(0.1)
        assert np.array_equal(plain.joint_positions, other.joint_positions)
        plate = other.model.geom("calibration_board")
        assert plate.contype[0] == plate.conaffinity[0] == 0
        assert mujoco.mj_name2id(plain.model, mujoco.mjtObj.mjOBJ_GEOM, "calibration_board") == -1
    finally:
        plain.close()
        other.close()
