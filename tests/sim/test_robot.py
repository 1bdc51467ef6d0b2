"""Inverse kinematics over the workspace, and the rotations it is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.control.kinematics import Kinematics
from vipa_sim.cell import Cell
from vipa_sim.description import robot_description
from vipa_sim.model import HOME
from vipa_sim.robot import ArmKinematics
from vipa_sim.rotations import rotation_from_vector, rotation_vector
from vipa_sim.scene import pointing_down

pytestmark = pytest.mark.sim


@pytest.fixture(scope="module")
def kinematics(shared_cell: Cell) -> ArmKinematics:
    return ArmKinematics(shared_cell.model)


def test_every_pose_of_the_workspace_is_reached(kinematics: ArmKinematics) -> None:
    random = np.random.default_rng(0)
    for _ in range(120):
        x, y, z = random.uniform((0.35, -0.20, 0.01), (0.75, 0.20, 0.28))
        pose = pointing_down(x, y, z, float(random.uniform(-0.6, 0.6)))
        joints, reached = kinematics.solve(pose)
        assert reached, (x, y, z)
        assert np.all(joints >= kinematics.lower)
        assert np.all(joints <= kinematics.upper)
        found = kinematics.forward(joints)
        assert np.linalg.norm(found[:3, 3] - pose[:3, 3]) < 2e-4
        assert geometry.rotation_angle(found, pose) < 1e-3


def test_tilted_poses_are_reached(kinematics: ArmKinematics) -> None:
    random = np.random.default_rng(1)
    for _ in range(40):
        pose = pointing_down(0.5, 0.0, 0.25, 0.0)
        pose[:3, :3] = rotation_from_vector(random.uniform(-0.3, 0.3, 3)) @ pose[:3, :3]
        joints, reached = kinematics.solve(pose)
        assert reached
        assert geometry.rotation_angle(kinematics.forward(joints), pose) < 1e-3


def test_far_pose_is_reported_and_finite(kinematics: ArmKinematics) -> None:
    joints, reached = kinematics.solve(pointing_down(2.0, 0.0, 0.1, 0.0))
    assert not reached
    assert np.all(np.isfinite(joints))


def test_solution_depends_on_the_pose_alone(kinematics: ArmKinematics) -> None:
    pose = pointing_down(0.6, 0.1, 0.1, 0.2)
    first, _ = kinematics.solve(pose)
    kinematics.solve(pointing_down(0.4, -0.2, 0.2, -0.5))
    second, _ = kinematics.solve(pose)
    assert np.array_equal(first, second)


def test_the_published_description_is_this_arm(kinematics: ArmKinematics) -> None:
    """The kinematics that the product makes of the URDF: same poses, same limits, and no pose that it misses."""
    described = Kinematics(robot_description(), "fr3_link0", "fr3_hand_tcp")
    random = np.random.default_rng(3)
    for _ in range(100):
        joints = random.uniform(described.lower, described.upper)
        assert np.allclose(described.forward(joints), kinematics.forward(joints), atol=1e-6)
    for _ in range(40):
        x, y, z = random.uniform((0.30, -0.30, 0.01), (0.75, 0.30, 0.40))
        pose = pointing_down(x, y, z, float(random.uniform(-0.9, 0.9)))
        if kinematics.solve(pose)[1]:
            assert described.solve(pose, np.array(HOME)).reached, (x, y, z)


def test_rotation_vectors_match_scipy() -> None:
    random = np.random.default_rng(2)
    for angle in (0.0, 1e-9, 1e-7, 1e-4, 0.5, 2.0, 3.1, math.pi - 1e-4):
        axis = random.normal(size=3)
        vector = axis / np.linalg.norm(axis) * angle
        expected = Rotation.from_rotvec(vector).as_matrix()
        assert np.allclose(rotation_from_vector(vector), expected, atol=1e-12)
        assert np.allclose(rotation_vector(expected), vector, atol=1e-7)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.6, 0.8)])
def test_half_turn_keeps_its_axis(axis: tuple[float, float, float]) -> None:
    half_turn = Rotation.from_rotvec(math.pi * np.array(axis)).as_matrix()
    assert np.allclose(rotation_from_vector(rotation_vector(half_turn)), half_turn, atol=1e-6)
