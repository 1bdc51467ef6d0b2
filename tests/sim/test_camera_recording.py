"""Rendered frames through librealsense's recorder and pipeline: what the driver reads is what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.camera_recordings import played

from vipa_sim.camera_recording import frames, record
from vipa_sim.cell import SCENE, Cell, CellConfig
from vipa_sim.scene import sample_layout

pytestmark = pytest.mark.sim
pytest.importorskip("pyrealsense2")


def test_rendered_frames_come_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "cell.db3"
    assert record(path, 0.4, 160, 120, 15, seed=3) == 6
    cell = Cell(CellConfig(image_width=160, image_height=120))
    cell.reset(sample_layout(3, False))
    drawn = frames(cell, 6, 15)
    intrinsics = cell.intrinsics(SCENE)
    cell.close()
    driver, read = played(path, range(1, 7))
    for frame, (rgb, depth) in zip(read, drawn, strict=True):
        np.testing.assert_array_equal(frame.rgb, rgb)
        np.testing.assert_array_equal(frame.depth, depth)
    description = driver.open()
    driver.close()
    np.testing.assert_allclose(description.colour.matrix, intrinsics, rtol=1e-6)
