"""The cell as a driver would see it: smooth motion, a gripper that grips, frames that fit, snapshots that repeat."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vipa_policy import geometry
from vipa_sim.cell import SCENE, WRIST, Cell, CellConfig
from vipa_sim.driver import JOINT_ACCELERATION, JOINT_SPEED
from vipa_sim.experts import grasp_pose
from vipa_sim.scene import Layout, pointing_down, sample_layout, start_pose

pytestmark = pytest.mark.sim


def names_of(layout: Layout) -> list[str]:
    return [block.name for block in layout.blocks] + [bowl.name for bowl in layout.bowls]


def test_reset_rests_at_the_start_pose(cell: Cell) -> None:
    layout = sample_layout(7, True)
    cell.reset(layout)
    assert np.allclose(cell.base_from_tip, start_pose(layout), atol=1e-3)
    assert cell.gripper_width == pytest.approx(0.08)
    before = cell.objects()
    assert [item.name for item in before] == names_of(layout)
    cell.step(1.0)
    assert np.allclose(cell.base_from_tip, start_pose(layout), atol=1e-3)
    for old, new in zip(before, cell.objects(), strict=True):
        assert np.allclose(old.world_from_object, new.world_from_object, atol=1e-3), old.name


def test_time_never_jumps_back_and_steps_do_not_drift(cell: Cell) -> None:
    start = cell.time
    for _ in range(30):
        cell.step(1.0 / 15.0)
    assert cell.time - start == pytest.approx(2.0, abs=0.003)
    now = cell.time
    cell.reset(sample_layout(1, False))
    assert cell.time == pytest.approx(now)


def test_target_is_followed_closely(cell: Cell) -> None:
    """A target at the speed of the experts is followed with little delay, and met when it stops."""
    start = cell.base_from_tip
    for index in range(100):
        target = start.copy()
        target[0, 3] += 0.0012 * index
        assert cell.set_target(target)
        cell.step(0.01)
    lag = target[0, 3] - cell.base_from_tip[0, 3]
    assert 0.0 < lag < 0.009
    cell.step(0.5)
    assert np.linalg.norm(cell.base_from_tip[:3, 3] - target[:3, 3]) < 0.001
    assert geometry.rotation_angle(cell.base_from_tip, target) < 0.005


def test_jump_of_the_target_is_no_jump_of_the_arm(cell: Cell) -> None:
    cell.set_target(pointing_down(0.65, 0.15, 0.20, 0.3))
    previous, fastest = cell.joint_velocities[:7], 0.0
    for _ in range(400):
        cell.step(0.01)
        velocity = cell.joint_velocities[:7]
        assert np.all(np.abs(velocity - previous) <= 0.01 * JOINT_ACCELERATION * 1.5 + 0.01)
        previous, fastest = velocity, max(fastest, float(np.abs(velocity).max()))
    assert 0.2 < fastest <= JOINT_SPEED * 1.1
    assert np.linalg.norm(cell.base_from_tip[:3, 3] - (0.65, 0.15, 0.20)) < 0.002


def test_unreachable_target_goes_near_and_says_so(cell: Cell) -> None:
    assert not cell.set_target(pointing_down(1.6, 0.0, 0.3, 0.0))
    cell.step(1.0)
    assert np.all(np.isfinite(cell.joint_positions))
    cell.reset(sample_layout(0, False))
    before = cell.joint_positions
    assert not cell.teleport(pointing_down(1.6, 0.0, 0.3, 0.0), 0.08)
    assert np.array_equal(before, cell.joint_positions)


@pytest.mark.parametrize("bad", [np.full((4, 4), np.nan), np.zeros((4, 4)), np.eye(3)])
def test_what_is_no_pose_is_refused(cell: Cell, bad: np.ndarray) -> None:
    before = cell.joint_positions
    with pytest.raises(ValueError, match="rigid transform"):
        cell.set_target(bad)
    cell.step(0.1)
    assert np.allclose(before, cell.joint_positions, atol=1e-3)


def test_gripper_opens_closes_and_stalls_on_a_block(cell: Cell) -> None:
    cell.set_gripper(0.02)
    assert cell.gripper_moving
    cell.step(1.5)
    assert cell.gripper_reached
    assert not cell.gripper_moving
    cell.set_gripper(0.08, speed=0.05)
    cell.step(0.4)
    assert 0.03 < cell.gripper_width < 0.05
    cell.step(1.2)
    assert cell.gripper_reached
    block = cell.objects()[0]
    assert cell.teleport(grasp_pose(block), 0.08)
    cell.set_gripper(0.0)
    cell.step(1.2)
    assert cell.gripper_width == pytest.approx(block.size, abs=0.002)
    assert not cell.gripper_reached
    assert not cell.gripper_moving
    assert block.name in cell.hand_contacts()
    with pytest.raises(ValueError, match="finite width"):
        cell.set_gripper(float("nan"))


def test_carried_block_stays_in_the_hand(cell: Cell) -> None:
    block = cell.objects()[1]
    assert cell.teleport(pointing_down(0.5, 0.0, 0.15, 0.2), block.size, carry=block.name)
    cell.set_gripper(0.0)
    cell.step(1.0)
    held = cell.snapshot().find(block.name)
    assert np.linalg.norm(held.grasp_point - cell.base_from_tip[:3, 3]) < 0.005


def test_frames_chain_to_the_measured_tip_and_the_cameras(cell: Cell) -> None:
    cell.set_target(pointing_down(0.55, 0.1, 0.2, 0.3))
    cell.step(0.7)
    transforms = cell.link_transforms()
    edges = {edge.child: edge for edge in (*transforms.static, *transforms.dynamic)}
    assert len(edges) == len(transforms.static) + len(transforms.dynamic)

    def world_from(frame: str) -> np.ndarray:
        matrix = np.eye(4)
        while frame != "world":
            matrix = edges[frame].parent_from_child @ matrix
            frame = edges[frame].parent
        return matrix

    assert np.allclose(world_from("fr3_hand_tcp"), cell.base_from_tip, atol=1e-6)
    for name in (SCENE, WRIST):
        assert np.allclose(world_from(cell.optical_frame(name)), cell.world_from_camera(name), atol=1e-9)
    fingers = [world_from(name)[:3, 3] for name in ("fr3_leftfinger", "fr3_rightfinger")]
    assert np.linalg.norm(fingers[0] - fingers[1]) == pytest.approx(cell.gripper_width, abs=1e-6)
    still = cell.link_transforms().static
    cell.step(0.3)
    for before, after in zip(still, cell.link_transforms().static, strict=True):
        assert np.allclose(before.parent_from_child, after.parent_from_child, atol=1e-9), before.child
    assert cell.joint_names[0] == "fr3_joint1"
    assert cell.joint_positions.shape == cell.joint_velocities.shape == (len(cell.joint_names),)


def test_snapshot_goes_on_and_draws_identically(cell: Cell) -> None:
    cell.reset(sample_layout(5, False))
    cell.set_target(grasp_pose(cell.objects()[0]))
    cell.step(0.5)
    state = cell.state()
    picture = cell.capture(SCENE, 123)
    cell.step(0.3)
    end = cell.joint_positions
    cell.reset(sample_layout(9, True))
    cell.set_camera_pose(SCENE, 1.0, 0.1, 0.6, 0.0, 0.6, 3.1)
    cell.set_state(state)
    again = cell.capture(SCENE, 123)
    assert np.array_equal(picture.rgb, again.rgb)
    assert np.array_equal(picture.depth, again.depth)
    cell.step(0.3)
    assert np.array_equal(end, cell.joint_positions)


def test_parked_objects_are_out_of_sight_and_touch(cell: Cell) -> None:
    layout = sample_layout(0, False)
    names = {item.name for item in cell.objects()}
    assert names == set(names_of(layout))
    absent = next(name for name in ("red_block", "green_block", "yellow_block") if name not in names)
    before = cell.data.body(absent).xpos.copy()
    cell.step(0.5)
    assert before[2] < -1.0
    assert np.allclose(before, cell.data.body(absent).xpos, atol=1e-6)
    with pytest.raises(KeyError, match="there are"):
        cell.snapshot().find(absent)


def test_drawing_in_another_thread_is_refused_in_words(cell: Cell) -> None:
    cell.render(SCENE)
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="one thread"):
        pool.submit(cell.render, SCENE).result()


def test_bad_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="16 x 16"):
        CellConfig(image_width=4)
    with pytest.raises(ValueError, match="timestep"):
        CellConfig(timestep=0.01, control_period=0.002)
