"""The fast transforms are the plain ones."""

import numpy as np
import pytest

from vipa_policy.geometry import quaternion_of
from vipa_sim.cell import Cell, CellConfig
from vipa_sim.frames import MovingFrames
from vipa_sim.scene import pointing_down, sample_layout

pytestmark = pytest.mark.sim


def test_equal_to_the_cells_own_in_motion() -> None:
    cell = Cell(CellConfig(image_width=32, image_height=24))
    frames = MovingFrames(cell)
    for seed in range(3):
        cell.reset(sample_layout(seed, False))
        cell.set_target(pointing_down(0.5 + 0.05 * seed, 0.1 * seed - 0.1, 0.15, 0.4 * seed))
        cell.set_gripper(0.03 * seed)
        for _ in range(3):
            cell.step(0.1)
            expected = cell.link_transforms().dynamic
            assert frames.edges == tuple((edge.parent, edge.child) for edge in expected)
            matrices = np.stack([edge.parent_from_child for edge in expected])
            positions, quaternions = frames.read()
            assert positions == pytest.approx(matrices[:, :3, 3], abs=1e-9)
            # q and -q are the same rotation.
            same = np.abs(np.sum(quaternions * quaternion_of(matrices), axis=1))
            assert same == pytest.approx(np.ones(len(expected)), abs=1e-9)
            assert np.linalg.norm(quaternions, axis=1) == pytest.approx(np.ones(len(expected)))
