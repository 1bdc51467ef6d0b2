"""Factory calibration: lenses and frames of a camera, in ROS's terms. The single place for both.

Pixel centres lie at whole numbers, in librealsense as everywhere in VIPA.
Guarded by tests/unit/test_camera_optics.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vipa_policy import geometry
from vipa_policy.errors import CameraError
from vipa_policy.geometry import LINK_FROM_OPTICAL, Array

PLUMB_BOB, EQUIDISTANT = "plumb_bob", "equidistant"
GRID = 15  # rays along each side of the image that a lens is described by


@dataclass(frozen=True)
class StreamCalibration:
    """A lens and its image.

    Attributes:
        width: px.
        height: px.
        matrix: (3, 3) pinhole matrix, px.
        distortion_model: "plumb_bob" or "equidistant", as in sensor_msgs/CameraInfo.
        coefficients: of it, five (k1, k2, p1, p2, k3) or four.
        fit_error: px, how far the coefficients are from the factory's own model at worst; 0 where they are its own.
    """

    width: int
    height: int
    matrix: Array
    distortion_model: str
    coefficients: tuple[float, ...]
    fit_error: float = 0.0


def stream_calibration(
    intrinsics: Any, deproject: Callable[[Any, Sequence[float], float], Sequence[float]]
) -> StreamCalibration:
    """Return the calibration of a stream of librealsense.

    ROS's models take a ray to the pixel. Brown-Conrady and Kannala-Brandt do, too, and are passed on; librealsense's
    inverse models take a pixel to the ray, so plumb_bob is fitted to them over the whole image.

    Args:
        intrinsics: of librealsense (width, height, fx, fy, ppx, ppy, model, coeffs).
        deproject: takes these, a pixel (x, y) and a depth to a point (3,); librealsense's own.

    Raises CameraError where a value is not finite or a focal length not above 0.
    """
    values = [intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy, *intrinsics.coeffs]
    if not np.all(np.isfinite(values)) or min(intrinsics.fx, intrinsics.fy) <= 0.0:
        raise CameraError(
            f"expected focal lengths above 0 and finite distortion in the camera's calibration, got {values}; restore "
            "its factory calibration with the tools of librealsense"
        )
    matrix = np.array([[intrinsics.fx, 0.0, intrinsics.ppx], [0.0, intrinsics.fy, intrinsics.ppy], [0.0, 0.0, 1.0]])
    size = (int(intrinsics.width), int(intrinsics.height))
    coefficients = tuple(float(value) for value in intrinsics.coeffs)
    model = intrinsics.model.name
    if model == "kannala_brandt4":
        return StreamCalibration(*size, matrix, EQUIDISTANT, coefficients[:4])
    if model in ("none", "brown_conrady") or not any(coefficients):
        return StreamCalibration(*size, matrix, PLUMB_BOB, coefficients if model == "brown_conrady" else (0.0,) * 5)
    fitted, error = _fit_plumb_bob(matrix, size, lambda pixel: deproject(intrinsics, pixel, 1.0))
    return StreamCalibration(*size, matrix, PLUMB_BOB, fitted, error)


def _fit_plumb_bob(
    matrix: Array, size: tuple[int, int], deproject: Callable[[Sequence[float]], Sequence[float]]
) -> tuple[tuple[float, ...], float]:
    """Return the coefficients that best take the rays of all pixels back to them, and the largest error in px.

    Linear least squares: plumb_bob is linear in its coefficients (Brown 1966, as in OpenCV's projectPoints).
    """
    columns, rows = np.meshgrid(np.linspace(0, size[0] - 1, GRID), np.linspace(0, size[1] - 1, GRID))
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    rays = np.array([deproject(pixel.tolist())[:2] for pixel in pixels])
    focal, centre = np.diag(matrix)[:2], matrix[:2, 2]
    shift = (pixels - centre) / focal - rays
    x, y = rays.T
    square = x * x + y * y
    powers = [square, square**2, square**3]
    along_x = [x * powers[0], x * powers[1], 2 * x * y, square + 2 * x * x, x * powers[2]]
    along_y = [y * powers[0], y * powers[1], square + 2 * y * y, 2 * x * y, y * powers[2]]
    # In pixels, so that the error that is made small is the one that is seen.
    system = np.concatenate([focal[0] * np.stack(along_x, axis=1), focal[1] * np.stack(along_y, axis=1)])
    wanted = np.concatenate([focal[0] * shift[:, 0], focal[1] * shift[:, 1]])
    solution = np.linalg.lstsq(system, wanted, rcond=None)[0]
    errors = (system @ solution - wanted).reshape(2, -1)
    return tuple(solution.tolist()), float(np.linalg.norm(errors, axis=0).max())


def rays(calibration: StreamCalibration) -> Array:
    """Return for each pixel (height, width, 3) the ray it sees, scaled to z = 1."""
    columns, rows = np.meshgrid(np.arange(calibration.width, dtype=float), np.arange(calibration.height, dtype=float))
    pixels = np.stack([columns, rows], axis=-1).reshape(-1, 1, 2)
    fisheye = calibration.distortion_model == EQUIDISTANT
    undistort = cv2.fisheye.undistortPoints if fisheye else cv2.undistortPoints
    flat = undistort(pixels, calibration.matrix, np.array(calibration.coefficients))
    return np.dstack([flat.reshape(calibration.height, calibration.width, 2), np.ones(columns.shape)])


def matrix_from_extrinsics(rotation: Sequence[float], translation: Sequence[float]) -> Array:
    """Return (4, 4) target_from_source of librealsense's rotation (9, column by column) and translation (3, m).

    Raises CameraError where the rotation is none.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(rotation, dtype=float).reshape(3, 3).T
    matrix[:3, 3] = translation
    if not (np.all(np.isfinite(matrix)) and geometry.is_rotation(matrix)):
        raise CameraError(
            f"expected a rotation in the camera's factory extrinsics, got {matrix[:3, :3].tolist()}; restore its "
            "factory calibration with the tools of librealsense"
        )
    # Stored in single precision: what rounding left is taken out, so that TF carries a rotation.
    left, _, right = np.linalg.svd(matrix[:3, :3])
    matrix[:3, :3] = left @ right
    return matrix


def optical_frame(prefix: str, stream: str) -> str:
    """Return the frame of the images of a stream ("color" or "depth") of the camera with this prefix."""
    return f"{prefix}_{stream}_optical_frame"


def factory_frames(prefix: str, colour_from_depth: Array) -> list[tuple[str, str, Array]]:
    """Return the camera's own frames as (parent, child, parent_from_child (4, 4)), as realsense-ros names them.

    The root, ``<prefix>_link``, coincides with the depth sensor; what places it in the world is none of the camera's.
    """
    root, depth, colour = f"{prefix}_link", f"{prefix}_depth_frame", f"{prefix}_color_frame"
    depth_from_colour = LINK_FROM_OPTICAL @ geometry.inverse(colour_from_depth) @ geometry.inverse(LINK_FROM_OPTICAL)
    return [
        (root, depth, np.eye(4)),
        (depth, optical_frame(prefix, "depth"), LINK_FROM_OPTICAL),
        (root, colour, depth_from_colour),
        (colour, optical_frame(prefix, "color"), LINK_FROM_OPTICAL),
    ]
