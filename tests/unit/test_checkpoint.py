import json

import numpy as np
import pytest
import torch
from support.small_network import make_observation, make_view

from vipa_policy.errors import CheckpointError, ContractMismatch, InstructionError, ObservationError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import load_policy
from vipa_policy.model.checkpoint import FILES, Checkpoint

WORDS = "reach the red block"


@pytest.fixture
def saved(checkpoint, tmp_path):
    with torch.no_grad():
        torch.nn.init.normal_(checkpoint.network.head.action_out.weight, std=0.1)
        # A rotation that is one: the first two columns of the identity.
        checkpoint.network.head.action_out.bias.copy_(torch.tensor([0, 0, 0, 3.0, 0, 0, 0, 3.0, 0, 0]))
    folder = tmp_path / "vipa-test"
    checkpoints.save(checkpoint, folder)
    return folder


def test_a_saved_policy_predicts_the_same(saved):
    first = load_policy(str(saved), "cpu").predict(make_observation(), WORDS, seed=3)
    again = load_policy(str(saved), "cpu").predict(make_observation(), WORDS, seed=3)
    other = load_policy(str(saved), "cpu").predict(make_observation(), WORDS, seed=4)
    assert np.array_equal(first.camera_from_tip, again.camera_from_tip)
    assert not np.allclose(first.camera_from_tip, other.camera_from_tip)
    assert first.camera_from_tip.shape == (16, 4, 4)
    assert first.stamp == 12.5
    assert np.all((first.gripper >= 0.0) & (first.gripper <= 0.08))
    assert 0.0 <= first.pointed_confidence <= 1.0
    rotations = first.camera_from_tip[:, :3, :3]
    assert np.allclose(rotations @ rotations.transpose(0, 2, 1), np.eye(3), atol=1e-6)


def test_weights_survive_to_the_bit(saved, checkpoint):
    loaded = checkpoints.load(saved)
    for (name, ours), theirs in zip(
        checkpoint.network.state_dict().items(), loaded.network.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    assert loaded.contract == checkpoint.contract
    assert loaded.config == checkpoint.config


def test_weights_in_shards_are_the_same_weights(checkpoint, tmp_path):
    folder = tmp_path / "sharded"
    checkpoint.save_pretrained(folder, shard_size=200_000)
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    loaded = Checkpoint.from_pretrained(folder)
    for (name, ours), theirs in zip(
        checkpoint.network.state_dict().items(), loaded.network.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"lacks {shard.name}"):
        Checkpoint.from_pretrained(folder)


def test_an_index_cannot_point_outside_its_folder(checkpoint, tmp_path):
    checkpoint.save_pretrained(tmp_path / "sharded", shard_size=200_000)
    index = tmp_path / "sharded" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"queries": "../../elsewhere.safetensors"}}))
    with pytest.raises(CheckpointError, match="files beside"):
        Checkpoint.from_pretrained(tmp_path / "sharded")


def test_a_pickle_is_refused(saved):
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickle pytorch_model\.bin"):
        load_policy(str(saved), "cpu")


def test_another_kind_of_model_is_refused(saved):
    values = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(values | {"model_type": "internvl"}))
    with pytest.raises(CheckpointError, match="'internvl'"):
        load_policy(str(saved), "cpu")


def test_a_checkpoint_is_found_by_name(saved, monkeypatch):
    monkeypatch.setenv("VIPA_MODELS", str(saved.parent))
    assert load_policy("vipa-test", "cpu").name == "vipa-test"


def test_a_missing_folder_says_how_to_make_one(tmp_path):
    with pytest.raises(CheckpointError, match=r"training/finetune\.py"):
        load_policy(str(tmp_path / "nothing"))


@pytest.mark.parametrize("name", [*FILES, "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        load_policy(str(saved), "cpu")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_weights_cut_short_are_refused(saved, share):
    file = saved / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match="cut short"):
        load_policy(str(saved), "cpu")


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".json")])
def test_json_cut_short_is_refused(saved, name):
    text = (saved / name).read_text()
    (saved / name).write_text(text[: len(text) // 2])
    with pytest.raises((CheckpointError, ContractMismatch)):
        load_policy(str(saved), "cpu")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[]"),
        ("contract.json", "{}"),
        ("normalisation.json", "{}"),
        ("tokenizer.json", "{}"),
        ("tasks.json", "[{}]"),
        ("tasks.json", "7"),
    ],
)
def test_json_of_another_kind_is_refused(saved, name, content):
    (saved / name).write_text(content)
    with pytest.raises((CheckpointError, ContractMismatch)):
        load_policy(str(saved), "cpu")


def test_sizes_that_make_no_network_are_refused(saved):
    values = json.loads((saved / "config.json").read_text())
    values["model"]["semantic"]["vision_heads"] = 5
    (saved / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_policy(str(saved), "cpu")


def test_a_newer_version_is_refused(saved):
    values = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(values | {"version": 99}))
    with pytest.raises(CheckpointError, match="version 99"):
        load_policy(str(saved), "cpu")


@pytest.mark.parametrize(("field", "value"), [("horizon", 8), ("mode", "delta"), ("normalisation", "minimum_maximum")])
def test_a_contract_the_network_cannot_honour_is_refused_with_both_sides(saved, field, value):
    values = json.loads((saved / "contract.json").read_text())
    ours = values[field]
    (saved / "contract.json").write_text(json.dumps(values | {field: value}))
    with pytest.raises(ContractMismatch) as caught:
        load_policy(str(saved), "cpu")
    message = str(caught.value)
    assert field in message
    assert repr(ours) in message
    assert repr(value) in message


def test_weights_of_another_network_are_refused(saved):
    values = json.loads((saved / "config.json").read_text())
    values["model"]["head"]["layers"] = 4
    (saved / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="missing"):
        load_policy(str(saved), "cpu")


def test_a_kind_of_encoder_that_is_not_there_is_refused(saved):
    values = json.loads((saved / "config.json").read_text())
    values["model"]["spatial"]["kind"] = "lidar"
    (saved / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"pointmap, .*, got 'lidar'"):
        load_policy(str(saved), "cpu")


def test_unknown_device(saved):
    with pytest.raises(CheckpointError, match="'auto', 'cuda' or 'cpu'"):
        load_policy(str(saved), "tpu")


def test_unknown_words_are_named_and_known_ones_listed(saved):
    policy = load_policy(str(saved), "cpu")
    with pytest.raises(InstructionError) as caught:
        policy.check_instruction("reach the mauve teapot")
    message = str(caught.value)
    assert "'mauve', 'teapot'" in message
    assert "red green blue" in message
    with pytest.raises(InstructionError, match="not trained on the sentence"):
        policy.predict(make_observation(), "block the red reach")
    policy.check_instruction("  Reach the RED block. ")


def test_other_views_and_broken_poses_are_refused(saved):
    policy = load_policy(str(saved), "cpu")
    observation = make_observation()
    wrong = type(observation)(0.0, (make_view(name="wrist"),), observation.camera_from_tip, 0.08)
    with pytest.raises(ObservationError, match=r"'scene'.*'wrist'"):
        policy.predict(wrong, WORDS)
    broken = type(observation)(0.0, observation.views, np.full((4, 4), np.nan), 0.08)
    with pytest.raises(ObservationError, match="NaN"):
        policy.predict(broken, WORDS)


def test_the_number_of_threads_is_set_where_it_is_asked_for(saved):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        load_policy(str(saved), "cpu")
        assert torch.get_num_threads() == 2
        load_policy(str(saved), "cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
