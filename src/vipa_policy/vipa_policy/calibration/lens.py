"""A camera's lens: pinhole matrix and distortion as CameraInfo tells them. The single place that removes distortion.

Guarded by tests/unit/test_calibration_board.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vipa_policy.errors import CalibrationError
from vipa_policy.geometry import Array

MODELS = ("", "plumb_bob", "rational_polynomial")
"""Distortion models of CameraInfo that OpenCV's polynomial covers."""
# OpenCV takes so many coefficients.
COUNTS = (0, 4, 5, 8, 12, 14)


@dataclass(frozen=True)
class Lens:
    """How a camera maps points in front of it to pixels.

    Attributes:
        matrix: (3, 3) pinhole matrix in px; pixel centres at whole numbers.
        distortion: coefficients in OpenCV's order (k1, k2, p1, p2, k3, ...); empty for none.
        width, height: px, size of the image it belongs to.
    """

    matrix: Array
    distortion: tuple[float, ...] = ()
    width: int = 0
    height: int = 0

    @classmethod
    def from_parts(
        cls, matrix: Array, distortion: Sequence[float], model: str, width: int, height: int, where: str = "CameraInfo"
    ) -> Lens:
        """Return a lens. Raises CalibrationError on a distortion model or a count of coefficients it cannot take."""
        values = tuple(float(value) for value in distortion)
        if any(values) and (model not in MODELS or len(values) not in COUNTS):
            raise CalibrationError(
                f"expected distortion of the model plumb_bob or rational_polynomial in {where}, got {model!r} with "
                f"{len(values)} coefficients; use the camera's rectified image, or a driver that tells one of these"
            )
        return cls(np.asarray(matrix, dtype=float), values if any(values) else (), width, height)

    def straighten(self, pixels: ArrayLike) -> Array:
        """Return where pixels (n, 2) would lie without distortion, px."""
        flat = np.asarray(pixels, dtype=float).reshape(-1, 1, 2)
        if not self.distortion or not len(flat):
            return flat.reshape(-1, 2)
        straight = cv2.undistortPoints(flat, self.matrix, np.asarray(self.distortion), P=self.matrix)
        return np.asarray(straight, dtype=float).reshape(-1, 2)

    def project(self, points: ArrayLike) -> Array:
        """Return pixels (..., 2), without distortion, of points (..., 3) in m in the optical frame."""
        array = np.asarray(points, dtype=float)
        # A point in the camera's plane has no pixel; the solver may pass through such a guess and must come back.
        depth = np.where(np.abs(array[..., 2:]) < 1e-6, 1e-6, array[..., 2:])
        scaled = array[..., :2] / depth
        return np.stack(
            [
                self.matrix[0, 0] * scaled[..., 0] + self.matrix[0, 1] * scaled[..., 1] + self.matrix[0, 2],
                self.matrix[1, 1] * scaled[..., 1] + self.matrix[1, 2],
            ],
            axis=-1,
        )
