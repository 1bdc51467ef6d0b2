"""Anchors of the pointmap path against a ray-cast scene: a tilted plane, a box and a ball.

What "within 1 mm" means. A camera rounds depth along its optical axis to whole millimetres, so the measured point lies
on the ray of its pixel, off the surface by at most 0.5 mm times the ray's length at unit depth: 0.5 mm at the middle of
the image, 0.71 mm where the ray is 45 degrees off the axis. An anchor is the measured point of one pixel of its patch,
the valid one nearest to the middle; it must lie within 1 mm of the point that a ray cast through that pixel meets.
Nothing is left for the intrinsics, the crop, the resize or the camera's pose to be wrong by: half a pixel at 0.8 m and
320 px of width is 1.2 mm.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.analytic_scene import PLANE_NORMAL, PLANE_OFFSET, STEP, cast, pixel_directions, render

from vipa_policy.geometry import inverse
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.inputs import back_project
from vipa_policy.model.preparation import prepare_view, sampled_pixels, stack
from vipa_policy.model.spatial import make_spatial_encoder, patch_anchors

SIZES = [(320, 240), (424, 240), (240, 320)]
LARGE = [(640, 480), (1280, 720)]
STRIDES = {"tokens": 16, "fine": 4}
BOUND = 1e-3  # m

poses = st.tuples(
    st.tuples(*[st.floats(-0.15, 0.15)] * 3), st.tuples(*[st.floats(-0.25, 0.25)] * 3)
)  # metres and radians about the reference camera


def camera(size, zoom, offset, skew=0.0):
    width, height = size
    focal = zoom * min(size)
    return np.array([[focal, skew, width / 2 + offset[0]], [0, 1.02 * focal, height / 2 + offset[1]], [0, 0, 1.0]])


def pose(values):
    matrix = np.eye(4)
    matrix[:3, 3] = values[0]
    matrix[:3, :3] = Rotation.from_rotvec(values[1]).as_matrix()
    return matrix


def anchors_of(views, stride, edge=224):
    inputs = stack([prepare_view(view, edge) for view in views], edge // 2, torch.device("cpu"))
    points, valid = (
        part.flatten(0, 1) for part in back_project(inputs.depth, inputs.rays, inputs.reference_from_camera)
    )
    anchors, mask = patch_anchors(points, valid, stride)
    return anchors.double().numpy(), mask.numpy()


def distances(view, anchors, mask, stride, edge=224):
    """Return (patches with an anchor,) m between each and where the ray through its own pixel meets the scene.

    Its own pixel is, of the patch's pixels with valid depth, the one nearest to the middle (the first of equals).
    """
    height, width = view.rgb.shape[:2]
    columns, rows = sampled_pixels(height, width, edge)
    grid = edge // stride

    def blocks(values):
        parts = values.reshape(grid, stride, grid, stride).transpose(0, 2, 1, 3)
        return parts.reshape(grid * grid, stride * stride)

    rows, columns = (blocks(part) for part in np.meshgrid(rows, columns, indexing="ij"))
    with np.errstate(invalid="ignore"):
        valid = (view.depth[rows, columns] >= 0.1) & (view.depth[rows, columns] <= 5.0)
    offsets = np.arange(stride) - (stride - 1) / 2
    away = (offsets[:, None] ** 2 + offsets**2).reshape(-1)
    own = np.where(valid, away, np.inf).argmin(axis=1)
    assert np.array_equal(mask, valid.any(axis=1))
    column, row = (part[np.arange(grid * grid), own] for part in (columns, rows))
    directions = pixel_directions(view.intrinsics, column, row) @ view.reference_from_camera[:3, :3].T
    origin = view.reference_from_camera[:3, 3]
    points = origin + cast(origin, directions)[:, None] * directions
    return np.linalg.norm(points - anchors, axis=1)[mask]


def check(view, stride):
    (anchors,), (mask,) = anchors_of([view], stride)
    assert mask.mean() > 0.9
    assert distances(view, anchors, mask, stride).max() < BOUND


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(SIZES), st.floats(0.7, 1.6), st.tuples(st.floats(-12, 12), st.floats(-12, 12)), poses,
    st.sampled_from(list(STRIDES)), st.floats(-2, 2),
)  # fmt: skip
def test_every_anchor_is_within_a_millimetre_of_the_ray_cast_point(size, zoom, offset, where, stride, skew):
    view = render("scene", *size, camera(size, zoom, offset, skew), pose(where))
    check(view, STRIDES[stride])


@pytest.mark.parametrize("size", LARGE)
def test_anchors_of_large_images_are_as_good(size):
    view = render("scene", *size, camera(size, 1.2, (5, -9)), pose(((0.1, -0.05, 0.02), (0.2, -0.1, 0.05))))
    for stride in STRIDES.values():
        check(view, stride)


@settings(max_examples=8, deadline=None)
@given(poses, st.floats(0.0, 0.98), st.integers(0, 99))
def test_holes_do_not_move_anchors(where, holes, seed):
    """Whatever share of the depth is lost, an anchor is a measured point of its own patch, and none is made up."""
    view = render("scene", 320, 240, camera((320, 240), 1.1, (0, 0)), pose(where))
    random = np.random.default_rng(seed)
    lost = random.random(view.depth.shape) < holes
    view.depth[lost] = random.choice([0.0, np.nan, np.inf, -1.0], lost.sum())
    view.depth[:120, :160] = np.nan
    for stride in STRIDES.values():
        (anchors,), (mask,) = anchors_of([view], stride)
        assert distances(view, anchors, mask, stride).max() < BOUND
        assert not mask.reshape(224 // stride, -1)[: 112 // stride, : 112 // stride].any()
        assert (anchors[~mask] == 0).all()


def test_views_of_several_cameras_agree():
    """Two cameras, of other sizes and lenses, place the same surface at the same place of the reference frame."""
    views = [
        render("scene", 320, 240, camera((320, 240), 1.1, (0, 0)), np.eye(4)),
        render("wrist", 640, 480, camera((640, 480), 0.8, (9, -7)), pose(((0.12, -0.1, 0.05), (0.1, -0.2, 0.2)))),
    ]
    anchors, mask = anchors_of(views, 4)
    for index, view in enumerate(views):
        assert distances(view, anchors[index], mask[index], 4).max() < BOUND
    flat = anchors.reshape(-1, 3)
    on_plane = np.abs(flat @ PLANE_NORMAL - PLANE_OFFSET) / np.linalg.norm(PLANE_NORMAL) < BOUND
    assert 0.5 < on_plane.mean() < 1.0


@pytest.mark.parametrize("mistake", ["focal", "centre", "crop", "pose"])
def test_the_bound_notices_mistakes(mistake):
    """A focal length 1 % off, a centre two pixels off, another image's size, a pose 2 mm off: all are beyond it."""
    size, where = (320, 240), pose(((0.05, 0.02, -0.03), (0.1, 0.05, 0.0)))
    right = camera(size, 1.1, (0, 0))
    view = render("scene", *size, right, where)
    wrong = {name: np.array(value) for name, value in (("intrinsics", right), ("reference_from_camera", where))}
    if mistake == "focal":
        wrong["intrinsics"][0, 0] *= 1.01
    if mistake == "centre":
        wrong["intrinsics"][0, 2] += 2
    if mistake == "crop":
        wrong["intrinsics"][:2] *= 0.9
    if mistake == "pose":
        wrong["reference_from_camera"][:3, 3] += 0.002
    believed = type(view)(view.name, view.rgb, view.depth, **wrong)
    (anchors,), (mask,) = anchors_of([believed], 4)
    assert distances(view, anchors, mask, 4).max() > BOUND


def test_an_encoder_gives_these_anchors():
    """The anchors that go with the tokens and the fine features are those that were checked above."""
    view = render("scene", 424, 240, camera((424, 240), 1.0, (3, 2)), pose(((0.1, 0, 0), (0, 0.1, 0))))
    encoder = make_spatial_encoder(SpatialConfig(width=32, layers=1, heads=2, fine_width=16)).eval()
    with torch.no_grad():
        tokens = encoder(stack([prepare_view(view, 224)], 112, torch.device("cpu")))
    for stride, (anchors, mask) in {
        16: (tokens.anchors, tokens.mask),
        4: (tokens.fine.anchors, tokens.fine.mask),
    }.items():
        expected, known = anchors_of([view], stride)
        assert np.array_equal(anchors.double().numpy(), expected)
        assert np.array_equal(mask.numpy(), known)


def test_the_camera_of_the_scene_rounds_as_cameras_do():
    view = render("scene", 320, 240, camera((320, 240), 1.1, (0, 0)), np.eye(4))
    assert np.allclose(view.depth / STEP, np.rint(view.depth / STEP), atol=1e-3)
    assert np.allclose(inverse(view.reference_from_camera), np.eye(4))
