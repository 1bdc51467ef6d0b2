"""librealsense's filters as the driver sets them, on recordings of one sensor for colour and depth: no alignment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.camera_recordings import SAME_LENS, instants, played, write_recording

from vipa_policy.camera.filters import FilterSettings

pytest.importorskip("pyrealsense2")

NUMBERS = range(1, 9)
HOLE = (slice(40, 44), slice(50, 54))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slanted wall from 0.6 to 0.7 m with 1 mm of noise and a hole."""
    path = tmp_path_factory.mktemp("filters") / "a.db3"
    written = []
    for item in instants(SAME_LENS, NUMBERS):
        depth = item.depth.copy()
        depth[HOLE] = 0
        written.append(replace(item, depth=depth))
    write_recording(path, written, SAME_LENS)
    return path


def last_depth(path: Path, settings: FilterSettings) -> NDArray[np.uint16]:
    _, frames = played(path, NUMBERS, filters=settings)
    return frames[-1].depth


def noise(depth: NDArray[np.uint16]) -> float:
    """Standard deviation in mm from the wall."""
    rows, columns = np.indices(depth.shape)
    known = depth > 0
    return float(np.std(depth[known] - (600.0 + 0.5 * columns + 0.3 * rows)[known]))


def test_without_filters_depth_is_as_it_was(recording: Path) -> None:
    depth = last_depth(recording, FilterSettings())
    assert noise(depth) > 0.8
    assert (depth == 0).sum() == 16


# A made-up camera has no stereo baseline, so the filters run on whole steps of depth, not on disparity: the spatial
# one, which rounds at every pixel, then moves depth by some steps. With a real camera it does not.
@pytest.mark.parametrize(
    ("settings", "moved"), [(FilterSettings(spatial=True), 6.0), (FilterSettings(temporal=True), 1.5)]
)
def test_smoothing_makes_depth_quieter_and_leaves_it_there(
    recording: Path, settings: FilterSettings, moved: float
) -> None:
    plain, smooth = last_depth(recording, FilterSettings()), last_depth(recording, settings)
    assert noise(smooth) < 0.9 * noise(plain)
    known = (plain > 0) & (smooth > 0)
    assert abs(np.mean(smooth[known].astype(float) - plain[known])) < moved


def test_depth_out_of_range_is_unknown(recording: Path) -> None:
    depth = last_depth(recording, FilterSettings(nearest=0.62, farthest=0.65))
    assert (depth > 0).any()
    assert depth[depth > 0].min() >= 620
    assert depth.max() <= 650


def test_holes_are_filled_only_where_that_is_asked_for(recording: Path) -> None:
    depth = last_depth(recording, FilterSettings(hole_filling=True))
    assert (depth > 0).all()


def test_decimation_keeps_the_size_of_the_picture(recording: Path) -> None:
    depth = last_depth(recording, FilterSettings(decimation=2))
    assert depth.shape == (120, 160)
    assert noise(depth[2:-2, 2:-2]) < 3.0
