"""Notices a camera that was bumped: the board is reprojected by way of the arm and compared with where it is seen.

One misread picture means nothing and a board out of sight proves nothing, so the judgement is the median of the last
few comparisons. Guarded by tests/unit/test_calibration_watch.py.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np

from vipa_policy import geometry
from vipa_policy.calibration.board import Board, BoardView
from vipa_policy.calibration.lens import Lens
from vipa_policy.geometry import Array

RECOVERY = 0.7
"""Share of the tolerance below which a bumped camera counts as back in place."""


class Verdict(Enum):
    """What the last comparisons say."""

    UNKNOWN = "unknown"
    IN_PLACE = "in place"
    BUMPED = "bumped"


@dataclass(frozen=True)
class WatchSettings:
    """How a camera is watched.

    Attributes:
        tolerance: m, by which the board may be seen beside where it must be, at its distance.
        window: comparisons whose median decides.
        patience: s after which comparisons no longer count.
    """

    tolerance: float = 0.005
    window: int = 5
    patience: float = 30.0

    def __post_init__(self) -> None:
        if not (self.tolerance > 0.0 and self.window >= 1 and self.patience > 0.0):
            raise ValueError(f"expected tolerance and patience above 0 and a window of 1 or more, got {self}")


class BumpWatch:
    """Judges a camera by comparisons that come in."""

    def __init__(self, settings: WatchSettings) -> None:
        self._settings = settings
        self._deviations: deque[tuple[float, float]] = deque(maxlen=settings.window)
        self._bumped = False

    def compare(self, deviation: float, now: float) -> Verdict:
        """Take a deviation in m, measured at ``now`` (s), and return the verdict."""
        self._deviations.append((now, deviation))
        return self.verdict(now)

    def verdict(self, now: float) -> Verdict:
        """Return the verdict at ``now`` (s); a bumped camera stays so until it is seen back in place."""
        while self._deviations and not 0.0 <= now - self._deviations[0][0] <= self._settings.patience:
            self._deviations.popleft()
        if len(self._deviations) == self._settings.window:
            if self._bumped:
                self._bumped = self.deviation > RECOVERY * self._settings.tolerance
            else:
                self._bumped = self.deviation > self._settings.tolerance
        elif not self._bumped:
            return Verdict.UNKNOWN
        return Verdict.BUMPED if self._bumped else Verdict.IN_PLACE

    @property
    def deviation(self) -> float:
        """Median of the last deviations in m, NaN where there are none."""
        return float(np.median([value for _, value in self._deviations])) if self._deviations else float("nan")


def deviation(board: Board, view: BoardView, lens: Lens, camera_from_board: Array) -> float:
    """Return how far, in m at the board's distance, corners are seen from where they must be; the median of all.

    Args:
        board: that is seen.
        view: corners seen.
        lens: of the camera.
        camera_from_board: (4, 4), where the board must be by way of the arm.
    """
    points = geometry.apply(camera_from_board, board.corners[view.ids])
    if np.any(points[:, 2] <= 0.0):
        # It is seen, yet must be behind the camera: as wrong as can be.
        return float("inf")
    offsets = lens.project(points) - lens.straighten(view.pixels)
    focal = 0.5 * (lens.matrix[0, 0] + lens.matrix[1, 1])
    return float(np.median(np.linalg.norm(offsets, axis=1) * points[:, 2] / focal))
