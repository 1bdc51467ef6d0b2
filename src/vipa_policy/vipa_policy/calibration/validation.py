"""How good a calibration is, measured on poses that it has not seen. Guarded by tests/unit/test_hand_eye.py.

Every pose is left out once, the camera solved from the others, and the board's place predicted for it. The residuals
on the poses left out are what a user may expect elsewhere; the scatter of the solutions is the jackknife's standard
error (Efron and Stein 1981), which, unlike the one of a fit, knows that an arm's error is the same for all corners of a
picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.calibration.board import Board, reprojection, rms
from vipa_policy.calibration.hand_eye import HandEye, Mode, Sample, solve
from vipa_policy.calibration.lens import Lens


@dataclass(frozen=True)
class HeldOut:
    """Residuals on poses that were left out, and what they say about the result.

    Attributes:
        reprojection: px, RMS over all corners of all poses, each predicted from the others.
        position: m, RMS distance between the board's middle as predicted and as seen.
        rotation: rad, RMS angle between the board as predicted and as seen in one picture.
        worst: index of the pose with the largest reprojection error.
        worst_reprojection: px, RMS of that pose.
        position_error: m, standard error of the camera's position, length of the three axes'.
        rotation_error: rad, the same of its rotation.
    """

    reprojection: float
    position: float
    rotation: float
    worst: int
    worst_reprojection: float
    position_error: float
    rotation_error: float


def hold_out(mode: Mode, board: Board, lens: Lens, samples: Sequence[Sample], solution: HandEye) -> HeldOut:
    """Return the residuals of every sample predicted from the others; ``solution`` is that of all of them."""
    middle = board.corners.mean(axis=0)
    offsets, distances, angles, others = [], [], [], []
    for index, item in enumerate(samples):
        rest = [*samples[:index], *samples[index + 1 :]]
        found = solve(mode, board, lens, rest, start=solution, strict=False)
        others.append(found.parent_from_camera)
        predicted, seen = found.camera_from_board(item.base_from_hand), item.pose.camera_from_board
        offsets.append(reprojection(board, item.view, lens, predicted))
        distances.append(float(np.linalg.norm(geometry.apply(predicted, middle) - geometry.apply(seen, middle))))
        angles.append(geometry.rotation_angle(predicted, seen))
    errors = [rms(item) for item in offsets]
    worst = int(np.argmax(errors))
    position_error, rotation_error = _jackknife(np.stack(others), solution)
    return HeldOut(
        reprojection=rms(np.concatenate(offsets)),
        position=math.sqrt(float(np.mean(np.square(distances)))),
        rotation=math.sqrt(float(np.mean(np.square(angles)))),
        worst=worst,
        worst_reprojection=errors[worst],
        position_error=position_error,
        rotation_error=rotation_error,
    )


def _jackknife(others: np.ndarray, solution: HandEye) -> tuple[float, float]:
    """Return standard errors in m and rad from the solutions (n, 4, 4) with one pose left out."""
    count = len(others)
    positions = others[:, :3, 3] - others[:, :3, 3].mean(axis=0)
    turns = (
        Rotation.from_matrix(solution.parent_from_camera[:3, :3]).inv() * Rotation.from_matrix(others[:, :3, :3])
    ).as_rotvec()
    turns = turns - turns.mean(axis=0)
    factor = (count - 1) / count
    return math.sqrt(factor * float(np.sum(positions**2))), math.sqrt(factor * float(np.sum(turns**2)))
