"""Training sets and the training loop: what is written is read, kills and Ctrl-C lose nothing, learning happens."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.published_model import save_published
from support.small_network import COLOURS, make_observation, small_config

from vipa_policy.errors import ContractMismatch, DatasetError, InstructionError, TrainingError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import load_policy, published
from vipa_policy.model.vocabulary import TaskTemplate
from vipa_training.augmentation import jitter_colours
from vipa_training.dataset import Dataset, DatasetWriter
from vipa_training.finetune import main
from vipa_training.train import Trainer
from vipa_training.training_config import TrainingConfig, learning_rate

TEMPLATES = (TaskTemplate("reach", "reach the {colour} block", {"colour": COLOURS}),)


def chunk(seed):
    poses = np.tile(make_observation().camera_from_tip, (16, 1, 1))
    poses[:, :3, 3] += np.linspace(0, 0.1, 16)[:, None] * np.random.default_rng(seed).normal(size=3)
    return poses


def fill(folder, contract, frames=6, first=0):
    with DatasetWriter(folder, contract) as writer:
        for seed in range(first, first + frames):
            frame = writer.add_frame(make_observation(seed), np.eye(4))
            for index, colour in enumerate(COLOURS[:2]):
                pointed = np.array([0.02 * index, 0.03, 0.7]) if index else None
                writer.add_sample(
                    frame,
                    f"reach the {colour} block",
                    chunk(seed + index),
                    np.full(16, 0.04),
                    np.arange(16) < 12,
                    pointed,
                )
            writer.add_source(f"scene {seed}")


@pytest.fixture
def data(tmp_path, contract):
    fill(tmp_path / "data", contract)
    return tmp_path / "data"


@pytest.fixture
def settings(data, tmp_path):
    config = small_config()
    model = {name: dataclasses.asdict(getattr(config, name)) for name in ("semantic", "spatial", "fusion", "head")}
    return TrainingConfig(
        name="vipa-test", data=(str(data),), validation=(str(data),), output=str(tmp_path / "models" / "vipa-test"),
        run=str(tmp_path / "run"), templates=TEMPLATES, steps=6, frames=4, instructions=2, warm_up=2, save_every=3,
        validate_every=3, precision="fp32", model=model,
    )  # fmt: skip


def test_what_is_written_is_read(data, contract):
    dataset = Dataset([data])
    assert (len(dataset), dataset.sample_count, dataset.contract) == (6, 12, contract)
    batch = dataset.batch([2, 5], 2, np.random.default_rng(0))
    for row, seed in enumerate((2, 5)):
        for column in range(2):
            index = COLOURS.index(batch.instructions[2 * row + column].split()[2])
            assert np.allclose(batch.action[row, column, :, :3], chunk(seed + index)[:, :3, 3], atol=1e-6)
            assert batch.pointed_known[row, column] == bool(index)
            assert batch.valid[row, column].sum() == 12
        assert np.allclose(batch.state[row, :3], make_observation().camera_from_tip[:3, 3], atol=1e-6)
    assert batch.rays.shape == (2, 1, 64, 64, 2)


def test_a_killed_writer_loses_only_what_was_not_saved(data, contract):
    """What a kill leaves behind the last save is cut off, and the next writer goes on from there."""
    for name in ("rgb", "depth", "frames", "samples"):
        with (data / f"{name}.bin").open("ab") as file:
            file.write(b"half a rec")
    before = Dataset([data]).batch([0, 5], 2, np.random.default_rng(0))
    fill(data, contract, frames=2, first=6)
    dataset = Dataset([data])
    assert len(dataset) == 8
    after = dataset.batch([0, 5], 2, np.random.default_rng(0))
    assert np.array_equal(before.rgb, after.rgb)
    assert np.array_equal(before.action, after.action)
    assert dataset.parts[0].sources == [f"scene {seed}" for seed in range(8)]


def test_sets_of_other_contracts_are_refused(data, contract, tmp_path):
    other = dataclasses.replace(contract, tip_frame="fr3_link8")
    with pytest.raises(ContractMismatch, match="fr3_link8"):
        DatasetWriter(data, other)
    fill(tmp_path / "other", other)
    with pytest.raises(ContractMismatch, match="tip_frame"):
        Dataset([data, tmp_path / "other"])


def test_bad_samples_and_missing_sets_are_refused(data, contract, tmp_path):
    with DatasetWriter(data, contract) as writer:
        good = (np.full(16, 0.04), np.ones(16, bool), None)
        with pytest.raises(DatasetError, match="finite"):
            writer.add_sample(0, "reach the red block", np.full((16, 4, 4), np.nan), *good)
        with pytest.raises(DatasetError, match="16 rows"):
            writer.add_sample(0, "reach the red block", chunk(0)[:8], *good)
        with pytest.raises(DatasetError, match="below 6"):
            writer.add_sample(99, "reach the red block", chunk(0), *good)
    with pytest.raises(DatasetError, match=r"training/generate\.py"):
        Dataset([tmp_path / "nothing"])


def test_a_run_that_was_stopped_ends_like_one_that_was_not(settings, tmp_path, contract):
    """Interrupted after half of the steps and resumed, the weights are those of the uninterrupted run, to the bit."""
    whole = Trainer(settings)
    assert whole.run()
    halved = dataclasses.replace(settings, run=str(tmp_path / "halved"), output=str(tmp_path / "models" / "halved"))
    first = Trainer(halved)
    train_step = first._train_step

    def stop_after_three(batch, bar):
        train_step(batch, bar)
        if first.step == 3:
            first._stop(2, None)

    first._train_step = stop_after_three
    assert not first.run()
    second = Trainer(halved)
    assert second.resume()
    assert second.step == 3
    assert second.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    assert load_policy(halved.output, "cpu").contract == contract
    assert (tmp_path / "run" / "losses.png").stat().st_size > 10_000


def test_losses_fall(settings):
    trainer = Trainer(
        dataclasses.replace(settings, steps=120, learning_rate=3e-3, save_every=1000, validate_every=1000)
    )
    trainer.run()
    steps = [row for row in trainer.history if "flow" in row]
    for name in ("flow", "pointing"):
        first, last = (np.mean([row[name] for row in part]) for part in (steps[:5], steps[-5:]))
        assert last < 0.8 * first, name


def test_the_validation_row_measures_the_averaged_weights(settings):
    trainer = Trainer(settings)
    trainer.run()
    rows = [row for row in trainer.history if "validation_named" in row]
    assert [row["step"] for row in rows] == [3, 6]
    assert all(0.0 <= row["validation_named"] <= 1.0 and row["validation_last_row_median"] > 0.0 for row in rows)


def test_learning_rate_warms_up_and_falls_to_zero(settings):
    rates = [learning_rate(settings, step) for step in range(settings.steps + 1)]
    assert rates[0] == pytest.approx(settings.learning_rate / 2)
    assert max(rates) == pytest.approx(settings.learning_rate)
    assert rates[-1] == pytest.approx(0.0)


def test_colour_jitter_leaves_geometry_alone(data):
    batch = Dataset([data]).batch([0, 1], 1, np.random.default_rng(0))
    changed = jitter_colours(batch, 0.2, np.random.default_rng(1))
    assert not np.array_equal(batch.rgb, changed.rgb)
    assert np.array_equal(batch.depth, changed.depth)
    assert jitter_colours(batch, 0.0, np.random.default_rng(1)) is batch


def test_words_outside_the_templates_are_refused(settings, data, contract):
    with DatasetWriter(data, contract) as writer:
        writer.add_sample(0, "juggle the red block", chunk(0), np.full(16, 0.04), np.ones(16, bool), None)
    with pytest.raises(InstructionError, match="juggle"):
        Trainer(settings)


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["--config", str(tmp_path / "nothing.yaml")]) == 2
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"name": "x", "steps_": 3}))
    assert main(["--config", str(file)]) == 2
    assert "steps_" in capsys.readouterr().err


def test_the_command_trains(settings, tmp_path, capsys):
    values = json.loads(json.dumps(dataclasses.asdict(settings) | {"steps": 2}))
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    assert main(["--config", str(file)]) == 0
    assert load_policy(settings.output, "cpu").name == "vipa-test"


@pytest.fixture
def post_training(settings, tmp_path):
    """Stage 3 with adapters, from a small published model, as a configuration file would say it."""
    folder = save_published(tmp_path / "published")
    model = {name: dict(values) for name, values in settings.model.items()}
    model["semantic"] = {"published": str(folder), "tokenizer": "published"}
    model["head"]["grounding"] = "none"
    return dataclasses.replace(
        settings, model=model, stage="3", train_fusion=True, lora={"rank": 2, "alpha": 4}, learning_rate=1e-2,
        gradient_checkpointing=True, warm_up=0.25, steps=4, frames=2, validation=(), save_every=100,
    )  # fmt: skip


def test_the_command_post_trains_a_published_model(post_training, tmp_path):
    """From YAML to a policy: adapters merged into the language model, everything frozen as it was published."""
    values = json.loads(json.dumps(dataclasses.asdict(post_training) | {"stage": 3}))
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(values))
    assert main(["--config", str(file)]) == 0
    loaded = checkpoints.load(Path(post_training.output))
    folder = Path(post_training.model["semantic"]["published"])
    theirs = published.load_model(loaded.config.semantic, folder, loaded.vocabulary.image_token).state_dict()
    changed = {
        name for name, value in loaded.network.semantic.internvl.state_dict().items() if not value.equal(theirs[name])
    }
    targets = [f"model.language_model.layers.{layer}." for layer in range(2)]
    assert len(changed) == 14  # seven matrices of two layers
    assert all(name.startswith(tuple(targets)) and name.endswith("proj.weight") for name in changed)
    assert loaded.network.fusion.alpha != post_training.model["fusion"]["alpha"]
    policy = load_policy(post_training.output, "cpu")
    assert np.isfinite(policy.predict(make_observation(), "some other sentence", seed=0).camera_from_tip).all()


def test_a_post_training_run_resumes_without_the_frozen_weights(post_training, tmp_path):
    whole = Trainer(post_training)
    assert whole.run()
    halved = dataclasses.replace(post_training, run=str(tmp_path / "halved"), output=str(tmp_path / "models" / "h"))
    first = Trainer(halved)
    first._batches = lambda: itertools.islice(Trainer._batches(first), 2)  # type: ignore[method-assign]
    first.run()
    first.save()
    kept = torch.load(first.state_file, weights_only=True)["network"]
    assert not any("vision_tower" in name or "base_layer" in name for name in kept)
    second = Trainer(halved)
    assert second.resume()
    assert second.step == 2
    assert second.run()
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    other = Trainer(dataclasses.replace(halved, lora=None))
    with pytest.raises(TrainingError, match="--fresh"):
        other.resume()


def test_the_paper_configuration_is_read():
    """The shipped file for the paper's sizes; it needs weights and data that no test has."""
    config = TrainingConfig.read(Path(__file__).parents[2] / "training" / "configs" / "post_train_2b.yaml")
    assert (config.plan.stage, config.preset, config.warm_up_steps) == ("3", "vipa-2b", 1500)
    assert (config.learning_rate, config.weight_decay) == (5e-5, 1e-5)
    assert config.frames * config.instructions == 128


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stage": "1"}, "pretraining"),
        ({"stage": "5"}, "1, 2, 3, full"),
        ({"lora": {"rang": 2}}, "rang"),
        ({"lora": {"rank": 2}}, "'lora' in stage 2 or 3"),
        ({"precision": "fp8"}, "fp8"),
        ({"frozen_precision": "bf16"}, "precision bf16"),
    ],
)
def test_a_plan_that_is_none_is_refused(settings, changes, told):
    with pytest.raises(TrainingError, match=told):
        Trainer(dataclasses.replace(settings, **changes))
