"""The camera: depth lies on the true surfaces, the workspace is in the picture, noise is seeded and cheap to repeat."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
import pytest

from vipa_policy import geometry
from vipa_sim import camera as rgbd
from vipa_sim.camera import NoiseConfig
from vipa_sim.cell import SCENE, WRIST, Cell
from vipa_sim.experts import grasp_pose
from vipa_sim.meshes import cluster_vertices
from vipa_sim.model import VISIBLE_GROUP
from vipa_sim.scene import COLOURS, sample_layout

pytestmark = pytest.mark.sim


def cast_ray(cell: Cell, origin: np.ndarray, direction: np.ndarray) -> tuple[float, int]:
    """Return the distance in m along a unit ray to what is drawn there, and its geom."""
    group = np.zeros(6, np.uint8)
    group[VISIBLE_GROUP] = 1
    hit = np.array([-1], np.int32)
    distance = mujoco.mj_ray(cell.model, cell.data, origin, direction, group, 1, -1, hit)
    return float(distance), int(hit[0])


@pytest.mark.parametrize("name", [SCENE, WRIST])
def test_depth_lies_on_the_true_surfaces(cell: Cell, name: str) -> None:
    cell.reset(sample_layout(3, True))
    if name == WRIST:
        assert cell.teleport(grasp_pose(cell.objects()[0]), 0.08)
    _, exact = cell.render(name)
    view = cell.capture(name)
    world_from_camera = cell.world_from_camera(name)
    inverse_intrinsics = np.linalg.inv(cell.intrinsics(name))
    random = np.random.default_rng(0)
    kinds, errors = set(), []
    # Away from edges: there a pixel and its ray may fall on different sides.
    smooth = np.abs(exact - np.roll(exact, 1, 0)) + np.abs(exact - np.roll(exact, -1, 0))
    smooth += np.abs(exact - np.roll(exact, 1, 1)) + np.abs(exact - np.roll(exact, -1, 1))
    rows, columns = np.nonzero((smooth < 0.03) & (exact > 0.0) & (exact < 2.0))
    for index in random.choice(len(rows), 1500, replace=False):
        row, column = rows[index], columns[index]
        if row in (0, 239) or column in (0, 319):
            continue
        ray = inverse_intrinsics @ (column, row, 1.0)
        direction = world_from_camera[:3, :3] @ ray
        length = float(np.linalg.norm(direction))
        distance, geom = cast_ray(cell, world_from_camera[:3, 3].copy(), direction / length)
        assert distance > 0.0
        errors.append(distance / length - exact[row, column])
        kinds.add(cell.model.body(cell.model.geom_bodyid[geom]).name)
        # The topic's whole millimetres add half of one.
        assert abs(view.depth[row, column] - exact[row, column]) <= 0.0005 + 1e-6
    assert np.percentile(np.abs(errors), 99.0) < 0.001
    assert np.mean(np.abs(errors) < 0.001) > 0.99
    assert "world" in kinds, "rays should have met the table"
    if name == SCENE:
        assert any(kind.endswith("_block") for kind in kinds)
        assert any(kind.startswith("fr3_link") or kind == "hand" for kind in kinds)


def test_blocks_back_project_onto_themselves(cell: Cell) -> None:
    """Every block pixel, found by its depth alone, lies on the block's faces within a millimetre."""
    cell.reset(sample_layout(4, False))
    _, depth = cell.render(SCENE)
    world_from_camera, intrinsics = cell.world_from_camera(SCENE), cell.intrinsics(SCENE)
    rows, columns = np.nonzero(depth)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=1) @ np.linalg.inv(intrinsics).T
    points = geometry.apply(world_from_camera, rays * depth[rows, columns][:, None])
    for item in cell.objects():
        if item.kind != "block":
            continue
        local = geometry.apply(geometry.inverse(item.world_from_object), points)
        half = item.size / 2
        near = np.all(np.abs(local) < half + 0.004, axis=1) & (local[:, 2] > -half + 0.004)
        assert near.sum() > 60, item.name
        surface = np.abs(np.max(np.abs(local[near]), axis=1) - half)
        assert np.percentile(surface, 98) < 0.001


def test_workspace_lies_in_token_cube_and_central_crop(cell: Cell) -> None:
    camera_from_world = geometry.inverse(cell.world_from_camera(SCENE))
    intrinsics = cell.intrinsics(SCENE)
    corners = list(itertools.product((0.35, 0.75), (-0.20, 0.20), (0.0, 0.35)))
    # Blocks at the edge of the workspace reach beyond it.
    corners += list(itertools.product((0.322, 0.778), (-0.228, 0.228), (0.0, 0.04)))
    points = geometry.apply(camera_from_world, corners)
    assert np.all(np.abs(points[:, :2]) <= 0.5)
    assert np.all((points[:, 2] >= 0.0) & (points[:, 2] <= 1.0))
    pixels = points @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    assert np.all((pixels[:, 0] >= 40.0) & (pixels[:, 0] <= 279.0))
    assert np.all((pixels[:, 1] >= 0.0) & (pixels[:, 1] <= 239.0))


def test_block_in_the_hand_stays_visible(cell: Cell) -> None:
    for seed in range(5):
        cell.reset(sample_layout(seed, False))
        for item in cell.objects():
            if item.kind != "block":
                continue
            cell.reset(sample_layout(seed, False))
            cell.teleport(grasp_pose(item), 0.08)
            rgb, _ = cell.render(SCENE)
            pixel = cell.intrinsics(SCENE) @ geometry.apply(
                geometry.inverse(cell.world_from_camera(SCENE)), item.grasp_point
            )
            column, row = np.rint(pixel[:2] / pixel[2]).astype(int)
            patch = rgb[row - 6 : row + 7, column - 6 : column + 7].reshape(-1, 3).astype(float)
            hue = patch / np.maximum(np.linalg.norm(patch, axis=1, keepdims=True), 1.0)
            named = np.array(COLOURS[item.colour])
            close = hue @ (named / np.linalg.norm(named)) > 0.97
            assert close.sum() > 20, (seed, item.name)


def test_intrinsics_of_a_centred_camera() -> None:
    matrix = rgbd.intrinsics(320, 240, 50.0)
    assert matrix[0, 2] == 159.5
    assert matrix[1, 2] == 119.5
    assert np.isclose(2 * np.degrees(np.arctan(120.0 / matrix[1, 1])), 50.0)


def test_noise_is_a_function_of_seed_camera_and_stamp(cell: Cell) -> None:
    rgb, depth = cell.render(SCENE)
    noise = NoiseConfig()
    first = rgbd.add_noise(rgb, depth, noise, 5, SCENE, 1_000_000_000)
    again = rgbd.add_noise(rgb.copy(), depth.copy(), noise, 5, SCENE, 1_000_000_000)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    for seed, name, stamp in ((6, SCENE, 1_000_000_000), (5, WRIST, 1_000_000_000), (5, SCENE, 1_000_000_001)):
        other = rgbd.add_noise(rgb, depth, noise, seed, name, stamp)
        assert not np.array_equal(first[0], other[0])
        assert not np.array_equal(first[1], other[1])


def test_noise_has_the_size_it_says() -> None:
    depth = np.full((200, 200), 1.0, np.float32)
    rgb = np.full((200, 200, 3), 128, np.uint8)
    noise = NoiseConfig()
    noisy_rgb, noisy_depth = rgbd.add_noise(rgb, depth, noise, 0, SCENE, 0)
    seen = noisy_depth > 0.0
    assert np.isclose(1.0 - seen.mean(), noise.speckle, rtol=0.5)
    assert np.isclose(noisy_depth[seen].std(), noise.depth_floor + noise.depth_square, rtol=0.1)
    assert abs(noisy_depth[seen].mean() - 1.0) < 1e-4
    assert np.isclose(noisy_rgb.astype(float).std(), np.hypot(noise.rgb, noise.colour), rtol=0.1)
    far = rgbd.add_noise(rgb, 2.0 * depth, noise, 0, SCENE, 0)[1]
    assert np.isclose(far[far > 0].std(), noise.depth_floor + 4.0 * noise.depth_square, rtol=0.1)


def test_holes_at_edges_and_out_of_range() -> None:
    depth = np.full((100, 100), 0.8, np.float32)
    depth[:, 50:] = 1.4
    depth[:10] = 9.0
    depth[-10:] = 0.02
    rgb = np.zeros((100, 100, 3), np.uint8)
    noisy = rgbd.add_noise(rgb, depth, NoiseConfig(), 0, SCENE, 0)[1]
    assert np.all(noisy[:9] == 0.0)
    assert np.all(noisy[-9:] == 0.0)
    edge, flat = noisy[20:80, 49:51] == 0.0, noisy[20:80, 10:40] == 0.0
    assert 0.3 < edge.mean() < 0.7
    assert flat.mean() < 0.02


def test_millimetres_round_trip_and_unknown_depth() -> None:
    whole = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(rgbd.depth_to_millimetres(rgbd.depth_from_millimetres(whole)), whole)
    odd = np.array([[np.nan, np.inf, -1.0, 100.0]], np.float32)
    assert rgbd.depth_to_millimetres(odd).tolist() == [[0, 0, 0, 65535]]


def test_wrist_camera_is_placed_by_the_hand(cell: Cell) -> None:
    view = cell.capture(WRIST)
    tip_in_wrist = geometry.apply(geometry.inverse(cell.world_from_camera(WRIST)), cell.base_from_tip[:3, 3])
    tip_in_scene = geometry.apply(geometry.inverse(cell.world_from_camera(SCENE)), cell.base_from_tip[:3, 3])
    assert np.allclose(geometry.apply(view.reference_from_camera, tip_in_wrist), tip_in_scene)
    assert tip_in_wrist[2] > 0.0


def test_moving_the_camera_moves_the_picture(cell: Cell) -> None:
    _, before = cell.render(SCENE)
    cell.set_camera_pose(SCENE, 1.0, 0.3, 0.7, 0.0, 0.8, -2.6)
    assert np.allclose(cell.world_from_camera(SCENE)[:3, 3], (1.0, 0.3, 0.7))
    _, after = cell.render(SCENE)
    assert not np.array_equal(before, after)
    with pytest.raises(KeyError, match="no camera 'other'"):
        cell.set_camera_pose("other", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="5 to 150"):
        cell.set_camera_field_of_view(SCENE, 0.0)


def test_clustering_keeps_the_surface() -> None:
    angles = np.linspace(0.0, 2.0 * np.pi, 400, endpoint=False)
    rings = np.linspace(-0.05, 0.05, 60)
    vertices = np.array([(0.1 * np.cos(a), 0.1 * np.sin(a), z) for z in rings for a in angles])
    index = np.arange(59)[:, None] * 400
    step, following = np.arange(400), (np.arange(400) + 1) % 400
    low, low_next, up, up_next = index + step, index + following, index + 400 + step, index + 400 + following
    faces = np.concatenate(
        [np.stack([low, low_next, up], -1).reshape(-1, 3), np.stack([low_next, up_next, up], -1).reshape(-1, 3)]
    ).astype(np.int32)
    coarse, fewer = cluster_vertices(vertices, faces, 0.01)
    assert len(fewer) < len(faces) / 10
    assert fewer.max() < len(coarse)
    assert np.all(np.abs(np.hypot(coarse[:, 0], coarse[:, 1]) - 0.1) < 0.001)
