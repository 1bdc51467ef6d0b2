"""Where the camera is, from what it saw at many poses of the arm: the single place that solves the hand-eye problem.

Both modes are one equation. With A the hand's pose as TF tells it (inverted for a camera on the hand):

    camera_from_board(i) = X^-1 A(i) Z        eye_in_hand: X = hand_from_camera, A = hand_from_base, Z = base_from_board
                                              eye_to_hand: X = base_from_camera, A = base_from_hand, Z = hand_from_board

OpenCV's closed forms (Tsai, Park, Horaud, Andreff, Daniilidis) give a first guess from single-picture poses; what
counts is the second step, which moves X and Z until all corners of all pictures are reprojected best. It weighs a
corner by what it tells: the depth of a small board, poor in a single picture, hardly matters.
Guarded by tests/unit/test_hand_eye.py and tests/sim/test_calibration_trials.py.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import cv2
import numpy as np
from scipy.optimize import least_squares

from vipa_policy import geometry
from vipa_policy.calibration.board import FEWEST_CORNERS, Board, BoardPose, BoardView, locate, reprojection, rms
from vipa_policy.calibration.diversity import Diversity, measure
from vipa_policy.calibration.lens import Lens
from vipa_policy.errors import CalibrationError, DegenerateMotion, WrongBoard
from vipa_policy.geometry import Array

FEWEST_POSES: Final = 5
"""Twelve unknowns need two poses; with five a bad one can be told from the others."""
HUBER: Final = 1.0
"""px beyond which a corner pulls by its side alone and no longer by its distance: a misread one must not decide."""
SCALE_TOLERANCE: Final = 0.01
"""A board whose squares fit the arm's motion better at a size that is off by more than this share is another one."""
SCALE_CERTAINTY: Final = 6.0
"""Standard deviations by which the other size must be certain before it is believed."""
STRAY: Final = 4.0
"""A corner further off than this times the median of its picture's, and than STRAY_FLOOR px, is left out."""
STRAY_FLOOR: Final = 0.15
LARGEST_RESIDUAL: Final = 0.5
"""RMS reprojection error in sides of a square beyond which X and Z explain nothing: the board or the camera moved."""

_CLOSED_FORMS: Final = (
    cv2.CALIB_HAND_EYE_PARK,
    cv2.CALIB_HAND_EYE_DANIILIDIS,
    cv2.CALIB_HAND_EYE_HORAUD,
    cv2.CALIB_HAND_EYE_TSAI,
    cv2.CALIB_HAND_EYE_ANDREFF,
)
_LOG: Final = logging.getLogger(__name__)


class Mode(StrEnum):
    """Who carries the camera: the hand, or a stand beside the arm."""

    EYE_IN_HAND = "eye_in_hand"
    EYE_TO_HAND = "eye_to_hand"


@dataclass(frozen=True)
class Sample:
    """One picture of the board with the arm at rest.

    Attributes:
        base_from_hand: (4, 4), by TF at the image's stamp.
        view: corners seen.
        pose: of the board by this picture alone.
    """

    base_from_hand: Array
    view: BoardView
    pose: BoardPose


@dataclass(frozen=True)
class HandEye:
    """A solution.

    Attributes:
        mode: of the calibration.
        parent_from_camera: (4, 4) X; the parent is the hand (eye_in_hand) or the base (eye_to_hand).
        carrier_from_board: (4, 4) Z; the carrier is the base (eye_in_hand) or the hand (eye_to_hand).
        residual: px, RMS distance between corners seen and reprojected.
        diversity: of the poses it was solved from.
    """

    mode: Mode
    parent_from_camera: Array
    carrier_from_board: Array
    residual: float
    diversity: Diversity

    def camera_from_board(self, base_from_hand: Array) -> Array:
        """Return where the board must be in the camera's optical frame, (4, 4), while the hand is at a pose (4, 4)."""
        return chained(self.mode, self.parent_from_camera, base_from_hand, self.carrier_from_board)


def chained(mode: Mode, parent_from_camera: Array, base_from_hand: Array, carrier_from_board: Array) -> Array:
    """Return camera_from_board (4, 4) by way of the arm."""
    parent_from_carrier = geometry.inverse(base_from_hand) if mode is Mode.EYE_IN_HAND else base_from_hand
    return geometry.inverse(parent_from_camera) @ parent_from_carrier @ carrier_from_board


def sample(board: Board, view: BoardView, lens: Lens, base_from_hand: Array) -> Sample:
    """Return a sample of corners seen while the hand was at a pose (4, 4). Raises as ``locate`` does.

    Corners that do not lie where the others put them are left out: at the edge of a finger, or where a marker's own
    corner came into the search window, one is half a pixel off while its neighbours are good to a tenth.
    """
    pose = locate(board, view, lens)
    offsets = np.linalg.norm(reprojection(board, view, lens, pose.camera_from_board), axis=1)
    kept = offsets <= max(STRAY * float(np.median(offsets)), STRAY_FLOOR)
    if np.count_nonzero(kept) >= FEWEST_CORNERS and not np.all(kept):
        view = BoardView(view.ids[kept], view.pixels[kept])
        pose = locate(board, view, lens)
    return Sample(np.asarray(base_from_hand, dtype=float), view, pose)


def solve(
    mode: Mode, board: Board, lens: Lens, samples: Sequence[Sample], start: HandEye | None = None, strict: bool = True
) -> HandEye:
    """Return the camera's pose that explains the samples best.

    Args:
        mode: who carries the camera.
        board: that was seen.
        lens: of the camera.
        samples: five or more, at poses that turn the hand about two axes at least.
        start: where to begin; the closed forms' best when None.
        strict: whether to check motion, residual and the board's size; off for parts of a set that passed.

    Raises DegenerateMotion where the poses do not fix the camera (its ``missing`` tells which motion would), WrongBoard
    where the squares are of another size, CalibrationError where there are too few poses or nothing explains them.
    """
    diversity = measure([item.base_from_hand for item in samples], [item.view for item in samples], lens)
    if strict:
        _refuse_degenerate(diversity, len(samples))
    problem = _Problem(mode, board, lens, samples)
    initial = problem.closed_form() if start is None else (start.parent_from_camera, start.carrier_from_board)
    matrix, carried, residual = problem.refine(*initial)
    if strict:
        side = problem.square_side()
        if not residual <= LARGEST_RESIDUAL * side:
            raise CalibrationError(
                f"no camera pose explains the {len(samples)} pictures: {residual:.1f} px are left (squares of "
                f"{side:.0f} px). Board or camera moved against what carries them, hand poses and pictures are not of "
                f"the same moment, or the mode is not {mode.value}; mend that and collect anew"
            )
        problem.refuse_other_size(matrix, carried)
    return HandEye(mode, matrix, carried, residual, diversity)


def closed_form(mode: Mode, board: Board, lens: Lens, samples: Sequence[Sample]) -> Array:
    """Return parent_from_camera (4, 4) by OpenCV's closed forms alone: where ``solve`` begins, and its baseline.

    Raises CalibrationError where none of them gives a pose.
    """
    return _Problem(mode, board, lens, samples).closed_form()[0]


def _refuse_degenerate(diversity: Diversity, count: int) -> None:
    if count < FEWEST_POSES:
        raise DegenerateMotion(
            f"expected {FEWEST_POSES} poses or more, got {count}; collect more: {'; '.join(diversity.missing)}",
            diversity.missing,
        )
    if diversity.blocking:
        raise DegenerateMotion(
            f"the {count} poses do not fix where the camera is; missing: {'; '.join(diversity.blocking)}",
            diversity.blocking,
        )


class _Problem:
    """All corners of all samples as arrays, and the steps from nothing to X and Z."""

    def __init__(self, mode: Mode, board: Board, lens: Lens, samples: Sequence[Sample]) -> None:
        self._lens, self._board = lens, board
        self._chain = np.stack([item.base_from_hand for item in samples])
        if mode is Mode.EYE_IN_HAND:
            self._chain = geometry.inverse(self._chain)
        self._seen = [item.pose.camera_from_board for item in samples]
        self._owner = np.repeat(np.arange(len(samples)), [len(item.view.ids) for item in samples])
        self._points = np.concatenate([board.corners[item.view.ids] for item in samples])
        self._pixels = np.concatenate([lens.straighten(item.view.pixels) for item in samples])

    def closed_form(self) -> tuple[Array, Array]:
        """Return the X and Z (4, 4) of the closed form that reprojects best."""
        inverted = geometry.inverse(self._chain)
        candidates: list[tuple[float, int, Array, Array]] = []
        for method in _CLOSED_FORMS:
            try:
                rotation, translation = cv2.calibrateHandEye(
                    list(inverted[:, :3, :3]),
                    list(inverted[:, :3, 3]),
                    [pose[:3, :3] for pose in self._seen],
                    [pose[:3, 3] for pose in self._seen],
                    method=method,
                )
            except cv2.error as error:
                _LOG.debug("closed form %s gave nothing: %s", method, error)
                continue
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = rotation, np.ravel(translation)
            if not geometry.is_rotation(matrix) or not np.all(np.isfinite(matrix)):
                continue
            carried = _mean([chain @ matrix @ pose for chain, pose in zip(inverted, self._seen, strict=True)])
            offset = float(np.median(np.linalg.norm(self._offsets(matrix, carried), axis=1)))
            candidates.append((offset, len(candidates), matrix, carried))
        if not candidates:
            raise CalibrationError("no closed form solves these poses; collect anew, with larger motions between them")
        _, _, matrix, carried = min(candidates, key=lambda item: item[:2])
        return matrix, carried

    def refine(self, matrix: Array, carried: Array) -> tuple[Array, Array, float]:
        """Return X and Z that reproject all corners best, beginning near them, and the RMS residual in px."""
        found = self._least_squares(matrix, carried, size=False)
        matrix, carried = _moved(matrix, found.x[:6]), _moved(carried, found.x[6:12])
        return matrix, carried, rms(self._offsets(matrix, carried))

    def square_side(self) -> float:
        """Return the median side of a square in the pictures, px."""
        depths = np.array([pose[2, 3] for pose in self._seen])
        return float(np.median(self._lens.matrix[0, 0] * self._board.square / np.maximum(depths, 1e-6)))

    def refuse_other_size(self, matrix: Array, carried: Array) -> None:
        """Raise WrongBoard where squares of another size fit the arm's motion better, beyond doubt."""
        found = self._least_squares(matrix, carried, size=True)
        scale = float(np.exp(found.x[12]))
        freedom = max(1, found.fun.size - 13)
        covariance = np.linalg.pinv(found.jac.T @ found.jac) * (2.0 * found.cost / freedom)
        # Neighbouring corners err alike, so that many of them count as few.
        certain = abs(found.x[12]) > SCALE_CERTAINTY * np.sqrt(covariance[12, 12])
        if abs(scale - 1.0) > SCALE_TOLERANCE and certain:
            square = self._board.square
            raise WrongBoard(
                f"by the arm's motion the squares measure {1000.0 * square * scale:.2f} mm, {1000.0 * square:.2f} mm "
                "were given; measure the print and correct the board's description (printers scale to fit the page)"
            )

    def _least_squares(self, matrix: Array, carried: Array, size: bool) -> Any:
        def residuals(values: Array) -> Array:
            scale = float(np.exp(values[12])) if size else 1.0
            return self._offsets(_moved(matrix, values[:6]), _moved(carried, values[6:12]), scale).ravel()

        return least_squares(
            residuals, np.zeros(13 if size else 12), jac="3-point", loss="huber", f_scale=HUBER, xtol=1e-12, ftol=1e-12
        )

    def _offsets(self, matrix: Array, carried: Array, scale: float = 1.0) -> Array:
        """Return reprojected minus seen corners (n, 2) in px."""
        camera_from_board = geometry.inverse(matrix) @ self._chain @ carried
        rotations = camera_from_board[self._owner, :3, :3]
        points = np.einsum("nij,nj->ni", rotations, scale * self._points) + camera_from_board[self._owner, :3, 3]
        return self._lens.project(points) - self._pixels


def _moved(matrix: Array, step: Array) -> Array:
    """Return a transform (4, 4) turned by step[:3] (rad, rotation vector) and shifted by step[3:] (m)."""
    result = matrix.copy()
    result[:3, :3] = geometry.rotation_from_vector(step[:3]) @ matrix[:3, :3]
    result[:3, 3] = matrix[:3, 3] + step[3:]
    return result


def _mean(matrices: Sequence[Array]) -> Array:
    """Return the middle of transforms (4, 4): median position, and the rotation nearest to most others."""
    stack = np.stack(matrices)
    result = np.eye(4)
    result[:3, 3] = np.median(stack[:, :3, 3], axis=0)
    # Of planar boards some single-picture poses are flipped: the mean would be pulled, the most central one is not.
    cosines = np.clip((np.einsum("aij,bij->ab", stack[:, :3, :3], stack[:, :3, :3]) - 1.0) / 2.0, -1.0, 1.0)
    result[:3, :3] = stack[int(np.argmin(np.arccos(cosines).sum(axis=1))), :3, :3]
    return result
