"""Depth as the colour camera would measure it: the single place where depth changes cameras and becomes millimetres.

librealsense finds which depth pixel each colour pixel sees, but leaves the value as the depth camera measured it, along
*its* axis: with the sensors a degree apart that is centimetres off at the edges. Here the value changes cameras, too.
Guarded by tests/unit/test_camera_alignment.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipa_policy.camera.driver import CameraDescription, FrameError
from vipa_policy.camera.optics import StreamCalibration, rays

MILLIMETRE = 0.001
UNIT_TOLERANCE = 1e-6  # relative; librealsense keeps units in single precision
LARGEST = np.iinfo(np.uint16).max


class Alignment:
    """Aligns depth to colour.

    Args:
        rs: the module pyrealsense2.
        description: of the camera.
    """

    def __init__(self, rs: Any, description: CameraDescription) -> None:
        self._align = rs.align(rs.stream.color)
        colour, colour_from_depth = description.colour, description.colour_from_depth
        # One sensor for both, as in a D405: there is nothing to align, and rounding would only leave holes.
        self._shared = bool(np.array_equal(colour_from_depth, np.eye(4))) and same_lens(colour, description.depth)
        self._shape = (colour.height, colour.width)
        # With a point z_c * ray of the colour camera, R (z_d ...) + t reads along the depth camera's axis, R's third
        # column: z_d = z_c * (axis . ray) - axis . t.
        axis, translation = colour_from_depth[:3, 2], colour_from_depth[:3, 3]
        self._offset = np.float32(axis @ translation / MILLIMETRE)
        along = rays(colour) @ axis
        if not np.all(along > 0.0):
            raise FrameError("expected depth and colour cameras that look the same way; the factory extrinsics do not")
        self._scale = (1.0 / along).astype(np.float32)

    def __call__(self, frames: Any) -> NDArray[np.uint16]:
        """Return the depth (height, width) of a set of frames as the colour camera sees it, whole mm, 0 unknown.

        Raises FrameError where it cannot be aligned.
        """
        depth = frames.get_depth_frame()
        try:
            if self._shared and (depth.get_height(), depth.get_width()) == self._shape:
                return to_millimetres(np.asarray(depth.get_data()), depth.get_units())
            aligned = self._align.process(frames).get_depth_frame()
            unit = float(aligned.get_units())
        except RuntimeError as error:
            raise FrameError(f"depth of frame {depth.get_frame_number()} cannot be aligned: {error}") from error
        raw = np.asarray(aligned.get_data())
        _check_unit(unit)
        moved = (raw * np.float32(unit / MILLIMETRE) + self._offset) * self._scale
        return _whole(np.where(raw > 0, moved, np.float32(0.0)))


def same_lens(first: StreamCalibration, second: StreamCalibration) -> bool:
    """Whether two streams see the same ray in the same pixel."""
    return (
        (first.width, first.height, first.distortion_model) == (second.width, second.height, second.distortion_model)
        and first.coefficients == second.coefficients
        and np.array_equal(first.matrix, second.matrix)
    )


def to_millimetres(raw: NDArray[np.uint16], unit: float) -> NDArray[np.uint16]:
    """Return a sensor's depth (height, width) in steps of ``unit`` m as whole mm, a copy of one's own.

    What does not fit into 16 bits becomes 0, unknown: a wall beyond 65 m is not at 65 m.
    Raises FrameError where the unit is not above 0.
    """
    _check_unit(unit)
    if abs(unit / MILLIMETRE - 1.0) < UNIT_TOLERANCE:
        return np.array(raw, dtype=np.uint16)
    # Units are decimal fractions: the double nearest to the single precision number is not quite the one meant.
    return _whole(raw * (float(f"{unit:.7g}") / MILLIMETRE))


def _check_unit(unit: float) -> None:
    if not (np.isfinite(unit) and unit > 0.0):
        raise FrameError(f"expected a depth unit above 0 m, got {unit}")


def _whole(millimetres: NDArray[Any]) -> NDArray[np.uint16]:
    rounded = np.rint(millimetres)
    return np.where((rounded >= 0.0) & (rounded <= LARGEST), rounded, 0.0).astype(np.uint16)
