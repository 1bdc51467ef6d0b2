"""A calibrated camera hangs in TF by the root of its own tree, and by one parent only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.calibration.mounting import Mount, StaticTree
from vipa_policy.errors import CalibrationError

OPTICAL, COLOUR, LINK = "camera_color_optical_frame", "camera_color_frame", "camera_link"


def random_pose(random: np.random.Generator) -> np.ndarray:
    return geometry.transform(random.normal(size=3), Rotation.random(random_state=random).as_quat())


def factory_tree(random: np.random.Generator) -> list[tuple[str, str, np.ndarray]]:
    """The edges that a camera's driver publishes."""
    return [(COLOUR, OPTICAL, random_pose(random)), (LINK, COLOUR, random_pose(random))]


@given(seed=st.integers(0, 2**32 - 1), order=st.permutations([0, 1]))
def test_the_optical_frame_comes_out_where_it_was_calibrated(seed: int, order: list[int]) -> None:
    random = np.random.default_rng(seed)
    calibrated, edges = random_pose(random), factory_tree(random)
    mount = Mount("fr3_link0", LINK, OPTICAL, calibrated)
    assert mount.parent_from_root is None
    for index in order:
        mount.learn(*edges[index])
    # Down the tree again, by the driver's own edges.
    optical = mount.parent_from_root @ edges[1][2] @ edges[0][2]
    assert np.allclose(optical, calibrated, atol=1e-9)
    assert mount.rival == ""


def test_a_camera_without_a_tree_hangs_by_itself() -> None:
    calibrated = random_pose(np.random.default_rng(0))
    mount = Mount("fr3_hand", OPTICAL, OPTICAL, calibrated)
    assert np.array_equal(mount.parent_from_root, calibrated)


@pytest.mark.parametrize("parent", ["world", "fr3_link0"])
def test_another_parent_of_the_root_is_a_rival(parent: str) -> None:
    random = np.random.default_rng(1)
    mount = Mount("fr3_link0", LINK, OPTICAL, random_pose(random))
    for edge in factory_tree(random):
        mount.learn(*edge)
    mount.learn("fr3_link0", LINK, mount.parent_from_root.copy())  # its own voice
    assert mount.rival == ""
    # The same place below another parent is no less another parent.
    mount.learn(parent, LINK, mount.parent_from_root.copy() if parent == "world" else random_pose(random))
    assert f"below {parent} by somebody else" in mount.rival


def test_the_root_is_found_below_the_robot() -> None:
    random = np.random.default_rng(2)
    tree = StaticTree()
    for edge in factory_tree(random):
        tree.learn(*edge)
    assert tree.root_of(OPTICAL, ("fr3_link0", "fr3_hand")) == LINK
    # In the simulated cell the camera hangs in the world already, and so does the robot.
    tree.learn("world", LINK, np.eye(4))
    tree.learn("world", "fr3_link0", np.eye(4))
    assert tree.root_of(OPTICAL, ("fr3_link0", "fr3_hand")) == LINK
    tree.learn("fr3_hand", LINK, np.eye(4))
    assert tree.root_of(OPTICAL, ("fr3_link0", "fr3_hand")) == LINK
    assert StaticTree().root_of(OPTICAL, ("fr3_link0",)) == OPTICAL
    with pytest.raises(CalibrationError, match="a frame of the robot"):
        tree.root_of("fr3_hand", ("fr3_link0", "fr3_hand"))


def test_circles_are_refused() -> None:
    tree = StaticTree()
    tree.learn("a", "b", np.eye(4))
    tree.learn("b", "a", np.eye(4))
    with pytest.raises(CalibrationError, match="in a circle"):
        tree.root_of("a", ())
    assert tree.root_from_camera("c", "a") is None
