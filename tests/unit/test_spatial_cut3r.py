"""The adapter for CUT3R, against a stand-in with the published interface and shapes."""

import dataclasses
import json
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support import cut3r_stand_in
from support.cut3r_stand_in import PLANE, UNIT
from support.small_network import make_view, small_config

from vipa_policy.errors import CheckpointError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import load_policy
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.model.spatial import make_spatial_encoder
from vipa_policy.model.spatial.cut3r import PUBLISHED
from vipa_policy.observation import Observation

TOKENS = 1 + (64 // 16) ** 2


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install the stand-in and save its weights; returns the configuration that names them."""
    monkeypatch.setitem(sys.modules, "dust3r", ModuleType("dust3r"))
    monkeypatch.setitem(sys.modules, "dust3r.model", cut3r_stand_in.module())
    torch.manual_seed(0)
    model = cut3r_stand_in.ARCroco3DStereo(cut3r_stand_in.ARCroco3DStereoConfig(**PUBLISHED))
    (tmp_path / "cut3r").mkdir()
    save_file(model.state_dict(), tmp_path / "cut3r" / "model.safetensors")
    return dataclasses.replace(
        small_config().spatial, kind="cut3r", width=768, frozen=True, pretrained=str(tmp_path / "cut3r")
    )


def views_of(*seeds, depth=True):
    views = [make_view(seed) for seed in seeds]
    return views if depth else [dataclasses.replace(view, depth=None) for view in views]


def inputs_of(*views, known=None):
    return stack([prepare_view(view, 64, needs_depth=False) for view in views], 32, torch.device("cpu"), known)


def flat(view, depth):
    view.depth[:] = depth
    return view


def test_tokens_are_the_last_decoder_layers_camera_first(installed):
    encoder = make_spatial_encoder(installed)
    inputs = inputs_of(*views_of(0, 1, depth=False))
    tokens = encoder(inputs)
    assert tokens.tokens.shape == (1, 2 * TOKENS, 768)
    assert tokens.mask.shape == (1, 2 * TOKENS)
    assert tokens.anchors.shape == (1, 2 * TOKENS, 3)
    assert tokens.fine is None
    model = encoder.cut3r.network
    first = model.calls[0][0]["img"]
    patches = model.patch_embed(first).flatten(2).transpose(1, 2)
    expected = model.dec_norm(torch.cat([model.pose_token, patches], dim=1))
    # What the encoder gives is rounded to 16 bits, as a cache would keep it.
    assert torch.allclose(tokens.tokens[:, :TOKENS], expected, atol=2e-3)


def test_pictures_come_in_minus_one_to_one(installed):
    encoder = make_spatial_encoder(installed)
    black, white = views_of(0, 1)
    black.rgb[:], white.rgb[:] = 0, 255
    encoder(inputs_of(black, white))
    pictures = [view["img"] for view in encoder.cut3r.network.calls[0]]
    assert torch.allclose(pictures[0], torch.tensor(-1.0), atol=1e-5)
    assert torch.allclose(pictures[1], torch.tensor(1.0), atol=1e-5)


def test_views_build_on_each_other_and_observations_do_not(installed):
    encoder = make_spatial_encoder(installed)
    first, second = views_of(0, 1)
    both = encoder(inputs_of(first, second)).tokens
    alone = encoder(inputs_of(second)).tokens
    assert not torch.allclose(both[:, TOKENS:], alone, atol=1e-2)
    assert torch.equal(encoder(inputs_of(first, second)).tokens, both)


def test_anchors_lie_on_the_live_rays_at_its_depth(installed):
    """The stand-in guesses another focal length; CameraInfo's is the true one."""
    inputs = inputs_of(*views_of(0, depth=False))
    tokens = make_spatial_encoder(installed)(inputs)
    anchors = tokens.anchors[0, 1:]
    assert tokens.mask.all()
    assert torch.allclose(anchors[:, 2], torch.tensor(PLANE / UNIT))
    middle = inputs.rays[0, 0].view(4, 16, 4, 16, 2)[:, 7, :, 7].reshape(16, 2)
    assert torch.allclose(anchors[:, :2] / anchors[:, 2:], middle, atol=1e-6)


@pytest.mark.parametrize("known", ["depth", "tip"])
def test_what_is_measured_gives_its_unit(installed, known):
    view = flat(make_view(), PLANE)
    view.depth[:, ::2] = 0.0
    if known == "tip":
        view = dataclasses.replace(view, depth=None)
    inputs = inputs_of(view, known=[0.05, -0.04, PLANE] if known == "tip" else None)
    anchors = make_spatial_encoder(installed)(inputs).anchors
    assert torch.allclose(anchors[0, 1:, 2], torch.tensor(PLANE), atol=1e-5)


def test_a_cameras_token_is_anchored_at_that_camera(installed):
    first, second = views_of(0, 1)
    moved = np.eye(4)
    moved[:3, 3] = [0.1, 0.2, -0.3]
    anchors = make_spatial_encoder(installed)(
        inputs_of(first, dataclasses.replace(second, reference_from_camera=moved))
    ).anchors
    assert anchors[0, 0].tolist() == [0, 0, 0]
    assert anchors[0, TOKENS].tolist() == pytest.approx([0.1, 0.2, -0.3])


def test_a_network_with_it_trains_predicts_and_keeps_it_out_of_its_checkpoint(
    installed, vocabulary, contract, tmp_path
):
    config = small_config()
    config = dataclasses.replace(config, spatial=installed, head=dataclasses.replace(config.head, grounding="none"))
    torch.manual_seed(0)
    network = VipaNetwork(config, vocabulary.image_token, Normalisation(16))
    words = torch.tensor([vocabulary.encode("reach the red block")])[None]
    condition = network.condition(inputs_of(make_view()), words, torch.ones_like(words, dtype=torch.bool))
    condition.hidden.square().sum().backward()
    assert network.fusion.key_value.weight.grad.abs().sum() > 0
    assert not any(name.startswith("spatial.") for name, _ in network.named_parameters())
    with torch.no_grad():
        network.head.action_out.bias.copy_(torch.tensor([0, 0, 0, 3.0, 0, 0, 0, 3.0, 0, 0]))
    checkpoints.save(Checkpoint(config, contract, vocabulary, network.eval(), {}), tmp_path / "saved")
    assert {name for name in checkpoints.weights.read(tmp_path / "saved") if name.startswith("spatial.")} == {
        "spatial.cut3r.digest"
    }
    observation = Observation(0.0, (dataclasses.replace(make_view(), depth=None),), np.eye(4), 0.08)
    chunk = load_policy(str(tmp_path / "saved"), "cpu").predict(observation, "reach the red block", seed=0)
    assert np.isfinite(chunk.camera_from_tip).all()


def test_what_cannot_be_loaded_is_said(installed, tmp_path, monkeypatch):
    for changes in ({"width": 192}, {"image_size": 72}):
        with pytest.raises(CheckpointError, match=r"spatial\.width 768"):
            make_spatial_encoder(dataclasses.replace(installed, **changes))
    with pytest.raises(CheckpointError, match="CUT3R's weights"):
        make_spatial_encoder(dataclasses.replace(installed, pretrained=""))
    (tmp_path / "pickle").mkdir()
    (tmp_path / "pickle" / "cut3r_512_dpt_4_64.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"pickle cut3r_512_dpt_4_64\.pth"):
        make_spatial_encoder(dataclasses.replace(installed, pretrained=str(tmp_path / "pickle")))
    sizes = tmp_path / "cut3r" / "cut3r.json"
    sizes.write_text("{")
    with pytest.raises(CheckpointError, match=r"cut3r\.json is no JSON"):
        make_spatial_encoder(installed)
    sizes.write_text(json.dumps({"dec_embed_dim": 512}))
    with pytest.raises(CheckpointError, match="another shape"):
        make_spatial_encoder(installed)
    sizes.unlink()
    monkeypatch.setitem(sys.modules, "dust3r.model", ModuleType("dust3r.model"))
    with pytest.raises(CheckpointError, match=r"no ARCroco3DStereo.*DUSt3R.*licence"):
        make_spatial_encoder(installed)


def test_another_model_of_that_name_is_refused(installed, monkeypatch):
    encoder = make_spatial_encoder(installed)
    encoder.cut3r.network.dec_norm = torch.nn.Identity()
    encoder.cut3r.network.pose_token = torch.nn.Parameter(torch.zeros(1, 2, 768))
    with pytest.raises(CheckpointError, match="not the published model"):
        encoder(inputs_of(make_view()))
