"""From a published folder or hub id to a predicted chunk; and everything that such a folder can lack."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from support.published_model import save_published
from support.small_network import make_observation, small_config

from vipa_policy.errors import CheckpointError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import hub, load_policy, published
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.config import ModelConfig, SemanticConfig, preset
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.weights import weight_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_published(tmp_path_factory.mktemp("published") / "InternVL-small-HF")


@pytest.fixture
def copied(folder, tmp_path):
    """A folder of one's own, to break."""
    fresh = tmp_path / folder.name
    fresh.mkdir()
    for file in folder.iterdir():
        (fresh / file.name).write_bytes(file.read_bytes())
    return fresh


def config_of(name) -> ModelConfig:
    return dataclasses.replace(small_config(), semantic=SemanticConfig(published=str(name)))


def test_from_a_published_folder_to_a_chunk(folder, contract, tmp_path):
    """Configuration, weights in shards, checkpoint, policy: the chunk is that of the network that was built."""
    assert len(weight_files(folder)) > 3
    network, vocabulary = published.start(config_of(folder), Normalisation(16))
    with torch.no_grad():
        for parameter in network.head.parameters():  # a fresh head listens to nothing
            parameter.add_(0.1 * torch.randn_like(parameter))
        network.head.action_out.bias.copy_(torch.tensor([0, 0, 0, 3.0, 0, 0, 0, 3.0, 0, 0]))
    checkpoints.save(Checkpoint(network.config, contract, vocabulary, network, {}), tmp_path / "policy")
    del network
    policy = load_policy(str(tmp_path / "policy"), "cpu")
    first = policy.predict(make_observation(), "put the small thing somewhere else", seed=1)
    again = policy.predict(make_observation(), "put the small thing somewhere else", seed=1)
    other = policy.predict(make_observation(), "wipe the table", seed=1)
    assert np.array_equal(first.camera_from_tip, again.camera_from_tip)
    assert not np.allclose(first.camera_from_tip, other.camera_from_tip, atol=1e-7)
    assert np.isfinite(first.camera_from_tip).all()
    # Nothing but the checkpoint is needed, and it has the published weights.
    loaded = checkpoints.load(tmp_path / "policy")
    theirs = published.load_model(loaded.config.semantic, folder, loaded.vocabulary.image_token)
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, loaded.network.semantic.internvl.state_dict()[name]), name
    assert loaded.config.semantic.published == str(folder)


def test_sizes_come_from_the_published_configuration(folder):
    read = published.semantic_config(folder)
    assert (read.language_family, read.language_width, read.language_head_size) == ("qwen3", 48, 16)
    assert (read.vision_width, read.image_size, read.patch_size) == (32, 32, 8)
    assert (read.language_heads, read.language_key_value_heads, read.vocabulary_size) == (4, 2, 384)
    assert read.tokenizer == "published"
    config = dataclasses.replace(small_config(), semantic=read)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_weights_stored_in_bf16_are_computed_with_in_fp32(copied):
    values = json.loads((copied / "config.json").read_text())
    values["dtype"] = "bfloat16"
    values["text_config"]["dtype"] = values["vision_config"]["dtype"] = "bfloat16"
    (copied / "config.json").write_text(json.dumps(values))
    network, _ = published.start(config_of(copied), Normalisation(16))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    built = VipaNetwork(network.config, network.semantic.internvl.config.image_token_id, Normalisation(16))
    assert {parameter.dtype for parameter in built.parameters()} == {torch.float32}  # as a checkpoint is loaded
    network, _ = published.start(config_of(copied), Normalisation(16), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in network.semantic.parameters()} == {torch.bfloat16}


def test_the_preset_names_the_published_weights():
    semantic = preset("vipa-2b").semantic
    assert semantic.published == "OpenGVLab/InternVL3_5-2B-HF"
    assert (semantic.image_size, semantic.tokenizer) == (448, "published")


def test_weights_that_are_nowhere_say_how_to_get_them(monkeypatch, tmp_path):
    """Offline, as HF_HUB_OFFLINE makes the hub library: nothing in the cache, nobody asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"hf download OpenGVLab/InternVL3_5-2B-HF.*semantic\.published"):
        published.start(preset("vipa-2b"), Normalisation(16))
    with pytest.raises(CheckpointError, match=r"hf download OpenGVLab/InternVL3_5-2B-HF"):
        published.resolve(preset("vipa-2b"))


def test_a_hub_id_in_the_cache_is_read_offline(folder, monkeypatch, tmp_path):
    """The cache as huggingface_hub lays it out; weights that are not all there count as absent."""
    snapshot = tmp_path / "models--somebody--InternVL-small-HF" / "snapshots" / "0123456789"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0123456789")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (snapshot / "config.json").write_bytes((folder / "config.json").read_bytes())
    name = "somebody/InternVL-small-HF"
    assert published.resolve(config_of(name)).semantic.language_width == 48
    with pytest.raises(CheckpointError, match="hf download somebody/InternVL-small-HF"):
        published.find_published(name)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    network, _ = published.start(config_of(name), Normalisation(16))
    assert network.config.semantic.published == name
    assert hub.find_folder(name) == snapshot


def test_views_smaller_than_a_tile_are_refused(folder):
    config = config_of(folder)
    config = dataclasses.replace(config, spatial=dataclasses.replace(config.spatial, image_size=48))
    with pytest.raises(CheckpointError, match=r"views of 32 px.*got 48 px"):
        published.start(config, Normalisation(16))


def test_a_pickle_is_refused(copied):
    for file in weight_files(copied):
        file.unlink()
    (copied / "model.safetensors.index.json").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pickle pytorch_model\.bin"):
        published.start(config_of(copied), Normalisation(16))


def test_a_missing_shard_is_named(copied):
    shard = weight_files(copied)[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"lacks {shard.name}"):
        published.start(config_of(copied), Normalisation(16))


def test_a_shard_cut_short_is_refused(copied):
    shard = weight_files(copied)[1]
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="copy the whole folder again"):
        published.start(config_of(copied), Normalisation(16))


def test_weights_of_another_size_are_refused(copied):
    values = json.loads((copied / "config.json").read_text())
    values["text_config"]["num_hidden_layers"] = 3
    values["text_config"].pop("layer_types", None)
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"missing \(first: model\.language_model\.layers\.2"):
        published.start(config_of(copied), Normalisation(16))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", "{", "cut short"),
        ("config.json", "[]", "internvl"),
        ("config.json", '{"model_type": "llava"}', "'llava'"),
        ("tokenizer.json", "{", "tokenizer"),
    ],
)
def test_files_of_another_kind_are_refused(copied, file, content, told):
    (copied / file).write_text(content)
    with pytest.raises(CheckpointError, match=told):
        published.start(config_of(copied), Normalisation(16))


def test_sliding_windows_are_refused(copied):
    values = json.loads((copied / "config.json").read_text())
    values["text_config"]["layer_types"] = ["sliding_attention", "full_attention"]
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="sliding windows"):
        published.start(config_of(copied), Normalisation(16))
