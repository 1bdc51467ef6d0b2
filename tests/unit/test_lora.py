"""Adapters and new tokens: nothing changes until they train, nothing else ever does; they merge into plain weights."""

import sys

import pytest
import torch
from support.published_model import save_published
from support.published_network import LORA, awake, build, loss_of, random_batch

from vipa_policy.errors import TrainingError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import lora, stages
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.lora import LoraSettings
from vipa_policy.model.stages import StagePlan

NEW = [359, 361, 370]
EMBEDDING = "semantic.internvl.model.language_model.embed_tokens.weight"


@pytest.fixture(scope="module", params=["qwen3", "qwen2"], ids=["tied", "untied"])
def folder(request, tmp_path_factory):
    return save_published(tmp_path_factory.mktemp("published") / request.param, request.param)


@torch.no_grad()
def outputs(network, vocabulary):
    """Logits after words and new tokens, and what the head is told."""
    network.eval()
    tokens = torch.tensor([*vocabulary.encode("reach the red block"), *NEW]).expand(2, 1, -1)
    inputs, mask = random_batch(), torch.ones_like(tokens, dtype=torch.bool)
    condition = network.condition(inputs, tokens, mask)
    image, _ = network.image(inputs)
    hidden = network.semantic.read(image, network.semantic.embed(tokens), mask)
    return network.semantic.logits(hidden), condition.hidden


def close(ours, theirs, tolerance=1e-5):
    return all((a - b).abs().max() < tolerance for a, b in zip(ours, theirs, strict=True))


def trained(folder, steps=3, plan=StagePlan("2", lora=LORA)):  # noqa: B008
    network, vocabulary = build(folder)
    awake(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start = outputs(network, vocabulary)
    stages.prepare(network, plan, NEW)
    unchanged = outputs(network, vocabulary)
    stages.set_modes(network)
    optimiser = torch.optim.AdamW(stages.trainable(network).values(), lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        loss_of(network, vocabulary, plan.stage).backward()
        optimiser.step()
    return network, vocabulary, before, start, unchanged


def test_adapters_change_nothing_until_they_train(folder):
    network, vocabulary, _, start, unchanged = trained(folder)
    assert close(start, unchanged, 1e-6)
    assert not close(start, outputs(network, vocabulary), 1e-2)


def test_merged_outputs_are_equal_and_names_plain(folder):
    network, vocabulary, before, _, _ = trained(folder)
    adapted = outputs(network, vocabulary)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    with lora.merged(network):
        assert close(adapted, outputs(network, vocabulary))
        merged = {name: value.clone() for name, value in network.state_dict().items()}
        assert list(merged) == list(before)
    again = network.state_dict()
    assert list(again) == list(own)
    assert all(torch.equal(value, own[name]) for name, value in again.items())
    lora.merge(network)
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(value, merged[name]) for name, value in network.state_dict().items())
    assert close(adapted, outputs(network, vocabulary))
    tied = network.semantic.internvl.config.tie_word_embeddings
    assert (network.semantic.internvl.lm_head.weight is network.get_parameter(EMBEDDING)) == tied


def test_of_the_embeddings_only_new_tokens_change(folder):
    """Weight decay and all: every other row keeps every bit, at the input and at the output."""
    network, _, before, _, _ = trained(folder)
    lora.merge(network)
    old = [row for row in range(384) if row not in NEW]
    for name in (EMBEDDING, "semantic.internvl.lm_head.weight"):
        value = network.state_dict()[name]
        assert torch.equal(value[old], before[name][old])
        assert (value[NEW] != before[name][NEW]).any(dim=1).all()


def test_a_checkpoint_of_an_adapted_network_is_plain(folder, contract, tmp_path):
    network, vocabulary, _, _, _ = trained(folder, plan=StagePlan("3", lora=LORA))
    adapted = outputs(network, vocabulary)
    with lora.merged(network):
        checkpoints.save(Checkpoint(network.config, contract, vocabulary, network, {}), tmp_path / "policy")
    loaded = checkpoints.load(tmp_path / "policy")
    assert close(adapted, outputs(loaded.network, loaded.vocabulary))


def test_what_was_learned_is_not_lost_in_bf16(folder):
    """Merged onto weights that are stored in bf16, small changes would round away."""
    network, _, before, _, _ = trained(folder)
    stages.store_frozen(network, torch.bfloat16)
    lora.merge(network)
    name = "semantic.internvl.model.language_model.layers.0.self_attn.q_proj.weight"
    value = network.state_dict()[name]
    assert value.dtype == torch.float32
    assert not torch.equal(value, value.bfloat16().float())
    assert (value - before[name]).abs().max() > 1e-4


def test_without_peft_the_error_says_what_to_install(folder, monkeypatch):
    network, _ = build(folder)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(TrainingError, match="pip install peft"):
        stages.prepare(network, StagePlan("3", lora=LORA))


def test_a_target_that_is_not_there_is_refused(folder):
    network, _ = build(folder)
    with pytest.raises(TrainingError, match=r"down_proj.*got wqkv"):
        lora.inject(network, LoraSettings(targets=("wqkv",)))


def test_adapters_are_not_put_on_twice(folder):
    network, _ = build(folder)
    lora.inject(network, LORA)
    with pytest.raises(TrainingError, match="merge them first"):
        lora.inject(network, LORA)


@pytest.mark.parametrize("arguments", [{"rank": 0}, {"dropout": 1.0}, {"targets": ()}])
def test_settings_that_make_no_adapter_are_refused(arguments):
    with pytest.raises(TrainingError, match="rank"):
        LoraSettings(**arguments)
