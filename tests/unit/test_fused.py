"""Folded weights answer as the network they came from, whatever the family of its parts."""

import dataclasses

import numpy as np
import pytest
import torch
from support.small_network import make_view, small_config
from torch import nn

from vipa_policy.model.chat import PromptLayout
from vipa_policy.model.config import HeadConfig, ModelConfig
from vipa_policy.model.engine import EngineOptions, FlowSampler, InferenceEngine
from vipa_policy.model.engine.fused import FusedNetwork, why_not
from vipa_policy.model.engine.fused.folding import Linear, joined, normaliser
from vipa_policy.model.engine.fused.head import FusedSampler
from vipa_policy.model.head import ActionHead
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.preparation import prepare_view, stack

TOKENS = [7, 8, 9, 10]


def changed(config: ModelConfig, **sections) -> ModelConfig:
    parts = {name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(config, **parts)


CONFIGS = {
    "as vipa-tiny": small_config(),
    "grouped queries": changed(small_config(), semantic={"language_heads": 4, "language_key_value_heads": 2}),
    "qwen2": changed(small_config(), semantic={"language_family": "qwen2"}),
    "no pointing": changed(small_config(), head={"grounding": "none"}),
    "no spatial side": changed(small_config(), head={"grounding": "none"}, spatial={"kind": "none"}),
    "undisturbed": changed(small_config(), fusion={"undisturbed": True}),
    "odd number of blocks": changed(small_config(), head={"layers": 3}),
}


def randomised(network: nn.Module) -> None:
    """Give every parameter a value of its own: a norm's scale of one or a bias of zero would hide a folding."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def build(config: ModelConfig, layout: PromptLayout | None = None) -> VipaNetwork:
    torch.manual_seed(0)
    network = VipaNetwork(config, 4, Normalisation(config.horizon), layout).eval()
    randomised(network)
    return network


def inputs_of(views: int = 1):
    prepared = [prepare_view(make_view(seed), 64) for seed in range(views)]
    return stack(prepared, 32, torch.device("cpu"))


def answers(network: VipaNetwork, fused: bool, views: int = 1):
    engine = InferenceEngine(network, options=EngineOptions(fused=fused))
    state = torch.linspace(-0.3, 0.5, 10)[None]
    prediction = engine.predict(inputs_of(views), TOKENS, state, engine.noise(3))
    pointed = torch.zeros(3) if prediction.pointed is None else prediction.pointed
    return torch.cat([prediction.actions.flatten(), pointed]).numpy(), engine


@pytest.mark.parametrize("name", CONFIGS)
def test_folded_weights_answer_as_the_network_does(name):
    network = build(CONFIGS[name])
    plain, engine = answers(network, fused=False)
    assert engine.fused is None
    folded, engine = answers(network, fused=True)
    assert engine.fused is not None, engine.unfused
    assert np.allclose(plain, folded, atol=2e-5)
    assert np.abs(plain).max() > 0.01


@pytest.mark.parametrize("views", [1, 2])
def test_what_stands_around_the_images_is_read_too(views):
    network = build(small_config(), PromptLayout((5, 6), (11,), (12, 13)))
    plain, _ = answers(network, False, views)
    folded, _ = answers(network, True, views)
    assert np.allclose(plain, folded, atol=2e-5)
    bare, _ = answers(build(small_config()), True, views)
    assert not np.allclose(bare, folded, atol=1e-3)


@pytest.mark.parametrize("norm", [nn.LayerNorm(6), nn.LayerNorm(6, elementwise_affine=False)])
def test_a_norm_goes_into_the_map_behind_it(norm):
    randomised(norm)
    first, second = nn.Linear(6, 5), nn.Linear(6, 3, bias=False)
    values = torch.randn(4, 6)
    both = joined(Linear.of(first).behind(norm), Linear.of(second).behind(norm))
    expected = torch.cat([first(norm(values)), second(norm(values))], dim=-1)
    assert torch.allclose(both(normaliser(norm)(values)), expected, atol=1e-6)
    scale = torch.randn(5)
    assert torch.allclose(Linear.of(first).scaled(scale)(values), scale * first(values), atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 4, 10])
def test_samplers_do_what_the_head_does(steps):
    head = ActionHead(HeadConfig(width=32, layers=3, heads=2), 4, 7).eval()
    randomised(head)
    noise, state, condition = torch.randn(2, 4, 10), torch.randn(2, 7), torch.randn(2, 3, 32)
    with torch.inference_mode():
        expected = head.sample(noise, state, condition, steps)
        drawn = head.sample(noise, state, condition, steps, guidance=lambda action: 0.5 * action)
        for sampler in (FlowSampler(head, steps), FusedSampler(head, steps)):
            assert torch.allclose(sampler(noise, state, condition), expected, atol=1e-5)
            assert torch.allclose(sampler(noise, state, condition, lambda action: 0.5 * action), drawn, atol=1e-5)
    assert not torch.allclose(expected, drawn, atol=1e-3)


def test_what_cannot_be_folded_says_why_and_runs_plainly():
    network = build(small_config())
    network.semantic.internvl.config.text_config.hidden_act = "gelu"
    assert "no gated SiLU" in why_not(network)
    plain, engine = answers(network, fused=True)
    assert engine.fused is None
    assert "no gated SiLU" in engine.unfused
    assert np.isfinite(plain).all()


def test_only_the_last_tokens_leave_the_last_layer():
    network = build(small_config())
    folded = FusedNetwork(network)
    sequence = torch.randn(1, 9, 32)
    with torch.inference_mode():
        assert torch.allclose(folded.language(sequence, 3), folded.language(sequence, 9)[:, -3:], atol=1e-6)
