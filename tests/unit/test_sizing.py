"""What is said about a model on paper is what torch counts when the model runs."""

import dataclasses
import json
from contextlib import nullcontext

import pytest
import torch
from support.counting import LiveBytes, Run, counted_flops, kept_for_backward
from support.small_network import small_config
from torch import nn

from vipa_policy.errors import CheckpointError
from vipa_policy.model import describe, inputs, stages
from vipa_policy.model.config import ModelConfig, preset
from vipa_policy.model.lora import LoraSettings
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.semantic import internvl_config
from vipa_policy.model.sizing import memory
from vipa_policy.model.sizing.flops import inference_flops, part_flops, training_flops
from vipa_policy.model.sizing.memory import (
    MODES,
    SINGLE,
    estimate,
    kept_activations,
    live_activations,
    trained_parameters,
)
from vipa_policy.model.sizing.operators import PREFIX, STEP, Call, count_tokens, operators
from vipa_policy.model.sizing.parameters import adapter_parameters, count_parameters, meta_network
from vipa_policy.model.sizing.roofline import CARDS, Card, inference_seconds, part_seconds
from vipa_policy.model.stages import StagePlan


def thin_2b(**choices) -> ModelConfig:
    """The paper's choices (grouped keys and values, no pointing, dropout in the fusion), an eighth as wide."""
    whole = preset("vipa-2b")
    return dataclasses.replace(
        whole,
        semantic=dataclasses.replace(
            whole.semantic, image_size=224, vision_width=128, vision_heads=4, vision_layers=2, vision_feedforward=512,
            language_width=256, language_layers=2, language_head_size=48, language_heads=8,
            language_key_value_heads=4, language_feedforward=768, vocabulary_size=100, tied=False,
        ),
        spatial=dataclasses.replace(whole.spatial, image_size=224, width=96, heads=4, fine_width=16, **choices),
        fusion=dataclasses.replace(whole.fusion, width=64, heads=4),
        head=dataclasses.replace(whole.head, width=192, heads=4, layers=5),
    )  # fmt: skip


CASES = {
    "small": (small_config(), Call()),
    "small, many": (small_config(), Call(batch=2, views=3, words=5, instructions=2, steps=3)),
    "tiny": (preset("vipa-tiny"), Call()),
    "tiny, many": (preset("vipa-tiny"), Call(batch=2, views=2, words=6, instructions=3)),
    "thin": (thin_2b(), Call(words=40)),
    "thin, no spatial side": (thin_2b(kind="none"), Call(batch=2, words=40)),
}
every_case = pytest.mark.parametrize(("config", "call"), CASES.values(), ids=CASES)


def built(config: ModelConfig) -> VipaNetwork:
    torch.manual_seed(0)
    return VipaNetwork(config, 5, Normalisation(config.horizon)).train()


def modules_of(network: VipaNetwork) -> dict[str, nn.Module]:
    model = network.semantic.internvl.model
    found = {
        "vision": model.vision_tower, "spatial": network.spatial, "fusion": network.fusion,
        "projector": model.multi_modal_projector, "language": model.language_model, "head": network.head,
    }  # fmt: skip
    return {name: module for name, module in found.items() if module is not None}


def freeze(network: VipaNetwork, mode: str) -> None:
    """Let train what a mode trains; "lora" with adapters on every matrix of the language model's layers."""
    for name, module in modules_of(network).items():
        factor = MODES[mode].get(name, MODES[mode][STEP])
        module.requires_grad_(factor == memory.TRAINED)
    if mode == "lora":
        for layer in network.semantic.internvl.model.language_model.layers:
            for part in (layer.self_attn, layer.mlp):
                for name, child in list(part.named_children()):
                    if isinstance(child, nn.Linear):
                        setattr(part, name, Adapted(child, 4))


class Adapted(nn.Module):
    """A matrix with a low-rank update."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, values):
        return self.base(values) + self.up(self.down(values))


@every_case
def test_flops_are_what_torch_counts(config, call):
    run = Run.of(built(config), call)
    prefix, head = counted_flops(run.prefix), counted_flops(run.sample)
    parts = part_flops(config, call)
    steps = call.steps or config.head.flow_steps
    assert sum(parts[part] for part in PREFIX) == pytest.approx(prefix, rel=0.002)
    assert parts["head once"] + steps * parts[STEP] == pytest.approx(head, rel=0.002)
    assert inference_flops(config, call) == pytest.approx(prefix + head, rel=0.002)


def test_flops_of_every_part_are_what_torch_counts(monkeypatch):
    """At the paper's own widths, on paper: no weights are made."""
    whole, call = preset("vipa-2b"), Call(words=64)
    config = dataclasses.replace(
        whole, semantic=dataclasses.replace(whole.semantic, vision_layers=2, language_layers=3)
    )  # every layer is like the next
    # Points are computed outside autocast, which knows no meta device; here none is on.
    monkeypatch.setattr(inputs, "exact", lambda device: nullcontext())
    with torch.device("meta"):
        network = meta_network(config).train()
        run = Run.of(network, call)
        tokens = count_tokens(config, call)
        text = torch.randn(1, 1, tokens.words + tokens.queries, config.semantic.language_width)
        patches = network.semantic.patches(run.inputs.pixels)
        spatial = network.spatial(run.inputs)
        image = network.semantic.project(patches)
        assert spatial.tokens.shape[1] == tokens.spatial
        assert patches.shape[2] == tokens.patches
        assert image.shape[1] == tokens.image
        counted = {
            "vision": counted_flops(lambda: network.semantic.patches(run.inputs.pixels)),
            "spatial": counted_flops(lambda: network.spatial(run.inputs)),
            "fusion": counted_flops(lambda: network.fusion(patches.flatten(1, 2), spatial.tokens, spatial.mask)),
            "projector": counted_flops(lambda: network.semantic.project(patches)),
            "language": counted_flops(
                lambda: network.semantic.read(image, text, torch.ones(text.shape[:3], dtype=torch.bool))
            ),
        }
    assert {part: part_flops(config, call)[part] for part in counted} == pytest.approx(counted, rel=0.002)


@pytest.mark.parametrize(("name", "mode"), [("thin", "lora"), ("thin", "stage_3"), ("thin", "full"), ("tiny", "full")])
def test_flops_of_training_are_what_torch_counts(name, mode):
    config, call = CASES[name]
    network = built(config)
    freeze(network, mode)
    run = Run.of(network, call)

    def step():
        run.prefix()
        run.head().sum().backward()

    counted = counted_flops(step)
    adapters = adapter_parameters(config, 4) if mode == "lora" else 0
    mine = training_flops(config, call, MODES[mode], adapters)
    # The first layer has no input that wants a gradient, and pointing's position lets none through.
    assert mine == pytest.approx(counted, rel=0.04)


@every_case
def test_parameters_are_those_of_the_network(config, call):
    network = built(config)
    counts = count_parameters(config)
    assert "other" not in counts
    assert sum(counts.values()) == sum(parameter.numel() for parameter in network.parameters())
    for name, module in modules_of(network).items():
        expected = sum(parameter.numel() for parameter in module.parameters())
        assert counts[name] == expected - (0 if name != "language" else module.embed_tokens.weight.numel())


@pytest.mark.parametrize(
    ("mode", "plan"),
    [
        ("lora", StagePlan("3", lora=LoraSettings(rank=4))),
        ("stage_3", StagePlan("3")),
        ("full", StagePlan("full")),
    ],
)
@pytest.mark.parametrize("name", ["tiny", "thin"])
def test_modes_train_what_the_stages_train(name, mode, plan):
    config, _ = CASES[name]
    network = built(config)
    stages.prepare(network, plan)
    trained = sum(stages.trainable_groups(network).values())
    assert trained_parameters(config, count_parameters(config), mode, rank=4) == trained


def test_adapters_are_counted_from_the_matrices():
    config = thin_2b()
    layers = meta_network(config).semantic.internvl.model.language_model.layers
    matrices = [module for module in layers.modules() if isinstance(module, nn.Linear)]
    assert adapter_parameters(config, 4) == sum(4 * (matrix.in_features + matrix.out_features) for matrix in matrices)


@pytest.mark.parametrize("mode", ["lora", "stage_3", "full"])
@pytest.mark.parametrize("name", ["tiny, many", "thin", "thin, no spatial side"])
def test_activations_kept_for_the_backward_pass_are_what_autograd_keeps(name, mode):
    config, call = CASES[name]
    network = built(config)
    freeze(network, mode)
    run = Run.of(network, call)
    with kept_for_backward(network, modules_of(network)) as kept:
        run.prefix()
        run.head()
    mine = kept_activations(config, call, MODES[mode], SINGLE)
    assert sum(mine.values()) == pytest.approx(kept.total, rel=0.1)
    for part in {"vision", "spatial", "language", "head"} & mine.keys():
        assert mine[part] == pytest.approx(kept.bytes_of[part], rel=0.1)


def test_checkpointing_keeps_the_inputs_of_layers():
    """Measured after the forward pass: without the layer that is computed again, and the mask, which closures hold."""
    config, call = thin_2b(kind="none"), Call(batch=2, words=40)
    network = built(config)
    network.semantic.internvl.activation_checkpointing_enable()
    freeze(network, "stage_3")
    run = Run.of(network, call)
    with kept_for_backward(network, modules_of(network)) as kept:
        run.prefix()
    mine = kept_activations(config, call, MODES["stage_3"], SINGLE, checkpointing=True)["language"]
    tokens = count_tokens(config, call).language
    unseen = call.batch * tokens * (memory.language_layer(config, True, SINGLE) + SINGLE * tokens)
    assert mine - unseen == pytest.approx(kept.bytes_of["language"], rel=0.1)


@every_case
def test_live_activations_are_what_an_inference_holds(config, call):
    network = built(config).eval()
    run = Run.of(network, call)
    given = [value for value in vars(run.inputs).values() if value is not None]
    with torch.inference_mode(), LiveBytes(given, [*network.parameters(), *network.buffers()]) as live:
        run.prefix()
        run.sample()
    assert live_activations(config, call, SINGLE) == pytest.approx(live.peak, rel=0.15)


def test_weights_gradients_and_moments_are_what_an_optimiser_holds():
    """In float32 throughout; the estimate adds the bfloat16 weights that are multiplied with."""
    config, call = CASES["thin"]
    network = built(config)
    freeze(network, "stage_3")
    network.semantic.internvl.requires_grad_(False)
    network.semantic.internvl.model.language_model.requires_grad_(True)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    counts = count_parameters(config)
    counts["embedding"] -= network.semantic.internvl.lm_head.weight.numel()  # no part of an action's loss
    mine = estimate(config, counts, call, "stage_3")
    assert mine.gradients == sum(parameter.grad.nbytes for parameter in trained)
    moments = [state[name].nbytes for state in optimiser.state.values() for name in ("exp_avg", "exp_avg_sq")]
    assert mine.moments == sum(moments)
    assert mine.weights == 2 * sum(counts.values()) + sum(parameter.nbytes for parameter in trained)
    assert mine.total == mine.weights + mine.gradients + mine.moments + mine.activations


def test_less_trains_in_less_memory():
    config, call = CASES["thin"]
    counts = count_parameters(config)
    totals = [
        estimate(config, counts, call, mode, rank=4, checkpointing=short).total
        for mode in ("inference", "lora", "stage_3", "full")
        for short in (True, False)
    ]
    assert totals == sorted(totals)
    with pytest.raises(CheckpointError, match="inference, lora, stage_3, full"):
        estimate(config, counts, call, "stage_4")


@every_case
def test_a_roofline_is_bound_by_arithmetic_or_by_traffic(config, call):
    listed = operators(config, call)
    fast_memory, fast_chip = (Card("", 1e12, 1e30, 1, ""), Card("", 1e30, 1e9, 1, ""))
    assert inference_seconds(config, call, fast_memory) == pytest.approx(inference_flops(config, call) / 1e12)
    steps = call.steps or config.head.flow_steps
    traffic = sum(
        2 * operator.times * (operator.weights + operator.values) * (steps if operator.part == STEP else 1)
        for operator in listed
    )
    assert inference_seconds(config, call, fast_chip) == pytest.approx(traffic / 1e9)
    for card in CARDS:
        best = inference_seconds(config, call, card)
        assert best > (1 - 1e-9) * inference_flops(config, call) / card.flops
        assert best > (1 - 1e-9) * traffic / card.bandwidth
        parts = part_seconds(config, call, card)
        assert best == pytest.approx(sum(parts.values()) + (steps - 1) * parts[STEP])


def test_weights_read_are_the_parameters_of_the_matrices():
    """So that the traffic of a batch of one is right where it matters: weights cross the memory once."""
    config, call = preset("vipa-2b"), Call(words=64)
    read = dict.fromkeys(("vision", "language", "projector", "head"), 0)
    for operator in operators(config, call):
        part = "head" if operator.part.startswith("head") else operator.part
        if part in read:
            read[part] += operator.times * operator.weights
    counts = count_parameters(config)
    assert read == pytest.approx({part: counts[part] for part in read}, rel=0.01)


def test_what_cannot_be_sized_is_refused():
    with pytest.raises(CheckpointError, match="size the rest with --spatial pointmap or none"):
        operators(thin_2b(kind="cut3r"), Call())
    with pytest.raises(CheckpointError, match="views 0"):
        Call(views=0)


@pytest.mark.parametrize("given", ["vipa-tiny", "folder", "config.json"])
def test_describe_takes_presets_and_checkpoints(given, repository, capsys):
    model = {"vipa-tiny": given, "folder": str(repository / "models" / "vipa-tiny")}.get(given)
    model = model or str(repository / "models" / "vipa-tiny" / "config.json")
    assert describe.main([model, "--json", "--views", "2", "--training-batch", "4"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["name"] == "vipa-tiny"
    assert values["parameters"]["total"] == sum(count_parameters(preset("vipa-tiny")).values())
    assert values["tokens"]["image"] == 98
    assert values["flops"]["total"] == values["flops"]["prefix"] + 4 * values["flops"]["per_step"]
    assert set(values["cards"]) == {"RTX 4090", "H100 SXM"}
    for needed in values["memory"].values():
        assert needed["total"] == sum(needed[part] for part in ("weights", "gradients", "moments", "activations"))


def test_a_published_configuration_is_sized_by_its_own_numbers():
    config = thin_2b()
    published = internvl_config(config.semantic, 5).to_dict()
    wrong = dataclasses.replace(config.semantic, family=published, vision_layers=9, language_layers=9)
    assert operators(dataclasses.replace(config, semantic=wrong), Call()) == operators(config, Call())


def test_another_spatial_encoder_can_be_sized_in_place(tmp_path, capsys):
    config = thin_2b(kind="depth_anything", pretrained="somewhere")
    header = {"model_type": "vipa", "version": 2, "model": config.to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(header))
    assert describe.main([str(tmp_path)]) == 2
    assert "size the rest with --spatial" in capsys.readouterr().err
    assert describe.main([str(tmp_path), "--json", "--spatial", "none"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["flops"]["spatial"] == values["parameters"]["spatial"] == values["tokens"]["spatial"] == 0
    assert values["call"]["words"] == 64  # a published tokenizer's chat template


def test_describe_prints_tables_for_people(capsys):
    assert describe.main(["vipa-2b"]) == 0
    printed = capsys.readouterr().out
    for word in ("vipa-2b", "language", "head per step", "RTX 4090", "H100 SXM", "lora_checkpointing", "whitepaper"):
        assert word in printed


def test_describe_says_what_it_cannot_find(tmp_path, capsys):
    for missing in ("vipa-7b", str(tmp_path), str(tmp_path / "config.json")):
        assert describe.main([missing]) == 2
        assert capsys.readouterr().err.startswith("describe: expected")
