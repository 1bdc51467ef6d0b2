"""Cropping, resizing and back-projection, against an analytic scene: a tilted plane seen by a pinhole camera."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.errors import ObservationError
from vipa_policy.model.inputs import back_project
from vipa_policy.model.preparation import (
    DEPTH_UNIT,
    network_input,
    prepare_view,
    sampled_pixels,
    sampled_rays,
    stack,
)
from vipa_policy.model.spatial import patch_anchors
from vipa_policy.model.view_checks import check_views
from vipa_policy.observation import CameraView

NORMAL, OFFSET = np.array([0.15, -0.35, 1.0]), 0.75  # the plane n . p = d in the camera frame, m


def intrinsics(width, height, focal):
    return np.array([[focal, 0, (width - 1) / 2], [0, 1.01 * focal, (height - 1) / 2 + 3], [0, 0, 1.0]])


def point_map(inputs):
    return back_project(inputs.depth, inputs.rays, inputs.reference_from_camera)


def plane_view(width=320, height=240, focal=257.0):
    matrix = intrinsics(width, height, focal)
    rows, columns = np.mgrid[:height, :width]
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(matrix).T
    depth = OFFSET / (rays @ NORMAL)
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    return CameraView("scene", rgb, depth.astype(np.float32), matrix, np.eye(4))


@settings(max_examples=25)
@given(
    st.sampled_from([(320, 240), (640, 480), (424, 240), (240, 320), (224, 224)]),
    st.floats(0.6, 1.6),
    st.sampled_from([112, 224]),
)
def test_every_point_lies_on_the_surface(size, zoom, edge):
    width, height = size
    prepared = prepare_view(plane_view(width, height, zoom * min(size)), edge)
    inputs = stack([prepared], edge // 2, torch.device("cpu"))
    points, valid = (part[0, 0].numpy() for part in point_map(inputs))
    valid = valid[0]
    # Half a step of the stored depth, along the steepest ray of the plane's normal.
    bound = 0.5 * DEPTH_UNIT * 2.0 + 1e-5
    distance = np.abs(np.tensordot(NORMAL, points, axes=(0, 0)) - OFFSET) / np.linalg.norm(NORMAL)
    assert valid.mean() > 0.9
    assert distance[valid].max() < bound


@settings(max_examples=15)
@given(st.integers(0, 1000), st.floats(0.0, 0.9))
def test_anchors_are_measured_points_of_their_own_patch(seed, holes):
    view = plane_view()
    lost = np.random.default_rng(seed).random(view.depth.shape) < holes
    view.depth[lost] = np.nan
    inputs = stack([prepare_view(view, 224)], 112, torch.device("cpu"))
    points, valid = (part[0] for part in point_map(inputs))
    anchors, mask = patch_anchors(points, valid, 16)
    blocks = points[0].reshape(3, 14, 16, 14, 16).permute(1, 3, 2, 4, 0).reshape(196, 256, 3)
    known = valid[0, 0].reshape(14, 16, 14, 16).permute(0, 2, 1, 3).reshape(196, 256)
    assert torch.equal(mask[0], known.any(dim=1))
    for index in torch.nonzero(mask[0]).flatten().tolist():
        own = blocks[index][known[index]]
        assert (own - anchors[0, index]).norm(dim=-1).min() == 0.0


def test_holes_are_marked_and_zero():
    view = plane_view()
    view.depth[:120] = 0.0
    view.depth[120:130] = np.nan
    view.depth[130:140] = np.inf
    inputs = stack([prepare_view(view, 224)], 112, torch.device("cpu"))
    points, valid = point_map(inputs)
    assert not valid[0, 0, 0, :112].any()
    assert torch.isfinite(points).all()
    assert (points[~valid.expand_as(points)] == 0).all()


def test_views_are_moved_to_the_reference_camera():
    moved = np.eye(4)
    moved[:3, 3] = [0.1, -0.2, 0.3]
    prepared = prepare_view(plane_view(), 224)
    tensors = [
        torch.from_numpy(array)[None, None]
        for array in (prepared.rgb, prepared.depth.astype(np.int32), prepared.rays.copy())
    ]
    at_home = network_input(*tensors, torch.eye(4)[None, None], 112)
    away = network_input(*tensors, torch.from_numpy(moved.astype(np.float32))[None, None], 112)
    (there, _), (here, valid) = point_map(away), point_map(at_home)
    shift = (there - here)[valid.expand_as(here)].reshape(3, -1)
    assert torch.allclose(shift.mean(dim=1), torch.tensor([0.1, -0.2, 0.3]), atol=1e-5)


def bad(**changes):
    view = plane_view()
    return dataclasses.replace(view, **changes)


def tiny_view():
    rgb, depth = np.zeros((60, 80, 3), np.uint8), np.ones((60, 80), np.float32)
    return bad(rgb=rgb, depth=depth, intrinsics=intrinsics(80, 60, 60.0))


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (bad(depth=np.zeros((240, 320), np.float32)), "at least 2%"),
        (bad(depth=np.full((240, 320), np.nan, np.float32)), "check the depth stream"),
        (bad(depth=np.full((240, 320), 750.0, np.float32)), "looks like millimetres"),
        (bad(depth=np.full((240, 320), 75.0, np.float32)), "looks like centimetres"),
        (bad(depth=np.full((240, 320), 750, np.uint16)), r"float32 in metres, got uint16, .* millimetres"),
        (bad(depth=np.ones((480, 640), np.float32)), "depth alignment"),
        (bad(depth=np.ones((240, 320, 1), np.float32)), "depth of the image's size"),
        (bad(depth=None), r"metric depth with the image, got none; use an RGB-D camera"),
        (bad(intrinsics=np.zeros((3, 3))), "positive focal lengths"),
        (bad(intrinsics=np.full((3, 3), np.nan)), "positive focal lengths"),
        (bad(intrinsics=np.diag([257.0, -257.0, 1.0])), "positive focal lengths"),
        (bad(intrinsics=np.eye(4)), "pinhole matrix"),
        (bad(intrinsics=np.array([[257.0, 0, 160], [0, 257, 120], [0, 0, 0]])), "singular"),
        (bad(intrinsics=np.array([[257.0, 0, 160], [257, 257, 120], [0, 0, 1]])), "singular"),
        (bad(intrinsics=intrinsics(1280, 960, 900.0)), "different sizes"),
        (bad(rgb=np.zeros((240, 320), np.uint8)), "expected an RGB image"),
        (bad(rgb=np.zeros((240, 320, 4), np.uint8)), r"\(height, width, 3\), got \(240, 320, 4\)"),
        (bad(rgb=np.zeros((240, 320, 3), np.float32)), "uint8 from 0 to 255, got float32"),
        (bad(rgb=None), "expected an RGB image"),
        (bad(reference_from_camera=np.full((4, 4), np.nan)), "rigid transform .* check TF"),
        (bad(reference_from_camera=2.0 * np.eye(4)), "rigid transform"),
        (bad(reference_from_camera=np.eye(3)), "rigid transform"),
        (tiny_view(), "raise the camera's resolution"),
    ],
)
def test_unusable_views_are_refused_in_words(view, words):
    with pytest.raises(ObservationError, match=words) as caught:
        prepare_view(view, 224)
    assert "scene" in str(caught.value)


def named(*names):
    return [dataclasses.replace(plane_view(64, 48), name=name) for name in names]


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        (["scene"], ["scene", "wrist"], "leave out wrist"),
        (["scene", "wrist"], ["scene"], "add wrist"),
        (["scene", "wrist"], ["wrist", "scene"], "put them in the contract's order"),
        (["scene", "wrist"], ["scene", "scene"], "add wrist; leave out scene"),
        (["scene"], [], "add scene"),
    ],
)
def test_other_views_than_trained_are_refused_in_words(expected, got, words):
    with pytest.raises(ObservationError, match=words) as caught:
        check_views(expected, named(*got))
    assert str(expected) in str(caught.value)
    assert str(got) in str(caught.value)
    check_views(expected, named(*expected))


@pytest.mark.parametrize("size", [(113, 112), (320, 240), (1920, 1080)])
def test_images_of_other_sizes_are_resized(size):
    prepared = prepare_view(plane_view(*size, focal=float(min(size))), 224)
    assert prepared.rgb.shape == (224, 224, 3)
    assert prepared.depth.shape == (224, 224)


def test_an_encoder_that_estimates_depth_takes_views_without():
    assert prepare_view(bad(depth=None), 224, needs_depth=False).depth is None
    nothing = prepare_view(bad(depth=np.full((240, 320), np.nan, np.float32)), 224, needs_depth=False)
    assert not nothing.depth.any()
    # A wrong unit is a mistake whether or not the depth is needed: it would give the estimate a wrong scale.
    with pytest.raises(ObservationError, match="millimetres"):
        prepare_view(bad(depth=np.full((240, 320), 750.0, np.float32)), 224, needs_depth=False)


@settings(max_examples=25)
@given(st.sampled_from([(320, 240), (641, 480), (240, 424)]), st.floats(0.6, 1.6), st.floats(-3, 3), st.floats(-9, 9))
def test_rays_are_those_of_the_inverse_matrix(size, zoom, skew, shift):
    """Rays are computed by row and column; the whole matrix times every pixel gives the same to the last bit."""
    width, height = size
    matrix = intrinsics(width, height, zoom * min(size)) + np.array([[0, skew, shift], [0, 0, -shift], [0, 0, 0]])
    columns, rows = sampled_pixels(height, width, 64)
    grid = np.stack([*np.meshgrid(columns, rows), np.ones((64, 64))], axis=-1)
    rays = grid @ np.linalg.inv(matrix).T
    assert np.allclose(sampled_rays(matrix, height, width, 64), rays[..., :2], rtol=0, atol=1e-7)
    if skew == 0:
        assert np.array_equal(sampled_rays(matrix, height, width, 64), rays[..., :2].astype(np.float32))


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.0, 1.0), st.sampled_from([4, 16]))
def test_anchors_are_the_first_of_the_nearest(seed, holes, stride):
    """Against the definition, patch by patch: to the bit, the first where several are equally near."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(2, 1, 64, 64, generator=generator) >= holes
    points = torch.randn(2, 3, 64, 64, generator=generator) * valid
    anchors, mask = patch_anchors(points, valid, stride)
    grid = 64 // stride
    blocks = points.view(2, 3, grid, stride, grid, stride).permute(0, 2, 4, 3, 5, 1).reshape(2, grid**2, -1, 3)
    known = valid.view(2, grid, stride, grid, stride).permute(0, 1, 3, 2, 4).reshape(2, grid**2, -1)
    offsets = np.arange(stride) - (stride - 1) / 2
    away = (offsets[:, None] ** 2 + offsets**2).reshape(-1)
    nearest = np.where(known.numpy(), away, np.inf).argmin(axis=-1)  # numpy: the first of equals
    expected = np.take_along_axis(blocks.numpy(), nearest[..., None, None], axis=2)[:, :, 0]
    assert np.array_equal(anchors.numpy(), expected)
    assert torch.equal(mask, known.any(dim=-1))
