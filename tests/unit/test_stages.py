"""Each stage trains exactly what the paper says; what is frozen is quiet; checkpointing and bf16 change nothing."""

import dataclasses

import pytest
import torch
from support.published_model import save_published
from support.published_network import CPU, LORA, awake, build, loss_of
from support.small_network import small_config
from transformers.modeling_layers import GradientCheckpointingLayer

from vipa_policy.errors import TrainingError
from vipa_policy.model import mixed_precision, stages
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.stages import StagePlan


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_published(tmp_path_factory.mktemp("published") / "small")


def parts_of(network) -> dict[str, set[str]]:
    """The names of the parameters of every part, told by the modules themselves."""
    internvl = network.semantic.internvl
    embeddings = {id(internvl.get_input_embeddings().weight), id(internvl.lm_head.weight)}
    owners = {
        "vision_tower": internvl.model.vision_tower, "projector": internvl.model.multi_modal_projector,
        "language_model": internvl.model.language_model, "spatial": network.spatial, "fusion": network.fusion,
        "pointing": network.pointing,
    }  # fmt: skip
    group_of_id = {id(p): group for group, module in owners.items() if module for p in module.parameters()}
    group_of_id |= dict.fromkeys(embeddings, "embeddings") | {id(network.queries): "action_queries"}
    parts: dict[str, set[str]] = {}
    for name, parameter in network.named_parameters():
        parts.setdefault(group_of_id.get(id(parameter), "action_head"), set()).add(name)
    return parts


LANGUAGE = {"language_model", "embeddings"}
ACTION = {"action_queries", "action_head", "pointing"}
EVERYTHING = {"vision_tower", "projector", "spatial", "fusion"} | LANGUAGE | ACTION


@pytest.mark.parametrize(
    ("plan", "trained"),
    [
        (StagePlan("1"), {"fusion"}),
        (StagePlan("1", spatial=True), {"fusion", "spatial"}),
        (StagePlan("2"), {"fusion", "projector"} | LANGUAGE),
        (StagePlan("2", projector=False), {"fusion"} | LANGUAGE),
        (StagePlan("3"), LANGUAGE | ACTION),
        (StagePlan("3", projector=True), LANGUAGE | ACTION | {"projector"}),
        (StagePlan("3", fusion=True, spatial=True), LANGUAGE | ACTION | {"fusion", "spatial"}),
        (StagePlan("full"), EVERYTHING),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # workers must agree
)
def test_a_stage_trains_exactly_its_parts(folder, plan, trained):
    network, _ = build(folder, "pointing")
    parts = parts_of(network)
    assert set(parts) == EVERYTHING
    assert all(stages.group_of(name) == group for group, names in parts.items() for name in names)
    stages.prepare(network, plan)
    assert set(stages.trainable(network)) == set().union(*(parts[group] for group in trained))
    assert set(stages.trainable_groups(network)) == trained
    assert set(plan.trained()) == trained


def test_alpha_trains_in_stage_1(folder):
    network, _ = build(folder)
    stages.prepare(network, StagePlan("1"))
    assert "fusion.alpha" in stages.trainable(network)


@pytest.mark.parametrize(
    ("plan", "trained"),
    [
        (StagePlan("2", lora=LORA), {"fusion", "projector", "lora", "new_tokens"}),
        (StagePlan("3", lora=LORA), {"lora", "action_queries", "action_head"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),  # workers must agree
)
def test_with_lora_adapters_stand_for_the_language_model(folder, plan, trained):
    network, _ = build(folder)
    before = dict(network.named_parameters())
    stages.prepare(network, plan, new_tokens=[360, 361, 362])
    assert set(stages.trainable_groups(network)) == trained
    counts = stages.trainable_groups(network)
    # Rank times (inputs + outputs) of every matrix of two decoder layers 48 wide: q, k, v, o, gate, up, down.
    assert counts["lora"] == 2 * 4 * ((48 + 64) + 2 * (48 + 32) + (64 + 48) + 2 * (48 + 96) + (96 + 48))
    if "new_tokens" in trained:
        assert counts["new_tokens"] == 3 * 48  # tied: once
    assert not any(parameter.requires_grad for name, parameter in before.items() if "language_model" in name)


def test_a_spatial_encoder_that_is_frozen_stays_so_in_full(folder):
    network, _ = build(folder)
    object.__setattr__(network.config.spatial, "frozen", True)
    stages.prepare(network, StagePlan("full"))
    assert "spatial" not in stages.trainable_groups(network)
    assert not network.spatial.training


@pytest.mark.parametrize("stage", ["1", "2", "3"])
def test_what_is_frozen_is_in_evaluation_mode(folder, stage):
    """Its dropout is off, before and after an evaluation; what trains has its dropout on."""
    network, _ = build(folder)
    stages.prepare(network, StagePlan(stage))
    for _ in range(2):
        assert network.fusion.dropout.training == (stage != "3")
        assert not network.semantic.internvl.model.vision_tower.training
        assert not any(module.training for module in network.spatial.modules())
        assert network.semantic.internvl.model.language_model.training == (stage != "1")
        assert network.head.training == (stage == "3")
        network.eval()
        stages.set_modes(network)


def gradients(network, vocabulary, stage, precision=torch.float32):
    network.zero_grad()
    loss = loss_of(network, vocabulary, stage, precision)
    loss.backward()
    opened = stages.trainable(network)
    return float(loss.detach()), {n: p.grad.clone() for n, p in opened.items() if p.grad is not None}


@pytest.mark.parametrize("stage", ["1", "2", "3", "full"])
def test_a_step_changes_what_trains_and_nothing_else(folder, stage):
    network, vocabulary = build(folder)
    awake(network)
    stages.prepare(network, StagePlan(stage))
    opened = stages.trainable(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.1)  # decay would move the frozen
    loss_of(network, vocabulary, stage).backward()
    optimiser.step()
    after = network.state_dict()
    embedding = "semantic.internvl.model.language_model.embed_tokens.weight"
    tied = {"semantic.internvl.lm_head.weight"} if embedding in opened else set()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed - tied <= set(opened)
    # Unused leftovers of transformers' classes have no gradient, and biases of keys have none by symmetry.
    assert len(changed) > 0.8 * len(opened)


@pytest.mark.parametrize("stage", ["1", "2", "3", "full"])
def test_checkpointing_gives_the_same_gradients(folder, stage):
    """And it does so by running the language model's layers twice, a frozen language model's too (stage 1)."""
    network, vocabulary = build(folder, dropout=0.0)
    awake(network)
    stages.prepare(network, StagePlan(stage))
    calls: list[int] = []
    layer = network.semantic.internvl.model.language_model.layers[0]
    layer.input_layernorm.register_forward_hook(lambda *_: calls.append(1))
    loss, plain = gradients(network, vocabulary, stage)
    assert len(calls) == 1
    stages.checkpoint_gradients(network)
    assert isinstance(layer, GradientCheckpointingLayer)
    again, checkpointed = gradients(network, vocabulary, stage)
    assert len(calls) == 3
    assert abs(loss - again) < 1e-6
    assert set(plain) == set(checkpointed)
    for name, value in plain.items():
        assert (value - checkpointed[name]).abs().max() <= 1e-5 * max(1.0, float(value.abs().max())), name
    frozen_inside = stage == "1"
    assert layer.self_attn.training != frozen_inside


@pytest.mark.parametrize(
    ("stage", "adapted"), [("1", False), ("2", False), ("2", True), ("3", False), ("3", True), ("full", False)]
)
def test_bf16_stays_close(folder, stage, adapted):
    """Autocast with the frozen matrices stored in bf16: the loss within 2 %, gradients alike, what trains in fp32."""
    network, vocabulary = build(folder, dropout=0.0)
    awake(network)
    stages.prepare(network, StagePlan(stage, lora=LORA if adapted else None), new_tokens=[360])
    exact, expected = gradients(network, vocabulary, stage)
    stages.store_frozen(network, torch.bfloat16)
    assert {p.dtype for p in stages.trainable(network).values()} == {torch.float32}
    if stage != "full":
        stored = [p.dtype for n, p in network.named_parameters() if "vision_tower" in n and "proj.weight" in n]
        assert set(stored) == {torch.bfloat16}
    loss, found = gradients(network, vocabulary, stage, torch.bfloat16)
    assert abs(loss - exact) < 0.02 * exact
    ours = torch.cat([value.flatten() for value in found.values()])
    theirs = torch.cat([expected[name].flatten() for name in found])
    assert ours.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99


def test_a_precision_that_is_not_there_is_refused():
    with pytest.raises(TrainingError, match="auto, fp32, bf16"):
        mixed_precision.choose("fp8", CPU)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"stage": "4"}, "1, 2, 3, full"),
        ({"stage": "1", "lora": LORA}, "'lora' in stage 2 or 3"),
        ({"stage": "full", "lora": LORA}, "'lora'"),
        ({"stage": "2", "fusion": True}, "'fusion' in stage 3"),
        ({"stage": "1", "projector": True}, "'projector'"),
        ({"stage": "full", "spatial": False}, "'spatial'"),
    ],
)
def test_an_option_that_the_stage_has_not_is_refused(arguments, told):
    with pytest.raises(TrainingError, match=told):
        StagePlan(**arguments)


@pytest.mark.parametrize("stage", ["1", "2"])
def test_a_network_without_fusion_has_no_stage_1_or_2(stage, folder):
    small = small_config()
    config = dataclasses.replace(
        small,
        spatial=dataclasses.replace(small.spatial, kind="none"),
        head=dataclasses.replace(small.head, grounding="none"),
    )
    network = VipaNetwork(config, 4, Normalisation(16))
    with pytest.raises(TrainingError, match="fusion"):
        stages.prepare(network, StagePlan(stage))
