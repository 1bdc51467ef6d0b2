"""The stand-in for MoveIt Servo's motion, on the simulated arm."""

from __future__ import annotations

import numpy as np
import pytest

from vipa_sim.cell import Cell, CellConfig
from vipa_sim.scene import sample_layout
from vipa_sim.servo import ANGULAR_SPEED, LINEAR_SPEED, ServoMotion

PERIOD = 0.01
SETTLING = 0.5  # s in which the arm catches up with its aim


@pytest.fixture(scope="module")
def cell() -> Cell:
    made = Cell(CellConfig(image_width=64, image_height=48))
    made.reset(sample_layout(3, False))
    return made


@pytest.fixture
def motion(cell: Cell) -> ServoMotion:
    cell.reset(sample_layout(3, False))
    return ServoMotion(cell)


def test_a_twist_is_the_velocity_of_the_tip_along_the_axes_of_the_base(cell: Cell, motion: ServoMotion) -> None:
    before = cell.base_from_tip
    for _ in range(50):
        assert motion.twist((0.1, -0.05, -0.08), (0.0, 0.0, 0.4), PERIOD)
        cell.step(PERIOD)
    cell.step(SETTLING)
    after = cell.base_from_tip
    np.testing.assert_allclose(after[:3, 3] - before[:3, 3], [0.05, -0.025, -0.04], atol=2e-3)
    turn = after[:3, :3] @ before[:3, :3].T
    assert np.arctan2(turn[1, 0], turn[0, 0]) == pytest.approx(0.2, abs=0.01)


def test_speeds_are_no_more_than_servo_takes(cell: Cell, motion: ServoMotion) -> None:
    before = cell.base_from_tip
    for _ in range(10):
        assert motion.twist((0.0, 5.0, 0.0), (0.0, 0.0, 9.0), PERIOD)
        cell.step(PERIOD)
    cell.step(SETTLING)
    way = np.linalg.norm(cell.base_from_tip[:3, 3] - before[:3, 3])
    turn = cell.base_from_tip[:3, :3] @ before[:3, :3].T
    assert way == pytest.approx(10 * PERIOD * LINEAR_SPEED, abs=2e-3)
    assert np.arctan2(turn[1, 0], turn[0, 0]) == pytest.approx(10 * PERIOD * ANGULAR_SPEED, abs=0.01)


def test_a_pose_is_approached_and_kept(cell: Cell, motion: ServoMotion) -> None:
    goal = cell.base_from_tip
    goal[:3, 3] += [0.05, 0.06, -0.05]
    for _ in range(60):
        assert motion.approach(goal, PERIOD)
        cell.step(PERIOD)
    cell.step(SETTLING)
    np.testing.assert_allclose(cell.base_from_tip[:3, 3], goal[:3, 3], atol=2e-3)


def test_a_step_out_of_reach_is_not_taken(cell: Cell, motion: ServoMotion) -> None:
    refused = False
    for _ in range(400):
        refused = refused or not motion.twist((LINEAR_SPEED, 0.0, 0.0), (0.0, 0.0, 0.0), PERIOD)
        cell.step(PERIOD)
    cell.step(SETTLING)
    assert refused
    assert motion.twist((-0.1, 0.0, 0.0), (0.0, 0.0, 0.0), PERIOD)
