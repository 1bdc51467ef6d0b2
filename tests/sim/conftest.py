"""One noise-free cell for all tests of the simulator: building it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vipa_sim.camera import CameraConfig
from vipa_sim.cell import WRIST_POSE, Cell, CellConfig


@pytest.fixture(scope="session")
def shared_cell() -> Iterator[Cell]:
    """The cell itself; use ``cell``, which puts it back in order."""
    cell = Cell(CellConfig(noise=None, wrist_camera=CameraConfig(WRIST_POSE, 70.0)))
    yield cell
    cell.close()


@pytest.fixture
def cell(shared_cell: Cell) -> Iterator[Cell]:
    """The shared cell in layout 0, its cameras where they belong."""
    from vipa_sim.scene import sample_layout

    cameras = {name: shared_cell.camera_config(name) for name in shared_cell.camera_names}
    shared_cell.reset(sample_layout(0, False))
    yield shared_cell
    for name, settings in cameras.items():
        shared_cell.set_camera_pose(name, *settings.pose)
        shared_cell.set_camera_field_of_view(name, settings.vertical_field_of_view)
