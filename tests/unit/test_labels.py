"""Labels are the poses really reached at the moments the contract names, in the camera's frame at the image."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.contract import ActionContract, CameraSpec
from vipa_policy.errors import DatasetError
from vipa_training.labels import chunk_from_trajectory, due_stamps

Place: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND + 7


def contract(period: float = 1 / 15, horizon: int = 16, mode: str = "absolute") -> ActionContract:
    return ActionContract(
        reference_camera="scene",
        tip_frame="tip",
        control_period=period,
        horizon=horizon,
        cameras=(CameraSpec("scene", 112, 112),),
        proprioception=(),
        mode=mode,
    )


vectors = st.tuples(*[st.floats(-0.5, 0.5)] * 3)
places = st.tuples(vectors, vectors)


def pose(place: Place) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = place[0]
    matrix[:3, :3] = Rotation.from_rotvec(place[1]).as_matrix()
    return matrix


@settings(max_examples=60)
@given(
    start=places,
    motion=places,
    camera=places,
    rate=st.integers(20, 200),
    offset=st.integers(0, SECOND),
    period=st.floats(0.01, 0.2),
)
def test_constant_motion_is_labelled_exactly(
    start: Place, motion: Place, camera: Place, rate: int, offset: int, period: float
) -> None:
    def at(seconds: np.ndarray) -> np.ndarray:
        matrices = np.tile(pose(start), (len(seconds), 1, 1))
        matrices[:, :3, 3] += np.outer(seconds, motion[0])
        matrices[:, :3, :3] = matrices[:, :3, :3] @ Rotation.from_rotvec(np.outer(seconds, motion[1])).as_matrix()
        return matrices

    # Long enough that no row lies beyond its end.
    stamps = START + np.arange(int(6 * rate)) * (SECOND // rate)
    poses = at((stamps - START) / SECOND)
    widths = 0.08 - 0.01 * (stamps - START) / SECOND
    base_from_camera = pose(camera)
    got, gripper, valid = chunk_from_trajectory(
        stamps, poses, widths, START + offset, base_from_camera, contract(period)
    )
    seconds = np.array([round(offset + (row + 1) * period * SECOND) / SECOND for row in range(16)])
    np.testing.assert_allclose(base_from_camera @ got, at(seconds), atol=1e-7)
    np.testing.assert_allclose(gripper, 0.08 - 0.01 * seconds, atol=1e-9)
    assert valid.all()


@settings(max_examples=30)
@given(first=places, second=places, tip=places)
def test_only_the_camera_at_the_image_matters(first: Place, second: Place, tip: Place) -> None:
    """The same motion seen by two cameras is the same motion in the base frame, wherever they go later."""
    stamps = START + np.arange(50) * (SECOND // 50)
    poses = np.stack([pose(tip) @ geometry.transform([0.001 * row, 0, 0], [0, 0, 0, 1]) for row in range(50)])
    chunks = [
        pose(camera) @ chunk_from_trajectory(stamps, poses, np.full(50, 0.05), START, pose(camera), contract())[0]
        for camera in (first, second)
    ]
    np.testing.assert_allclose(chunks[0], chunks[1], atol=1e-9)


def test_rows_beyond_the_end_hold_and_are_not_valid() -> None:
    stamps = START + np.arange(26) * (SECOND // 25)
    poses = np.stack([geometry.transform([0.1 * row, 0, 0], [0, 0, 0, 1]) for row in range(26)])
    got, gripper, valid = chunk_from_trajectory(
        stamps, poses, np.linspace(0.08, 0.0, 26), START + SECOND // 2, np.eye(4), contract(0.1, 8)
    )
    assert valid.tolist() == [True] * 5 + [False] * 3
    np.testing.assert_allclose(got[4:, 0, 3], 2.5, atol=1e-6)
    np.testing.assert_allclose(gripper[4:], 0.0, atol=1e-9)


def test_gripper_stays_in_the_contract_range() -> None:
    stamps = START + np.arange(3) * SECOND
    _, gripper, _ = chunk_from_trajectory(
        stamps, np.tile(np.eye(4), (3, 1, 1)), [0.0801, 0.0801, -0.001], START, np.eye(4), contract(1.0, 2)
    )
    np.testing.assert_allclose(gripper, [0.08, 0.0])


def test_first_row_is_one_period_after_the_image() -> None:
    assert due_stamps(START, contract(0.05, 3)).tolist() == [START + step * SECOND // 20 for step in (1, 2, 3)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"stamps_ns": [START + 5, START]}, "rise"),
        ({"stamps_ns": [START, START]}, "rise"),
        ({"stamp_ns": START - SECOND}, "1.000 s before it begins"),
        ({"gripper": [0.05]}, r"\(2,\)"),
        ({"stamps_ns": [], "base_from_tip": np.zeros((0, 4, 4)), "gripper": []}, "n >= 1"),
        ({"contract": contract(mode="delta")}, "delta"),
    ],
)
def test_bad_trajectories_are_refused(change: dict, expected: str) -> None:
    arguments = {
        "stamps_ns": [START, START + 5],
        "base_from_tip": np.tile(np.eye(4), (2, 1, 1)),
        "gripper": [0.05, 0.05],
        "stamp_ns": START,
        "base_from_camera": np.eye(4),
        "contract": contract(),
    }
    with pytest.raises(DatasetError, match=expected):
        chunk_from_trajectory(**(arguments | change))
