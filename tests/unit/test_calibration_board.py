"""The board is found to a fraction of a pixel, told from others, and printed true to size."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from support.board_scene import BOARD, LENS, Rig

from vipa_policy import geometry
from vipa_policy.calibration.board import Board, BoardDetector, BoardView, draw, locate
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.printing import to_svg
from vipa_policy.errors import BoardNotSeen, CalibrationError, WrongBoard


@pytest.mark.parametrize("seed", range(4))
def test_corners_and_pose_of_a_noisy_picture(seed: int) -> None:
    rig = Rig(Mode.EYE_TO_HAND, seed)
    true = rig.camera_from_board(rig.random.normal(0.0, 0.25, 3))
    view = BoardDetector(BOARD).detect(rig.picture(true))
    assert len(view.ids) >= 20
    expected = LENS.project(geometry.apply(true, BOARD.corners[view.ids]))
    offsets = view.pixels - expected
    assert np.median(np.linalg.norm(offsets, axis=1)) < 0.12
    assert np.abs(np.median(offsets, axis=0)).max() < 0.06  # no half pixel lost between conventions
    found = locate(BOARD, view, LENS).camera_from_board
    assert np.linalg.norm(found[:3, 3] - true[:3, 3]) < 0.003
    assert geometry.rotation_angle(found, true) < 0.02
    assert np.any(draw(rig.picture(true), view)[..., 0] != draw(rig.picture(true), view)[..., 1])


def test_a_picture_without_a_board_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    for picture in (np.full((480, 640, 3), 120, np.uint8), noise):
        with pytest.raises(BoardNotSeen, match="expected at least 6 corners"):
            BoardDetector(BOARD).detect(picture)


def test_too_little_of_a_board_is_refused() -> None:
    rig = Rig(Mode.EYE_TO_HAND, 1)
    true = rig.camera_from_board((0.0, 0.0, 0.0))
    picture = rig.picture(true)
    corners = LENS.project(geometry.apply(true, BOARD.corners))
    picture[:, round(corners[0, 0]) + 10 :] = 120  # one column of corners stays
    with pytest.raises(BoardNotSeen):
        BoardDetector(BOARD).detect(picture)
    line = BoardView(np.arange(6), corners[:6])
    whole = BoardDetector(BOARD)
    whole._detector = type("Fixed", (), {"detectBoard": lambda self, grey: (line.pixels, line.ids, None, None)})()
    with pytest.raises(BoardNotSeen, match="on one line"):
        whole.detect(picture)


def test_a_board_too_far_away_is_refused() -> None:
    rig = Rig(Mode.EYE_TO_HAND, 2)
    far = rig.camera_from_board((0.1, 0.0, 0.0))
    far[2, 3] = 4.0
    with pytest.raises(BoardNotSeen, match="go closer"):
        locate(BOARD, rig.view(far, 0.1), LENS)


def test_a_board_with_other_markers_is_refused() -> None:
    larger = Board(9, 8, 0.030, 0.022)
    rig = Rig(Mode.EYE_TO_HAND, 3, board=larger)
    picture = rig.picture(rig.camera_from_board((0.1, 0.0, 0.0)))
    BoardDetector(larger).detect(picture)
    with pytest.raises(WrongBoard, match="markers"):
        BoardDetector(BOARD).detect(picture)


def test_the_same_markers_in_another_grid_are_refused() -> None:
    rig = Rig(Mode.EYE_TO_HAND, 4, board=Board(6, 6))
    picture = rig.picture(rig.camera_from_board((0.2, 0.1, 0.0)))
    detector = BoardDetector(BOARD)
    with pytest.raises((WrongBoard, BoardNotSeen)):
        locate(BOARD, detector.detect(picture), LENS)


def test_corners_that_do_not_fit_are_refused() -> None:
    rig = Rig(Mode.EYE_TO_HAND, 5)
    view = rig.view(rig.camera_from_board((0.1, 0.2, 0.0)), 6.0)
    with pytest.raises(WrongBoard, match="px from where the board"):
        locate(BOARD, view, LENS)


@pytest.mark.parametrize(
    "text",
    ["", "7x5", "7x5 35 26", "7x5 0.026 0.035", "2x2 0.03 0.02", "7x5 0.03 0.02 9X9_9", "7x5 0.03 0.02 4X4_50 odd"],
)
def test_descriptions_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(CalibrationError, match="expected"):
        Board.parse(text)


def test_a_dictionary_too_small_is_refused() -> None:
    with pytest.raises(CalibrationError, match="has 128 markers"):
        Board(16, 16, 0.03, 0.02, "4X4_50")


@pytest.mark.parametrize("board", [BOARD, Board(8, 6, 0.05, 0.03, "5X5_100", legacy=True)])
def test_descriptions_round_trip(board: Board) -> None:
    assert Board.parse(str(board)) == board
    assert Board.from_dict(board.to_dict()) == board
    assert board.corners.shape == (board.corner_count, 3)


def test_the_print_measures_what_it_says() -> None:
    svg = to_svg(BOARD)
    width, height = re.search(r'<image x="10" y="10" width="([\d.]+)" height="([\d.]+)"', svg).groups()
    assert (float(width), float(height)) == (245.0, 175.0)
    page = re.search(r'width="([\d.]+)mm" height="([\d.]+)mm" viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()
    assert page[:2] == page[2:]  # a unit of the page is a millimetre


def test_straightening_undoes_the_lens() -> None:
    bent = Lens(LENS.matrix, (0.12, -0.2, 0.001, -0.002, 0.05), 640, 480)
    points = np.random.default_rng(0).uniform((-0.3, -0.2, 0.6), (0.3, 0.2, 0.9), (50, 3))
    pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), bent.matrix, np.array(bent.distortion))
    assert np.abs(pixels.reshape(-1, 2) - bent.project(points)).max() > 1.0
    assert np.allclose(bent.straighten(pixels), bent.project(points), atol=0.01)


def test_lenses_that_are_not_understood_are_refused() -> None:
    with pytest.raises(CalibrationError, match="equidistant"):
        Lens.from_parts(LENS.matrix, [0.1, 0.0, 0.0, 0.0], "equidistant", 640, 480)
    with pytest.raises(CalibrationError, match="3 coefficients"):
        Lens.from_parts(LENS.matrix, [0.1, 0.0, 0.1], "plumb_bob", 640, 480)
    assert Lens.from_parts(LENS.matrix, [0.0] * 5, "none", 640, 480).distortion == ()
