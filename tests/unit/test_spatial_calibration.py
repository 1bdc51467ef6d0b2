"""Scale of estimated depth: found whatever it was, from whatever is known, and never made up."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.small_network import make_view

from vipa_policy.errors import ObservationError
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.model.spatial.calibration import FEWEST_PIXELS, metric_scale, require_scale


def observed(views=1, known=None):
    prepared = [prepare_view(make_view(seed), 64) for seed in range(views)]
    return stack(prepared, 32, torch.device("cpu"), known)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 20.0), st.floats(0.0, 0.95), st.floats(0.0, 0.4), st.integers(0, 99))
def test_the_scale_is_found_through_holes_and_outliers(factor, holes, outliers, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = observed()
    estimated = inputs.depth / factor
    spoiled = torch.rand(estimated.shape, generator=generator) < outliers
    estimated = torch.where(spoiled, estimated * 3.0, estimated)
    kept = torch.rand(estimated.shape, generator=generator) >= holes
    scale = metric_scale(estimated, dataclasses.replace(inputs, depth=inputs.depth * kept), together=False)
    assert scale.item() == pytest.approx(factor, rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 10.0), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(0.4, 1.2))
def test_a_known_point_gives_the_scale_at_its_pixel(factor, x, y, z):
    point = torch.tensor([x * z, y * z, z])
    inputs = dataclasses.replace(observed(), depth=None, known_points=point[None, None])
    estimated = torch.full((1, 1, 64, 64), 3.0)
    away = (inputs.rays[0, 0] - point[:2] / z).norm(dim=-1)
    estimated[0, 0][away < away.min() + 1e-6] = z / factor  # one pixel, or those equally near
    assert metric_scale(estimated, inputs, together=False).item() == pytest.approx(factor, rel=1e-4)


def test_a_known_point_is_seen_from_every_camera():
    """The point is told in the reference camera's frame; another camera sees it elsewhere and at another depth."""
    moved = torch.eye(4)
    moved[:3, :3] = torch.from_numpy(Rotation.from_rotvec([0.1, -0.1, 0.2]).as_matrix())
    moved[:3, 3] = torch.tensor([0.05, -0.02, -0.1])
    point = torch.tensor([0.03, 0.02, 0.6])
    inputs = dataclasses.replace(
        observed(2),
        depth=None,
        known_points=point[None, None],
        reference_from_camera=torch.stack([torch.eye(4), moved])[None],
    )
    scale = metric_scale(torch.ones(1, 2, 64, 64), inputs, together=False)[0, :, 0, 0]
    in_second = moved[:3, :3].T @ (point - moved[:3, 3])
    assert scale.tolist() == pytest.approx([0.6, in_second[2].item()], rel=1e-5)


def test_views_of_one_reconstruction_share_their_scale():
    inputs = observed(2)
    estimated = inputs.depth / 2.0
    only_first = dataclasses.replace(inputs, depth=inputs.depth * torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    assert metric_scale(estimated, only_first, together=True).flatten().tolist() == pytest.approx([2.0, 2.0])
    apart = metric_scale(estimated, only_first, together=False).flatten()
    assert apart[0].item() == pytest.approx(2.0)
    assert torch.isnan(apart[1])


@pytest.mark.parametrize("pixels", [0, FEWEST_PIXELS - 1])
def test_a_view_that_nothing_tells_about_is_refused(pixels):
    inputs = observed(2)
    depth = inputs.depth.clone()
    depth[0, 1] = 0.0
    depth[0, 1].view(-1)[:pixels] = 0.7
    inputs = dataclasses.replace(inputs, depth=depth)
    scale = metric_scale(torch.ones_like(depth), inputs, together=False)
    with pytest.raises(ObservationError, match=f"view 1 of observation 0 .*got {pixels} pixels .* metric model"):
        require_scale(scale, inputs, "some-model")
