"""The engine does each part of its work as rarely as it can, is decided by its seed, and refuses what it cannot run."""

import numpy as np
import pytest
import torch
from support.small_network import make_observation, make_view

from vipa_policy.errors import CheckpointError
from vipa_policy.model.engine import EngineOptions, InferenceEngine
from vipa_policy.model.engine.engine import REMEMBERED, inputs_of, tensors_of
from vipa_policy.model.engine.precision import choose_format
from vipa_policy.model.inputs import back_project
from vipa_policy.model.policy import VipaPolicy
from vipa_policy.model.preparation import prepare_view, stack

WORDS = "reach the red block"
CPU = torch.device("cpu")


class Counted:
    """Counts the calls of a function it stands before."""

    def __init__(self, function) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        return self.function(*arguments, **options)


def inputs(*seeds):
    return stack([prepare_view(make_view(seed), 64) for seed in seeds or (0,)], 32, CPU)


def state():
    return torch.linspace(-0.3, 0.5, 10)[None]


@pytest.mark.parametrize("fused", [True, False])
def test_a_prefix_is_computed_once_and_words_once_per_instruction(network, monkeypatch, fused):
    engine = InferenceEngine(network, options=EngineOptions(fused=fused))
    sampler = engine.sampler(4)
    embed = Counted(network.semantic.embed)
    spatial = Counted(network.spatial.encode)
    denoise = Counted(sampler.denoise)
    monkeypatch.setattr(network.semantic, "embed", embed)
    monkeypatch.setattr(network.spatial, "encode", spatial)
    monkeypatch.setattr(sampler, "denoise", denoise)
    modulations = Counted(network.head.modulations)
    monkeypatch.setattr(network.head, "modulations", modulations)
    for _ in range(3):
        engine.predict(inputs(), [7, 8, 9], state(), engine.noise(0), 4)
    assert spatial.calls == 3
    assert denoise.calls == 12
    assert embed.calls == 1
    assert modulations.calls == 0
    engine.predict(inputs(), [7, 8, 10], state(), engine.noise(0), 4)
    assert embed.calls == 2


def test_instructions_are_forgotten_some_day(network):
    engine = InferenceEngine(network)
    for index in range(REMEMBERED + 5):
        engine.words([index % 13 + 1, index // 13 + 1])
    assert len(engine._words) == REMEMBERED


def test_a_seed_decides_the_chunk(checkpoint):
    with torch.no_grad():
        torch.nn.init.normal_(checkpoint.network.head.action_out.weight, std=0.1)
        checkpoint.network.head.action_out.bias.copy_(torch.tensor([0, 0, 0, 3.0, 0, 0, 0, 3.0, 0, 0]))
    policy = VipaPolicy(checkpoint, CPU, "test")
    first, again, other, fresh, new = (
        policy.predict(make_observation(), WORDS, seed=seed).camera_from_tip for seed in (1, 1, 2, None, None)
    )
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(fresh, new)


def test_several_observations_are_refused(network):
    engine = InferenceEngine(network)
    one = inputs()
    two = type(one)(*(torch.cat([part, part]) for part in (one.pixels, one.colours, one.rays, one.depth)),
                    torch.cat([one.reference_from_camera] * 2))  # fmt: skip
    with pytest.raises(CheckpointError, match="one observation at a time, got 2"):
        engine.predict(two, [7], state(), engine.noise(0))


@pytest.mark.parametrize("fused", [True, False])
def test_half_precision_stays_near(network, fused):
    """bf16 has three digits: chunks differ by less than what the normalisation's deviations of 1 make of it."""
    torch.nn.init.normal_(network.head.action_out.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    exact = InferenceEngine(network, options=EngineOptions(fused=fused))
    expected = exact.predict(inputs(), [7, 8], state(), exact.noise(0))
    half = InferenceEngine(network, options=EngineOptions("bf16", fused=fused))
    assert half.fused is None
    assert "not fp32" in half.unfused or not fused
    got = half.predict(inputs(), [7, 8], state(), half.noise(0))
    assert got.actions.dtype == torch.float32
    assert torch.allclose(got.actions, expected.actions, atol=0.05)
    assert got.pointed.dtype == torch.float32
    assert torch.allclose(got.pointed, expected.pointed, atol=0.02)
    assert half.network.normalisation.action_mean.dtype == torch.float32


def test_positions_stay_exact_in_half_precision():
    """What bf16 would make of a point 0.7 m away lies up to 2 mm beside it."""
    given = inputs()
    exact = back_project(given.depth, given.rays, given.reference_from_camera)[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = back_project(given.depth, given.rays, given.reference_from_camera)[0]
    assert torch.equal(half, exact)


def test_formats():
    assert choose_format("auto", CPU) == torch.float32
    assert choose_format("bf16", CPU) == torch.bfloat16
    with pytest.raises(CheckpointError, match="'int8'"):
        choose_format("int8", CPU)


def test_an_input_survives_being_taken_apart():
    whole = inputs(0, 1)
    names, parts = tensors_of(whole)
    again = inputs_of(names, parts)
    assert torch.equal(again.depth, whole.depth)
    assert torch.equal(again.rays, whole.rays)
    blind = type(whole)(whole.pixels, whole.colours, whole.rays, None, whole.reference_from_camera)
    assert inputs_of(*tensors_of(blind)).depth is None


def test_a_compiled_network_predicts_the_same(network):
    """torch.compile's tracing with its plainest back end: what the compiler makes of it is torch's to test."""
    plain = InferenceEngine(network)
    expected = plain.predict(inputs(), [7, 8], state(), plain.noise(0), 2)
    with torch._dynamo.config.patch(suppress_errors=False):
        compiled = InferenceEngine(network, options=EngineOptions(compile=True, compiler="eager"))
        got = compiled.predict(inputs(), [7, 8], state(), compiled.noise(0), 2)
    assert torch.allclose(got.actions, expected.actions, atol=1e-5)


@pytest.mark.gpu
def test_a_graph_predicts_what_the_network_does(network):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = torch.device("cuda")
    eager = InferenceEngine(network, device, EngineOptions("fp32", graphs=False))
    graphed = InferenceEngine(network, device, EngineOptions("fp32"))
    given = stack([prepare_view(make_view(0), 64)], 32, device)
    for seed in range(3):
        own, noise = state().to(device) + seed, eager.noise(seed)
        first = eager.predict(given, [7, 8], own, noise)
        second = graphed.predict(given, [7, 8], own, noise)
        assert torch.allclose(first.actions, second.actions, atol=1e-4)
