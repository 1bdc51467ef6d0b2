"""Lenses and frames in ROS's terms, against OpenCV and by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy import geometry
from vipa_policy.camera.optics import (
    StreamCalibration,
    factory_frames,
    matrix_from_extrinsics,
    optical_frame,
    rays,
    stream_calibration,
)
from vipa_policy.errors import CameraError

MATRIX = np.array([[600.0, 0.0, 322.5], [0.0, 605.0, 238.0], [0.0, 0.0, 1.0]])
COEFFICIENTS = (0.08, -0.15, 0.001, -0.002, 0.04)


def intrinsics(model: str, coefficients: tuple[float, ...] = COEFFICIENTS, **changes: Any) -> Any:
    values = {"width": 640, "height": 480, "fx": 600.0, "fy": 605.0, "ppx": 322.5, "ppy": 238.0} | changes
    return SimpleNamespace(model=SimpleNamespace(name=model), coeffs=list(coefficients), **values)


def unused(*arguments: Any) -> Any:
    raise AssertionError("a lens in ROS's own terms needs no fit")


@pytest.mark.parametrize(
    ("model", "given_", "distortion_model", "expected"),
    [
        ("none", COEFFICIENTS, "plumb_bob", (0.0,) * 5),
        ("brown_conrady", COEFFICIENTS, "plumb_bob", COEFFICIENTS),
        ("inverse_brown_conrady", (0.0,) * 5, "plumb_bob", (0.0,) * 5),
        ("kannala_brandt4", (*COEFFICIENTS[:4], 0.0), "equidistant", COEFFICIENTS[:4]),
    ],
)
def test_lenses_in_ros_own_terms_are_passed_on(
    model: str, given_: tuple[float, ...], distortion_model: str, expected: tuple[float, ...]
) -> None:
    lens = stream_calibration(intrinsics(model, given_), unused)
    assert (lens.width, lens.height, lens.fit_error) == (640, 480, 0.0)
    assert (lens.distortion_model, lens.coefficients) == (distortion_model, expected)
    np.testing.assert_array_equal(lens.matrix, MATRIX)


def test_an_inverse_lens_of_librealsense_is_fitted() -> None:
    rs = pytest.importorskip("pyrealsense2")
    lens = rs.intrinsics()
    lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = 640, 480, 600.0, 605.0, 322.5, 238.0
    lens.model, lens.coeffs = rs.distortion.inverse_brown_conrady, [-0.05, 0.04, 0.0005, -0.001, 0.0]
    fitted = stream_calibration(lens, rs.rs2_deproject_pixel_to_point)
    assert fitted.distortion_model == "plumb_bob"
    assert 0.0 < fitted.fit_error < 0.1
    # OpenCV takes the rays of librealsense back to the pixels they came from.
    pixels = np.random.default_rng(0).uniform((0, 0), (639, 479), (50, 2))
    points = np.array([rs.rs2_deproject_pixel_to_point(lens, pixel.tolist(), 0.7) for pixel in pixels])
    projected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), fitted.matrix, np.array(fitted.coefficients))
    errors = np.linalg.norm(projected.reshape(-1, 2) - pixels, axis=1)
    assert errors.max() < 0.1
    undistorted, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), fitted.matrix, np.zeros(5))
    assert np.linalg.norm(undistorted.reshape(-1, 2) - pixels, axis=1).max() > 1.0


@pytest.mark.parametrize(
    "changes", [{"fx": 0.0}, {"fy": -1.0}, {"ppx": float("nan")}, {"coefficients": (float("inf"), 0, 0, 0, 0)}]
)
def test_a_lens_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(CameraError, match="expected focal lengths above 0"):
        stream_calibration(intrinsics("none", **changes), unused)


@pytest.mark.parametrize(
    ("model", "coefficients"), [("plumb_bob", COEFFICIENTS), ("equidistant", (0.02, -0.01, 0.003, -0.001))]
)
def test_rays_lead_back_to_their_pixels(model: str, coefficients: tuple[float, ...]) -> None:
    lens = StreamCalibration(
        64, 48, np.array([[60.0, 0.0, 31.0], [0.0, 61.0, 24.0], [0.0, 0.0, 1.0]]), model, coefficients
    )
    seen = rays(lens)
    assert seen.shape == (48, 64, 3)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    pixels, _ = project(seen.reshape(-1, 1, 3), np.zeros(3), np.zeros(3), lens.matrix, np.array(coefficients))
    rows, columns = np.indices((48, 64))
    np.testing.assert_allclose(pixels.reshape(48, 64, 2), np.dstack([columns, rows]), atol=0.05)


@given(st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3), st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3))
def test_extrinsics_come_column_by_column_and_end_in_tf(vector: list[float], translation: list[float]) -> None:
    rotation = geometry.rotation_from_vector(vector).astype(np.float32)
    colour_from_depth = matrix_from_extrinsics(rotation.T.ravel().tolist(), translation)
    np.testing.assert_allclose(colour_from_depth[:3, :3], rotation, atol=1e-5)
    frames = {child: (parent, matrix) for parent, child, matrix in factory_frames("wrist", colour_from_depth)}

    def root_from(frame: str) -> Any:
        matrix = np.eye(4)
        while frame != "wrist_link":
            frame, step = frames[frame]
            matrix = step @ matrix
        return matrix

    depth, colour = root_from(optical_frame("wrist", "depth")), root_from(optical_frame("wrist", "color"))
    np.testing.assert_allclose(geometry.inverse(colour) @ depth, colour_from_depth, atol=1e-9)
    # The root looks along x, z up: what lies ahead of the depth camera lies along x.
    np.testing.assert_allclose(geometry.apply(depth, [0.0, 0.0, 1.0]), [1.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(geometry.apply(depth, [1.0, 0.0, 0.0]), [0.0, -1.0, 0.0], atol=1e-12)
    assert set(frames) == {f"wrist_{kind}" for kind in ("depth_frame", "color_frame")} | {
        f"wrist_{kind}_optical_frame" for kind in ("depth", "color")
    }


def test_extrinsics_that_are_no_rotation_are_refused() -> None:
    for rotation in ([0.0] * 9, [float("nan")] * 9, [1, 0, 0, 0, 1, 0, 0, 0, -1]):
        with pytest.raises(CameraError, match="expected a rotation"):
            matrix_from_extrinsics(rotation, [0.0, 0.0, 0.0])
