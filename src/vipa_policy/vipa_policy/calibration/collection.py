"""The procedure: poses come in, near duplicates are left out, what is missing is told, a calibration comes out. No ROS.

Guarded by tests/unit/test_calibration_collection.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from vipa_policy import geometry
from vipa_policy.calibration.board import Board, BoardView
from vipa_policy.calibration.diversity import Diversity, measure
from vipa_policy.calibration.hand_eye import HandEye, Mode, Sample, sample, solve
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.validation import HeldOut, hold_out
from vipa_policy.errors import CalibrationError
from vipa_policy.geometry import Array

NEW_ANGLE: Final = math.radians(6.0)
NEW_DISTANCE: Final = 0.04
"""A pose is new where it is turned or moved by so much (rad, m) against every other one."""
STILL_DISTANCE: Final = 0.0005
STILL_ANGLE: Final = math.radians(0.1)
"""Within which (m, rad) an arm that was looked at several times counts as at rest."""


class Collection:
    """Samples of one calibration."""

    def __init__(self, mode: Mode, board: Board) -> None:
        self.mode, self.board = mode, board
        self._samples: list[Sample] = []
        self._lens: Lens | None = None

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def samples(self) -> Sequence[Sample]:
        """What was collected, in order."""
        return tuple(self._samples)

    def is_new(self, base_from_hand: Array) -> bool:
        """Tell whether a pose (4, 4) differs enough from those collected to be worth a sample."""
        return not any(
            geometry.rotation_angle(item.base_from_hand, base_from_hand) < NEW_ANGLE
            and float(np.linalg.norm(item.base_from_hand[:3, 3] - base_from_hand[:3, 3])) < NEW_DISTANCE
            for item in self._samples
        )

    def add(self, view: BoardView, lens: Lens, base_from_hand: Array) -> None:
        """Keep what was seen at a pose (4, 4) of the hand.

        Raises CalibrationError where the pose is none or known already, where the camera is another one than before,
        and as ``board.locate`` does.
        """
        matrix = np.asarray(base_from_hand, dtype=float)
        if matrix.shape != (4, 4) or not np.all(np.isfinite(matrix)) or not geometry.is_rotation(matrix):
            raise CalibrationError("expected a finite rigid pose of the hand; check TF of the arm")
        if self._lens is not None and not _same_lens(self._lens, lens):
            raise CalibrationError(
                f"the camera's image size or intrinsics changed from {self._lens.width} x {self._lens.height} px to "
                f"{lens.width} x {lens.height} px; collect anew with one setting"
            )
        if not self.is_new(matrix):
            raise CalibrationError(
                f"this pose is known: within {math.degrees(NEW_ANGLE):.0f} degrees and {1000.0 * NEW_DISTANCE:.0f} mm "
                "of one collected; turn or move the hand further"
            )
        item = sample(self.board, view, lens, matrix)
        self._lens = self._lens or lens
        self._samples.append(item)

    def drop_last(self) -> None:
        """Forget the last sample. Raises CalibrationError where there is none."""
        if not self._samples:
            raise CalibrationError("there is no sample to drop")
        self._samples.pop()

    def clear(self) -> None:
        """Forget all samples and the lens."""
        self._samples.clear()
        self._lens = None

    def diversity(self) -> Diversity:
        """Return how varied the poses are and what motion is missing."""
        lens = self._lens or Lens(np.eye(3), (), 1, 1)
        return measure([item.base_from_hand for item in self._samples], [item.view for item in self._samples], lens)

    def solve(self) -> tuple[HandEye, HeldOut, Lens]:
        """Return the solution, its residuals on poses held out, and the lens. Raises as ``hand_eye.solve`` does."""
        lens = self._lens or Lens(np.eye(3), (), 1, 1)
        solution = solve(self.mode, self.board, lens, self._samples)
        return solution, hold_out(self.mode, self.board, lens, self._samples, solution), lens


def is_still(poses: Sequence[Array]) -> bool:
    """Tell whether poses (4, 4) of one frame at several moments are one pose: the arm rests."""
    first = poses[0]
    return all(
        float(np.linalg.norm(item[:3, 3] - first[:3, 3])) < STILL_DISTANCE
        and geometry.rotation_angle(item, first) < STILL_ANGLE
        for item in poses[1:]
    )


def _same_lens(first: Lens, second: Lens) -> bool:
    return (first.width, first.height, first.distortion) == (second.width, second.height, second.distortion) and bool(
        np.allclose(first.matrix, second.matrix, rtol=1e-6)
    )
