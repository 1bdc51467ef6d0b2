"""What a training run is told: its YAML file, and what follows from it. Guarded by tests/unit/test_training.py."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vipa_policy.contract import ActionContract
from vipa_policy.errors import DatasetError, TrainingError
from vipa_policy.model.config import ModelConfig, preset
from vipa_policy.model.lora import LoraSettings
from vipa_policy.model.stages import StagePlan
from vipa_policy.model.vocabulary import TaskTemplate, Vocabulary


@dataclass(frozen=True)
class TrainingConfig:
    """What ``training/configs/*.yaml`` says.

    Attributes:
        name: of the checkpoint.
        data, validation: folders of training sets; validation ones are never trained on.
        output: folder of the checkpoint.
        run: folder of state, log and plot.
        templates: task, template and slots; instructions of the data outside them are refused.
        steps: optimiser steps.
        frames: a step's batch, in frames.
        instructions: samples taken of each frame.
        draws: noises and times per sample.
        learning_rate, weight_decay, betas: AdamW.
        warm_up: steps of linear warm-up before the cosine; below 1, the share of all steps.
        pointing_weight: of the grounding loss beside the flow loss.
        average: decay of the moving average of the weights.
        colour_jitter: relative strength of brightness, contrast and tint changes.
        threads: of torch; 0 takes all processors.
        save_every, validate_every: steps.
        precision: of matrix products: "fp32", "bf16", or "auto": bf16 where it is multiplied in hardware.
        frozen_precision: "bf16" stores the matrices that do not train in half the memory; needs precision "bf16".
        stage: what trains: "full" or "3", post-training (vipa_policy.model.stages; 1 and 2 are pretraining).
        train_projector, train_fusion, train_spatial: whether they train in stage 3; none takes the stage's own choice.
        lora: fields of vipa_policy.model.lora.LoraSettings for adapters on the language model; none trains it whole.
        gradient_checkpointing: less memory for a third more time.
        preset: sizes to begin with (vipa_policy.model.config); one that names published weights starts from them.
        model: overrides of vipa_policy.model.config, section by section.
        start: checkpoint to start from, "" for none.
        cache_encoder: whether what the spatial encoder's frozen part computes is kept on disk beside each training
            set; colour_jitter does not reach that part then.
    """

    name: str
    data: tuple[str, ...]
    output: str
    run: str
    templates: tuple[TaskTemplate, ...]
    validation: tuple[str, ...] = ()
    steps: int = 3000
    frames: int = 8
    instructions: int = 4
    draws: int = 2
    learning_rate: float = 6e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: float = 150
    pointing_weight: float = 0.5
    average: float = 0.998
    colour_jitter: float = 0.15
    threads: int = 0
    save_every: int = 100
    validate_every: int = 250
    precision: str = "auto"
    frozen_precision: str = "fp32"
    stage: str = "full"
    train_projector: bool | None = None
    train_fusion: bool | None = None
    train_spatial: bool | None = None
    lora: Mapping[str, Any] | None = None
    gradient_checkpointing: bool = False
    preset: str = "vipa-tiny"
    seed: int = 0
    start: str = ""
    cache_encoder: bool = False
    model: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> TrainingConfig:
        """Read YAML; raises DatasetError naming fields it does not know or lacks."""
        values = yaml.safe_load(path.read_text())
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise DatasetError(
                f"{path} has fields nobody reads: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        try:
            values["templates"] = tuple(TaskTemplate.from_dict(entry) for entry in values["templates"])
            values["data"] = tuple(values["data"])
            values["validation"] = tuple(values.get("validation", ()))
            values["betas"] = tuple(values.get("betas", cls.betas))
            values["stage"] = str(values.get("stage", cls.stage))
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise DatasetError(f"{path} is incomplete: {error}") from error

    @property
    def plan(self) -> StagePlan:
        """What trains; raises TrainingError where that is no plan for demonstrations."""
        if self.stage in ("1", "2"):
            raise TrainingError(
                f"expected stage 3 or full for demonstrations, got {self.stage!r}: stages 1 and 2 are pretraining on "
                "questions and motion tokens (vipa_policy.model.language_modelling)"
            )
        try:
            adapters = None if self.lora is None else LoraSettings(**_tuples(self.lora))
        except TypeError as error:
            raise TrainingError(f"the section lora does not fit: {error}") from error
        return StagePlan(self.stage, self.train_projector, self.train_fusion, self.train_spatial, adapters)

    @property
    def warm_up_steps(self) -> int:
        """Steps of linear warm-up."""
        return round(self.warm_up * self.steps) if self.warm_up < 1 else round(self.warm_up)


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def base_config(config: TrainingConfig, contract: ActionContract) -> ModelConfig:
    """Return the network's sizes: the preset, the file's overrides, and what the contract fixes."""
    base = dataclasses.replace(preset(config.preset), name=config.name, horizon=contract.horizon)
    sections = {name: dataclasses.replace(getattr(base, name), **dict(values)) for name, values in config.model.items()}
    base = dataclasses.replace(base, **sections)
    return dataclasses.replace(base, spatial=dataclasses.replace(base.spatial, image_size=contract.cameras[0].width))


def model_config(config: TrainingConfig, contract: ActionContract, vocabulary: Vocabulary) -> ModelConfig:
    """Return the sizes of ``base_config`` with rows for every word of a vocabulary."""
    base = base_config(config, contract)
    rows = max(vocabulary.size, base.semantic.vocabulary_size)
    return dataclasses.replace(base, semantic=dataclasses.replace(base.semantic, vocabulary_size=rows))


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Return the rate of a step: linear warm-up, then a cosine to zero."""
    warm_up = config.warm_up_steps
    if step < warm_up:
        return config.learning_rate * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, config.steps - warm_up)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
