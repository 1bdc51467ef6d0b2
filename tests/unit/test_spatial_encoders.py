"""Every kind of spatial encoder behind one interface: what it needs, what it gives, what it refuses."""

import dataclasses

import numpy as np
import pytest
import torch
from support.analytic_scene import render
from support.small_depth_model import depth_anything
from support.small_network import make_observation, make_view, small_config

from vipa_policy.errors import CheckpointError, ObservationError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import load_policy
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.inputs import back_project
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.model.spatial import make_spatial_encoder

WORDS = "reach the red block"


def spatial_config(**changes):
    return dataclasses.replace(small_config().spatial, **changes)


@pytest.fixture(scope="module")
def relative(tmp_path_factory):
    return depth_anything(tmp_path_factory.mktemp("relative"), "relative")


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    return depth_anything(tmp_path_factory.mktemp("metric"), "metric")


def without_depth(view):
    return dataclasses.replace(view, depth=None)


def inputs_of(*views, size=64, known=None):
    prepared = [prepare_view(view, size, needs_depth=False) for view in views]
    return stack(prepared, size // 2, torch.device("cpu"), known)


def grounded(kind, **changes):
    config = small_config()
    head = config.head if kind != "none" else dataclasses.replace(config.head, grounding="none")
    return dataclasses.replace(config, head=head, spatial=dataclasses.replace(config.spatial, kind=kind, **changes))


def make_checkpoint(config, vocabulary, contract):
    torch.manual_seed(0)
    network = VipaNetwork(config, vocabulary.image_token, Normalisation(16)).eval()
    with torch.no_grad():
        torch.nn.init.normal_(network.head.action_out.weight, std=0.1)
        network.head.action_out.bias.copy_(torch.tensor([0, 0, 0, 3.0, 0, 0, 0, 3.0, 0, 0]))
    return Checkpoint(network.config, contract, vocabulary, network, {})


# --- what all kinds have in common


def test_none_predicts_without_depth(vocabulary, contract, tmp_path):
    checkpoints.save(make_checkpoint(grounded("none"), vocabulary, contract), tmp_path / "none")
    policy = load_policy(str(tmp_path / "none"), "cpu")
    seen = make_observation()
    blind = dataclasses.replace(seen, views=tuple(without_depth(view) for view in seen.views))
    first, second = (policy.predict(observation, WORDS, seed=1) for observation in (seen, blind))
    assert np.array_equal(first.camera_from_tip, second.camera_from_tip)
    assert first.pointed is None


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_a_monocular_checkpoint_predicts_without_depth(kind, request, vocabulary, contract, tmp_path):
    config = grounded("depth_anything", pretrained=str(request.getfixturevalue(kind)))
    checkpoints.save(make_checkpoint(config, vocabulary, contract), tmp_path / "saved")
    policy = load_policy(str(tmp_path / "saved"), "cpu")
    seen = make_observation()
    blind = dataclasses.replace(seen, views=tuple(without_depth(view) for view in seen.views))
    chunk = policy.predict(blind, WORDS, seed=1)
    assert np.isfinite(chunk.camera_from_tip).all()
    assert np.isfinite(chunk.pointed).all()


def test_the_pointmap_refuses_a_camera_without_depth(vocabulary, contract, tmp_path):
    checkpoints.save(make_checkpoint(grounded("pointmap"), vocabulary, contract), tmp_path / "saved")
    policy = load_policy(str(tmp_path / "saved"), "cpu")
    blind = dataclasses.replace(make_observation(), views=(without_depth(make_view()),))
    with pytest.raises(ObservationError, match=r"scene: expected metric depth .* RGB-D .* depth_anything"):
        policy.predict(blind, WORDS)
    with pytest.raises(ObservationError, match="expected metric depth"):
        make_spatial_encoder(spatial_config())(inputs_of(without_depth(make_view())))


# --- pointmap


@pytest.mark.parametrize("holes", [0.0, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("kind", [0.0, np.nan, np.inf, -1.0])
def test_the_pointmap_is_finite_whatever_is_missing(holes, kind):
    torch.manual_seed(0)
    encoder = make_spatial_encoder(spatial_config()).eval()
    view = make_view()
    view.depth[np.random.default_rng(1).random(view.depth.shape) < holes] = kind
    tokens = encoder(inputs_of(view))
    for value in (tokens.tokens, tokens.anchors, tokens.fine.features, tokens.fine.anchors):
        assert torch.isfinite(value).all()
    assert tokens.mask.any()
    # Holes are told apart from surfaces: the network hears of them.
    if holes:
        assert not torch.allclose(tokens.tokens, encoder(inputs_of(make_view())).tokens, atol=1e-3)


def test_image_size_and_lens_do_not_move_what_is_seen():
    """The same scene from the same place: the geometry an encoder is given stays, whatever the camera's pixels are."""
    edge, found = 64, {}
    for size in ((320, 240), (640, 480), (424, 240), (1280, 720)):
        width, height = size
        focal = 1.1 * height
        matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
        inputs = inputs_of(render("scene", width, height, matrix, np.eye(4)), size=edge)
        points, valid = back_project(inputs.depth, inputs.rays, inputs.reference_from_camera)
        assert valid.all()
        found[size] = points
    first = found[320, 240]
    for points in found.values():
        # Half a source pixel of the coarsest image, and edges where the nearest pixel falls on the other side.
        assert (points - first).norm(dim=2).median() < 0.002


# --- Depth Anything


def test_a_metric_model_is_used_as_it_is(metric):
    encoder = make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(metric)))
    inputs = inputs_of(without_depth(make_view()), size=70)
    depth = encoder.frozen_features(inputs)["depth"]
    expected = encoder.model(pixel_values=inputs.colours[0]).predicted_depth
    assert torch.equal(depth[0], torch.where((expected >= 0.1) & (expected <= 5.0), expected, 0.0))
    assert (depth > 0).any()


def test_a_relative_model_takes_its_scale_from_measured_depth(relative):
    encoder = make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(relative)))
    view = make_view()
    near = encoder.frozen_features(inputs_of(view))["depth"]
    far = encoder.frozen_features(inputs_of(dataclasses.replace(view, depth=2 * view.depth)))["depth"]
    both = (near > 0) & (far > 0)
    assert both.float().mean() > 0.5
    assert torch.allclose(far[both] / near[both], torch.tensor(2.0), rtol=0.01)
    measured = inputs_of(view).depth
    assert torch.median((measured / near)[near > 0]) == pytest.approx(1.0, abs=0.02)


def test_a_relative_model_takes_its_scale_from_the_tip(relative):
    encoder = make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(relative)))
    tip = np.array([0.02, -0.03, 0.6])
    inputs = inputs_of(without_depth(make_view()), known=tip)
    depth = encoder.frozen_features(inputs)["depth"][0, 0]
    pixel = (inputs.rays[0, 0] - torch.tensor(tip[:2] / tip[2], dtype=torch.float32)).norm(dim=-1).argmin()
    assert depth.reshape(-1)[pixel] == pytest.approx(0.6, abs=1e-5)


@pytest.mark.parametrize("tip", [None, [0.0, 0.0, -0.6], [3.0, 0.0, 0.6]])
def test_a_relative_model_without_a_reference_is_refused(relative, tip):
    encoder = make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(relative)))
    view = make_view()
    view.depth[:] = 0.0
    view.depth[40, 40:50] = 0.7  # ten pixels: noise
    for depth in (None, view.depth):
        inputs = inputs_of(dataclasses.replace(view, depth=depth), known=tip)
        with pytest.raises(ObservationError, match=r"view 0 .* scale, got \d+ pixels .* metric model"):
            encoder(inputs)


def test_sizes_that_the_patch_does_not_divide_are_resized(metric):
    encoder = make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(metric)))
    depth = encoder.frozen_features(inputs_of(without_depth(make_view())))["depth"]
    assert depth.shape == (1, 1, 64, 64)
    assert (depth > 0).any()


def test_estimated_depth_goes_the_way_of_measured_depth(metric):
    config = spatial_config(kind="depth_anything", pretrained=str(metric))
    encoder = make_spatial_encoder(config)
    inputs = inputs_of(without_depth(make_view()))
    depth = encoder.frozen_features(inputs)["depth"]
    tokens, measured = encoder(inputs), encoder.pointmap(dataclasses.replace(inputs, depth=depth))
    for name, value in tokens.to_tensors().items():
        assert torch.equal(value, measured.to_tensors()[name]), name


def test_the_estimator_never_trains_and_stays_out_of_checkpoints(metric, vocabulary, contract, tmp_path):
    config = grounded("depth_anything", pretrained=str(metric))
    checkpoint = make_checkpoint(config, vocabulary, contract)
    encoder = checkpoint.network.spatial
    checkpoint.network.train()
    assert not encoder.model.training
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    ours = {id(parameter) for parameter in checkpoint.network.parameters()}
    assert not ours & {id(parameter) for parameter in encoder.model.parameters()}
    encoder(inputs_of(without_depth(make_view()))).tokens.sum().backward()
    assert encoder.pointmap.coarse[0].weight.grad is not None
    checkpoints.save(checkpoint, tmp_path / "saved")
    names = checkpoints.weights.read(tmp_path / "saved")
    assert {name for name in names if "estimator" in name} == {"spatial.estimator.digest"}
    moved = encoder.to(torch.float64)
    assert next(moved.model.parameters()).dtype == torch.float64


def test_other_weights_than_trained_beside_are_refused(metric, vocabulary, contract, tmp_path):
    config = grounded("depth_anything", pretrained=str(depth_anything(tmp_path / "estimator", "metric")))
    checkpoints.save(make_checkpoint(config, vocabulary, contract), tmp_path / "saved")
    checkpoints.load(tmp_path / "saved")
    depth_anything(tmp_path / "estimator", "metric", seed=1)
    with pytest.raises(CheckpointError, match="trained beside"):
        checkpoints.load(tmp_path / "saved")


def test_a_depth_model_that_is_not_there_is_named(tmp_path, metric):
    with pytest.raises(CheckpointError, match=r"spatial\.pretrained to name"):
        make_spatial_encoder(spatial_config(kind="depth_anything"))
    with pytest.raises(CheckpointError, match="found none"):
        make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(tmp_path / "nothing")))
    (tmp_path / "pickle").mkdir()
    (tmp_path / "pickle" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="pickle"):
        make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(tmp_path / "pickle")))
    cut = tmp_path / "cut"
    cut.mkdir()
    for file in metric.iterdir():
        (cut / file.name).write_bytes(file.read_bytes()[: -2000 if file.suffix == ".safetensors" else None])
    with pytest.raises(CheckpointError, match="Depth Anything"):
        make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(cut)))


def test_an_observation_may_mix_cameras_with_and_without_depth(relative):
    encoder = make_spatial_encoder(spatial_config(kind="depth_anything", pretrained=str(relative)))
    inputs = inputs_of(make_view(0), without_depth(make_view(1, "wrist")), known=[0.0, 0.0, 0.6])
    assert not (inputs.depth[0, 1] > 0).any()
    depth = encoder.frozen_features(inputs)["depth"]
    assert (depth > 0).flatten(2).any(dim=-1).all()
