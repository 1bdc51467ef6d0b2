"""Depth aligned to colour against projection by hand, on recordings of made-up cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.camera_recordings import CAMERA, SAME_LENS, Written, instants, picture, played, write_recording

from vipa_policy import geometry
from vipa_policy.camera.alignment import to_millimetres
from vipa_policy.camera.driver import FrameError
from vipa_policy.camera.filters import FilterSettings
from vipa_policy.camera.recording import RecordedCamera
from vipa_policy.geometry import Array

pytest.importorskip("pyrealsense2")

DISTORTED = replace(
    CAMERA,
    colour=replace(CAMERA.colour, model="brown_conrady", coefficients=(0.12, -0.2, 0.002, -0.003, 0.05)),
)
TURNED = replace(CAMERA, colour_from_depth=geometry.transform([0.05, 0.01, -0.02], [0.03, -0.05, 0.02, 1.0]))
COUNTING_IN_TENTHS = replace(CAMERA, depth_unit=0.0001)


def seen_by_colour(camera: RecordedCamera, depth: NDArray[np.uint16]) -> tuple[Array, NDArray[np.intp]]:
    """Points (n, 3) in m in the colour camera, of each depth pixel, and the colour pixels (n, 2) x, y that see them."""
    rows, columns = np.indices(depth.shape)
    rays = np.linalg.inv(camera.depth.matrix) @ np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    points = geometry.apply(camera.colour_from_depth, (rays * (depth.ravel() * camera.depth_unit)).T)
    pixels, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), camera.colour.matrix, np.array(camera.colour.coefficients)
    )
    return points, np.rint(pixels.reshape(-1, 2)).astype(int)


@pytest.mark.parametrize("camera", [CAMERA, DISTORTED, TURNED, COUNTING_IN_TENTHS])
def test_depth_is_where_the_factory_geometry_says_and_what_colour_would_measure(
    tmp_path: Path, camera: RecordedCamera
) -> None:
    (item,) = written = instants(camera, [1])
    write_recording(tmp_path / "a.db3", written, camera)
    _, (frame,) = played(tmp_path / "a.db3")
    points, pixels = seen_by_colour(camera, item.depth)
    inside = np.all((pixels >= 1) & (pixels < (159, 119)), axis=1)
    assert inside.mean() > 0.4
    column, row = pixels[inside].T
    difference = frame.depth[row, column] - 1000.0 * points[inside, 2]
    # The wall has 1 mm of noise, and a pixel may hold the nearer of two depth pixels beside each other.
    assert np.abs(difference).max() <= 5.0
    assert np.abs(np.mean(difference)) < 1.5


@pytest.mark.parametrize("unit", [0.001, 0.0001, 0.00025])
def test_with_one_sensor_for_both_depth_is_bit_exact_in_millimetres(tmp_path: Path, unit: float) -> None:
    camera = replace(SAME_LENS, depth_unit=unit)
    (item,) = written = instants(camera, [1])
    write_recording(tmp_path / "a.db3", written, camera)
    _, (frame,) = played(tmp_path / "a.db3")
    # Steps in a millimetre are whole here, so that halves are exact.
    expected = np.rint(item.depth / round(0.001 / unit))
    np.testing.assert_array_equal(frame.depth, expected)


def test_the_unknown_stays_unknown(tmp_path: Path) -> None:
    blind = [replace(item, depth=np.zeros_like(item.depth)) for item in instants(CAMERA, [1])]
    write_recording(tmp_path / "a.db3", blind)
    _, (frame,) = played(tmp_path / "a.db3")
    assert not frame.depth.any()


def test_decimated_depth_is_aligned_where_there_is_one_sensor_for_both(tmp_path: Path) -> None:
    flat = np.full((120, 160), 700, np.uint16)
    flat[:, :80] = 1500
    write_recording(tmp_path / "a.db3", [Written(1, 1.0, picture(SAME_LENS.colour, 1), flat)], SAME_LENS)
    _, (frame,) = played(tmp_path / "a.db3", filters=FilterSettings(decimation=2, nearest=0.3, farthest=1.0))
    assert frame.depth.shape == (120, 160)
    # Decimation moves an edge by a pixel or two.
    assert set(np.unique(frame.depth[4:-4, 84:-4])) == {700}
    assert set(np.unique(frame.depth[4:-4, 4:76])) == {0}


def test_depth_that_does_not_fit_is_unknown() -> None:
    raw = np.array([[0, 1, 65535]], np.uint16)
    np.testing.assert_array_equal(to_millimetres(raw, 0.001), raw)
    np.testing.assert_array_equal(to_millimetres(raw, 0.002), [[0, 2, 0]])
    np.testing.assert_array_equal(to_millimetres(raw, float(np.float32(0.0001))), [[0, 0, 6554]])
    assert not np.shares_memory(to_millimetres(raw, 0.001), raw)
    with pytest.raises(FrameError, match="depth unit above 0"):
        to_millimetres(raw, 0.0)
