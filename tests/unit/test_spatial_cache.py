"""Cached features of a frozen encoder: equal to computed ones, refused for another encoder or other data, kill-safe."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from support.small_depth_model import depth_anything
from support.small_network import COLOURS, make_observation, small_config

from vipa_policy.errors import DatasetError
from vipa_policy.model.spatial import cache as caches
from vipa_policy.model.spatial import make_spatial_encoder
from vipa_policy.model.spatial.cache import FeatureCache, cache_key, fill_cache
from vipa_policy.model.vocabulary import TaskTemplate
from vipa_training.dataset import Dataset, DatasetWriter
from vipa_training.encoder_cache import FOLDER, attach_cache, fingerprints
from vipa_training.train import Trainer, TrainingConfig

TEMPLATES = (TaskTemplate("reach", "reach the {colour} block", {"colour": COLOURS}),)
ROWS = np.arange(20, dtype=np.uint64) * 7
KEY = {"version": 1, "encoder": "Test", "weights": "a"}


def compute(indices):
    return {"x": np.array([[i, i * i] for i in indices], np.float32), "mask": np.array([i % 2 == 0 for i in indices])}


def fill(folder, contract, frames=6, first=0):
    with DatasetWriter(folder, contract) as writer:
        for seed in range(first, first + frames):
            observation = make_observation(seed)
            frame = writer.add_frame(observation, np.eye(4))
            poses = np.tile(observation.camera_from_tip, (16, 1, 1))
            poses[:, 0, 3] += np.linspace(0, 0.02 * seed, 16)
            place = np.array([0.02, 0.03, 0.7])
            writer.add_sample(frame, "reach the red block", poses, np.full(16, 0.04), np.ones(16, bool), place)


@pytest.fixture
def settings(tmp_path, contract):
    fill(tmp_path / "data", contract)
    depth_anything(tmp_path / "estimator", "metric")
    config = small_config()
    model = {name: dataclasses.asdict(getattr(config, name)) for name in ("semantic", "spatial", "fusion", "head")}
    model["spatial"] |= {"kind": "depth_anything", "pretrained": str(tmp_path / "estimator")}
    return TrainingConfig(
        name="vipa-test", data=(str(tmp_path / "data"),), validation=(str(tmp_path / "data"),),
        output=str(tmp_path / "models" / "vipa-test"), run=str(tmp_path / "run"), templates=TEMPLATES, steps=2,
        frames=4, instructions=2, warm_up=1, save_every=2, validate_every=2, precision="fp32", model=model,
        colour_jitter=0.0,
    )  # fmt: skip


def weights_after(settings, **changes):
    trainer = Trainer(dataclasses.replace(settings, **changes))
    trainer.run()
    return trainer, trainer.network.state_dict()


def test_training_with_and_without_a_cache_is_the_same(settings):
    _, plain = weights_after(settings)
    trainer, cached = weights_after(settings, cache_encoder=True, run=settings.run + "_cached")
    for name, value in plain.items():
        assert torch.equal(value, cached[name]), name
    # And the cache was used: the estimator may be gone.
    trainer.network.spatial.frozen_features = None
    batch = trainer.data.batch([0, 3], 2, np.random.default_rng(0))
    inputs, words, mask, *_ = trainer.tensors(batch)
    assert inputs.frozen["depth"].shape == (2, 1, 64, 64)
    trainer.network.condition(inputs, words, mask)


def test_a_frozen_pointmap_is_cached_whole(settings, tmp_path):
    model = {**settings.model, "spatial": {**settings.model["spatial"], "kind": "pointmap", "frozen": True}}
    plain = Trainer(dataclasses.replace(settings, model=model))
    cached = Trainer(dataclasses.replace(settings, model=model, cache_encoder=True, run=str(tmp_path / "cached")))
    frames = [1, 4]
    first, second = (
        trainer.network.spatial(trainer.tensors(trainer.data.batch(frames, 1, np.random.default_rng(0)))[0])
        for trainer in (plain, cached)
    )
    for name, value in first.to_tensors().items():
        assert torch.allclose(value, second.to_tensors()[name], atol=1e-6), name
    assert not any(parameter.requires_grad for parameter in cached.network.spatial.parameters())


def test_the_cache_of_another_encoder_is_refused_and_made_anew(settings, tmp_path):
    trainer, _ = weights_after(settings, cache_encoder=True)
    part = trainer.data.parts[0]
    folder, rows = part.folder / FOLDER / "depth_anything", fingerprints(part)
    before = FeatureCache(folder, cache_key(trainer.network.spatial), rows).row(2)["depth"].copy()
    depth_anything(tmp_path / "estimator", "metric", seed=3)
    other = make_spatial_encoder(trainer.network.config.spatial)
    with pytest.raises(DatasetError, match=r"another weights: '[0-9a-f]+' there"):
        FeatureCache(folder, cache_key(other), rows)
    trainer.network.spatial = other
    told = []
    dataset = Dataset([part.folder])
    attach_cache(dataset, trainer.network, torch.device("cpu"), told.append)
    assert len(told) == 1
    assert "another weights" in told[0]
    assert not np.array_equal(dataset.parts[0].features.row(2)["depth"], before)


def test_more_frames_are_added_and_other_frames_noticed(settings, contract):
    trainer, _ = weights_after(settings, cache_encoder=True)
    folder = trainer.data.parts[0].folder
    fill(folder, contract, frames=2, first=6)
    told = []
    dataset = Dataset([folder])
    attach_cache(dataset, trainer.network, torch.device("cpu"), told.append)
    assert told == []  # what was there still counts; the rest was added
    assert dataset.parts[0].features.row(7)["depth"].shape == (1, 64, 64)
    with (folder / "rgb.bin").open("r+b") as file:  # another picture in place of frame 1's
        file.seek(64 * 64 * 3)
        file.write(bytes(64 * 64 * 3))
    attach_cache(Dataset([folder]), trainer.network, torch.device("cpu"), told.append)
    assert "row 1 of the data" in told[0]


def test_an_encoder_that_trains_is_not_cached(settings):
    model = {**settings.model, "spatial": {**settings.model["spatial"], "kind": "pointmap"}}
    with pytest.raises(DatasetError, match=r"frozen part .* spatial\.frozen"):
        Trainer(dataclasses.replace(settings, model=model, cache_encoder=True))


def test_rows_come_back(tmp_path):
    cache = fill_cache(tmp_path / "cache", KEY, ROWS, compute, batch=3)
    for index in (0, 7, 19):
        row = cache.row(index)
        assert row["x"].tolist() == [index, index * index]
        assert row["mask"] == (index % 2 == 0)
    again = fill_cache(tmp_path / "cache", KEY, ROWS, lambda indices: pytest.fail("computed again"))
    assert again.row(19)["x"].tolist() == [19, 361]


@pytest.mark.parametrize("killed_at", [0, 1, 7, 13])
def test_a_killed_writer_loses_only_what_was_not_saved(tmp_path, monkeypatch, killed_at):
    monkeypatch.setattr(caches, "SAVE_EVERY", 4)
    computed = []

    def dying(indices):
        if killed_at in indices:
            raise KeyboardInterrupt
        computed.extend(indices)
        return compute(indices)

    with pytest.raises(KeyboardInterrupt):
        fill_cache(tmp_path / "cache", KEY, ROWS, dying, batch=1)
    for file in (tmp_path / "cache").glob("*.bin"):  # and half a row beyond what meta.json counts
        with file.open("ab") as stream:
            stream.write(b"half")
    with pytest.raises(DatasetError, match=r"there is no cache|holds"):
        FeatureCache(tmp_path / "cache", KEY, ROWS)
    later = []

    def going_on(indices):
        later.extend(indices)
        return compute(indices)

    cache = fill_cache(tmp_path / "cache", KEY, ROWS, going_on)
    assert later[0] == killed_at // 4 * 4
    for index in range(20):
        assert cache.row(index)["x"].tolist() == [index, index * index]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "x.bin").write_bytes(b"short"), "cut short"),
        (lambda folder: (folder / "rows.bin").unlink(), "cut short"),
        (lambda folder: (folder / "meta.json").write_text("{"), "cut short"),
        (lambda folder: (folder / "meta.json").unlink(), "there is no cache"),
    ],
)
def test_a_spoiled_cache_is_made_anew(tmp_path, spoil, reason):
    folder = tmp_path / "cache"
    fill_cache(folder, KEY, ROWS, compute)
    spoil(folder)
    with pytest.raises(DatasetError, match=reason):
        FeatureCache(folder, KEY, ROWS)
    assert fill_cache(folder, KEY, ROWS, compute).row(5)["x"].tolist() == [5, 25]


@pytest.mark.parametrize("field", ["version", "encoder", "weights"])
def test_every_part_of_the_key_counts(tmp_path, field):
    fill_cache(tmp_path / "cache", KEY, ROWS, compute)
    with pytest.raises(DatasetError, match=f"another {field}"):
        FeatureCache(tmp_path / "cache", KEY | {field: "b"}, ROWS)
    kept = json.loads((tmp_path / "cache" / "meta.json").read_text())["key"]
    assert kept == KEY


def test_one_writer_at_a_time(tmp_path):
    def second(indices):
        with pytest.raises(DatasetError, match="another process is writing"):
            fill_cache(tmp_path / "cache", KEY, ROWS, compute)
        return compute(indices)

    fill_cache(tmp_path / "cache", KEY, ROWS, second, batch=20)
