"""The wrench on the hand: nothing in the air, the weight of what is held, the push of what is pushed against."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vipa_sim.cell import Cell, CellConfig
from vipa_sim.model import BLOCK_MASS
from vipa_sim.scene import sample_layout
from vipa_sim.wrench import ContactWrench

pytestmark = pytest.mark.sim
GRAVITY = 9.81


@pytest.fixture(scope="module")
def cell() -> Cell:
    return Cell(CellConfig(image_width=32, image_height=32, noise=None))


def pointing_down(x: float, y: float, z: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("x", np.pi).as_matrix()
    matrix[:3, 3] = (x, y, z)
    return matrix


def test_in_the_air_there_is_nothing_and_what_is_held_has_its_weight(cell: Cell) -> None:
    cell.reset(sample_layout(3, False))
    wrench = ContactWrench(cell.model, cell.data)
    cell.step(0.1)
    assert np.array_equal(wrench.measure()[0], np.zeros(3))
    block = next(item.name for item in cell.objects() if item.kind == "block")
    cell.teleport(cell.base_from_tip, 0.04, carry=block)
    cell.set_gripper(0.0)
    cell.step(0.6)
    force, torque = wrench.measure()
    assert force == pytest.approx([0.0, 0.0, -GRAVITY * BLOCK_MASS], abs=0.02)  # the squeeze cancels
    assert np.linalg.norm(torque) < 0.01


def test_pressing_on_the_table_pushes_up_about_the_tip(cell: Cell) -> None:
    cell.reset(sample_layout(3, False))
    wrench = ContactWrench(cell.model, cell.data)
    cell.teleport(pointing_down(0.3, -0.35, 0.03), 0.0)
    pushes = []
    for depth in np.linspace(0.02, -0.012, 60):
        cell.set_target(pointing_down(0.3, -0.35, float(depth)))
        cell.step(0.01)
        pushes.append(wrench.measure())
    force, torque = max(pushes, key=lambda push: float(push[0][2]))
    assert force[2] > 30.0
    assert force[2] > np.hypot(force[0], force[1])  # what slides pushes aside, too
    assert np.linalg.norm(torque) < 0.05 * force[2]  # fingers about the tip, centimetres away at most
