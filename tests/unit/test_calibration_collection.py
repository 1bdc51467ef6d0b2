"""The procedure of a calibration: what is kept, what is refused, what is asked for, and when it is enough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.board_scene import BOARD, LENS, Rig

from vipa_policy import geometry
from vipa_policy.calibration.board import BoardView
from vipa_policy.calibration.collection import Collection, is_still
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.errors import BoardNotSeen, CalibrationError, DegenerateMotion


def fill(collection: Collection, rig: Rig, count: int) -> None:
    while len(collection) < count:
        item = rig.sample(rig.random.normal(0.0, 0.35, 3))
        if collection.is_new(item.base_from_hand):
            collection.add(item.view, LENS, item.base_from_hand)


@pytest.mark.parametrize("mode", list(Mode))
def test_collected_until_nothing_is_missing_then_solved(mode: Mode) -> None:
    rig, collection = Rig(mode, 0), Collection(mode, BOARD)
    before = collection.diversity()
    assert len(before.blocking) == 2
    assert len(before.missing) == 5
    while collection.diversity().missing and len(collection) < 40:
        fill(collection, rig, len(collection) + 1)
    assert 15 <= len(collection) < 30
    solution, held_out, lens = collection.solve()
    assert lens is LENS
    assert np.linalg.norm(solution.parent_from_camera[:3, 3] - rig.parent_from_camera[:3, 3]) < 0.001
    assert held_out.reprojection < 0.3


def test_the_same_pose_is_not_taken_twice() -> None:
    rig, collection = Rig(Mode.EYE_IN_HAND, 1), Collection(Mode.EYE_IN_HAND, BOARD)
    item = rig.sample((0.1, 0.2, 0.0))
    collection.add(item.view, LENS, item.base_from_hand)
    near = item.base_from_hand.copy()
    near[:3, 3] += 0.01
    with pytest.raises(CalibrationError, match="this pose is known"):
        collection.add(item.view, LENS, near)
    near[:3, 3] += 0.04
    assert collection.is_new(near)
    turned = item.base_from_hand.copy()
    turned[:3, :3] = turned[:3, :3] @ Rotation.from_rotvec([0.0, 0.12, 0.0]).as_matrix()
    assert collection.is_new(turned)


def test_what_cannot_be_used_is_not_kept() -> None:
    rig, collection = Rig(Mode.EYE_IN_HAND, 2), Collection(Mode.EYE_IN_HAND, BOARD)
    first, second = rig.samples(2)
    collection.add(first.view, LENS, first.base_from_hand)
    for broken in (np.full((4, 4), np.nan), np.zeros((4, 4)), np.eye(3), np.diag([1.0, 1.0, -1.0, 1.0])):
        with pytest.raises(CalibrationError, match="rigid pose"):
            collection.add(second.view, LENS, broken)
    with pytest.raises(CalibrationError, match="from 640 x 480 px to 320 x 240 px"):
        collection.add(second.view, replace(LENS, width=320, height=240), second.base_from_hand)
    far = second.pose.camera_from_board.copy()
    far[2, 3] = 5.0
    with pytest.raises(BoardNotSeen):
        collection.add(rig.view(far, 0.1), LENS, second.base_from_hand)
    assert len(collection) == 1


def test_dropping_and_clearing() -> None:
    rig, collection = Rig(Mode.EYE_TO_HAND, 3), Collection(Mode.EYE_TO_HAND, BOARD)
    fill(collection, rig, 3)
    kept = collection.samples[:2]
    collection.drop_last()
    assert collection.samples == kept
    collection.clear()
    with pytest.raises(CalibrationError, match="no sample to drop"):
        collection.drop_last()
    with pytest.raises(DegenerateMotion, match="got 0"):
        collection.solve()


def test_stray_corners_are_left_out() -> None:
    rig, collection = Rig(Mode.EYE_TO_HAND, 4), Collection(Mode.EYE_TO_HAND, BOARD)
    item = rig.sample((0.1, 0.1, 0.0))
    pixels = item.view.pixels.copy()
    pixels[[3, 11]] += (0.8, -0.6)
    collection.add(BoardView(item.view.ids, pixels), LENS, item.base_from_hand)
    kept = collection.samples[0].view.ids.tolist()
    assert 3 not in kept
    assert 11 not in kept
    assert len(kept) >= BOARD.corner_count - 3


def test_rest_and_motion_are_told_apart() -> None:
    rest = geometry.transform((0.4, 0.0, 0.3), (1.0, 0.0, 0.0, 0.0))
    jitter = rest.copy()
    jitter[:3, 3] += 0.0001
    moved = rest.copy()
    moved[:3, 3] += 0.001
    turned = rest.copy()
    turned[:3, :3] = turned[:3, :3] @ Rotation.from_rotvec([0.0, 0.0, 0.005]).as_matrix()
    assert is_still([rest, jitter, rest])
    assert not is_still([rest, jitter, moved])
    assert not is_still([rest, turned])
