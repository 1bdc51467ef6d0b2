"""The training loop: resumable, with a moving average of the weights, a progress bar and a picture of the losses."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from vipa_policy.errors import DatasetError, TrainingError
from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import lora, mixed_precision, published, stages
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.language import PublishedVocabulary
from vipa_policy.model.network import ANCHOR_HIT, Targets, VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.vocabulary import Vocabulary
from vipa_training.augmentation import jitter_colours
from vipa_training.dataset import Batch, Dataset
from vipa_training.encoder_cache import attach_cache, batch_input
from vipa_training.plots import plot_losses
from vipa_training.training_config import TrainingConfig, base_config, learning_rate, model_config

# In the progress bar: label, measure, scale, format.
SHOWN = (
    ("flow", "flow", 1.0, "{:.3f}"),
    ("point", "pointing_error", 1e3, "{:.0f}mm"),
    ("named", "named", 1e2, "{:.0f}%"),
)


class Trainer:
    """Everything a run needs; ``run`` trains to the end or to Ctrl-C, and continues where the last run stopped."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.folder = Path(config.run)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = Dataset([Path(folder) for folder in config.data])
        self.validation = Dataset([Path(folder) for folder in config.validation]) if config.validation else None
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network, self.vocabulary = self._build()
        for text in self.data.instructions:
            self.vocabulary.check(text)
        self.network = network.to(self.device)
        if config.cache_encoder:
            for dataset in (self.data, self.validation):
                if dataset is not None:
                    attach_cache(dataset, self.network, self.device, tqdm.write)
        if config.gradient_checkpointing:
            stages.checkpoint_gradients(self.network)
        stages.prepare(self.network, config.plan)
        self.precision = mixed_precision.choose(config.precision, self.device)
        self._store_frozen()
        self.average = {name: value.detach().clone() for name, value in self._kept().items()}
        self.optimiser = torch.optim.AdamW(
            list(stages.trainable(self.network).values()),
            lr=config.learning_rate, weight_decay=config.weight_decay, betas=config.betas,
        )  # fmt: skip
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self._stopping = False

    def _build(self) -> tuple[VipaNetwork, Vocabulary]:
        if self.config.start:
            checkpoint = checkpoints.load(Path(self.config.start))
            words = checkpoint.vocabulary
            if isinstance(words, PublishedVocabulary):
                return checkpoint.network, PublishedVocabulary(words.tokenizer, self.config.templates, words.chat)
            return checkpoint.network, Vocabulary.build(self.config.templates)
        base = base_config(self.config, self.data.contract)
        normalisation = Normalisation(self.data.contract.horizon)
        action, state, pointed, known = (torch.from_numpy(values) for values in self.data.all_samples())
        if base.head.grounding == "none":  # the network takes the camera's own place where it points at nothing
            pointed, known = torch.zeros_like(pointed), torch.ones_like(known)
        normalisation.fit(action[known], state[known], pointed[known])
        if base.semantic.published:
            return published.start(base, normalisation, self.config.templates)
        vocabulary = Vocabulary.build(self.config.templates)
        config = model_config(self.config, self.data.contract, vocabulary)
        return VipaNetwork(config, vocabulary.image_token, normalisation, vocabulary.layout), vocabulary

    def _store_frozen(self) -> None:
        dtype = mixed_precision.choose(self.config.frozen_precision, self.device)
        if dtype == torch.float32:
            return
        if self.precision != dtype:
            raise TrainingError("expected precision bf16 for frozen_precision bf16: fp32 would have to multiply both")
        stages.store_frozen(self.network, dtype)

    def _kept(self) -> dict[str, Tensor]:
        """Return what a run remembers of the network: all but the frozen part of the semantic side.

        That part is large, and where it came from: in ``start``, or published.
        """
        opened = stages.trainable(self.network)
        return {
            name: value
            for name, value in self.network.state_dict().items()
            if self.config.stage == "full" or name in opened or not name.startswith("semantic.")
        }

    @property
    def state_file(self) -> Path:
        """Where a run remembers itself."""
        return self.folder / "state.pt"

    def resume(self) -> bool:
        """Take up the run's saved state; returns whether there was one."""
        if not self.state_file.is_file():
            return False
        state = torch.load(self.state_file, map_location=self.device, weights_only=True)
        strict = self.config.stage == "full"
        try:
            _, unknown = self.network.load_state_dict(state["network"], strict=strict)
        except RuntimeError as error:
            raise TrainingError(
                f"{self.state_file} is of another network; begin anew with --fresh ({error})"
            ) from error
        if unknown or not set(self._kept()) <= set(state["network"]):
            raise TrainingError(
                f"{self.state_file} is of another stage or of other adapters; begin anew with --fresh, or take back "
                "the change in the configuration"
            )
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        return True

    def save(self) -> None:
        """Write the run's state, the loss plot, and the checkpoint with the averaged weights."""
        state = {
            "network": self._kept(), "average": self.average, "optimiser": self.optimiser.state_dict(),
            "step": self.step, "seconds": self.seconds, "history": self.history,
        }  # fmt: skip
        fresh = self.state_file.with_suffix(".writing")
        torch.save(state, fresh)
        fresh.replace(self.state_file)
        (self.folder / "history.json").write_text(json.dumps(self.history))
        plot_losses(self.history, self.folder / "losses.png")
        with self._averaged(), lora.merged(self.network):
            checkpoints.save(self._checkpoint(), Path(self.config.output))

    def _checkpoint(self) -> Checkpoint:
        training = {
            "steps": self.step, "of": self.config.steps, "seconds": round(self.seconds), "data": list(self.config.data),
            "frames": len(self.data), "samples": self.data.sample_count, "seed": self.config.seed,
            "precision": str(self.precision), "stage": self.config.stage,
            "last": self.history[-1] if self.history else {},
        }  # fmt: skip
        return Checkpoint(self.network.config, self.data.contract, self.vocabulary, self.network, training)

    def _averaged(self) -> Averaged:
        return Averaged(self.network, self.average)

    def run(self) -> bool:
        """Train; returns False where Ctrl-C (or SIGTERM) ended it early, with everything saved."""
        previous = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with tqdm(total=self.config.steps, initial=self.step, unit="step", desc=self.config.name) as bar:
                for batch in self._batches():
                    self._train_step(batch, bar)
                    if self.step % self.config.validate_every == 0:
                        self._validate()
                    if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                        self.save()
                    if self._stopping:
                        self.save()
                        return False
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return True

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _batches(self) -> Iterator[Batch]:
        while self.step < self.config.steps:
            # Seeded by the step, so that a resumed run sees the batches the uninterrupted one would have seen.
            random = np.random.default_rng((self.config.seed, self.step))
            frames = random.choice(len(self.data), self.config.frames, replace=len(self.data) < self.config.frames)
            yield jitter_colours(
                self.data.batch(frames.tolist(), self.config.instructions, random), self.config.colour_jitter, random
            )

    def _losses(self, batch: Batch, generator: torch.Generator, draws: int) -> dict[str, Tensor]:
        inputs, words, mask, state, targets = self.tensors(batch)
        with mixed_precision.autocast(self.device, self.precision):
            return self.network.loss(inputs, words, mask, state, targets, draws, generator)

    def tensors(self, batch: Batch) -> tuple[NetworkInput, Tensor, Tensor, Tensor, Targets]:
        """Return a batch as the network takes it."""
        count = batch.action.shape[1]

        def tensor(values: Any) -> Tensor:
            return torch.as_tensor(values, device=self.device)

        inputs = batch_input(batch, self.network.config.semantic.image_size, self.device)
        ids, mask = self.vocabulary.encode_batch(batch.instructions, self.vocabulary.longest)
        targets = Targets(tensor(batch.action), tensor(batch.valid), tensor(batch.pointed), tensor(batch.pointed_known))
        words, words_mask = (tensor(rows).unflatten(0, (-1, count)) for rows in (ids, mask))
        return inputs, words, words_mask, tensor(batch.state), targets

    def _train_step(self, batch: Batch, bar: Any) -> None:
        started = time.perf_counter()
        generator = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.step)
        losses = self._losses(batch, generator, self.config.draws)
        total = losses["flow"]
        if "pointing" in losses:
            total = total + self.config.pointing_weight * losses["pointing"]
        if not torch.isfinite(total):
            raise DatasetError(
                f"the loss is not finite at step {self.step}; lower learning_rate, or resume from the last save"
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(stages.trainable(self.network).values(), 1.0)
        rate = learning_rate(self.config, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.step += 1
        self._update_average()
        self.seconds += time.perf_counter() - started
        entry = {name: float(value.detach()) for name, value in losses.items()}
        self.history.append({"step": self.step, "learning_rate": rate} | entry)
        recent = self.history[-50:]
        shown = {
            label: form.format(scale * np.mean([row[name] for row in recent if name in row]))
            for label, name, scale, form in SHOWN
            if name in entry
        }
        bar.set_postfix(shown)
        bar.update()

    def _update_average(self) -> None:
        # Early weights are forgotten quickly: the window grows with the run.
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        for name, value in self._kept().items():
            kept = self.average[name]
            if kept.is_floating_point():
                kept.lerp_(value.detach(), 1 - decay)
            else:
                kept.copy_(value)

    @torch.no_grad()
    def _validate(self) -> None:
        """Measure the averaged weights on frames that are never trained on, and add the figures to the history."""
        if self.validation is None:
            return
        random = np.random.default_rng(0)
        frames = random.permutation(len(self.validation))[:160].tolist()
        errors: list[Tensor] = []
        finals: list[Tensor] = []
        with self._averaged():
            self.network.eval()
            for start in range(0, len(frames), 16):
                batch = self.validation.batch(frames[start : start + 16], 3, random)
                inputs, words, mask, state, targets = self.tensors(batch)
                generator = torch.Generator(self.device).manual_seed(0)
                action, pointed = self.network.sample(
                    inputs, words, mask, state, self.network.config.head.flow_steps, generator
                )
                known = targets.pointed_known
                if pointed is not None:
                    errors.append((pointed.anchor - targets.pointed).norm(dim=-1)[known])
                finals.append(last_row_error(action, targets))
            stages.set_modes(self.network)
        final = torch.cat(finals)
        row: dict[str, float] = {"step": self.step}
        if errors:
            error = torch.cat(errors)
            row |= {
                "validation_pointing_median": float(error.median()),
                "validation_pointing_p90": float(error.quantile(0.9)),
                "validation_named": float((error < ANCHOR_HIT).float().mean()),
            }
        row |= {
            "validation_last_row_median": float(final.median()),
            "validation_last_row_p90": float(final.quantile(0.9)),
        }
        self.history.append(row)
        tqdm.write("  ".join(f"{name.removeprefix('validation_')} {value:.4g}" for name, value in row.items()))


def last_row_error(action: Tensor, targets: Targets) -> Tensor:
    """Return (N,) m: how far off the predicted (B, K, horizon, 10) last valid position of each chunk is."""
    distance = (action - targets.action)[..., :3].norm(dim=-1)
    last = targets.valid.long().cumsum(dim=-1).argmax(dim=-1, keepdim=True)
    return distance.gather(-1, last).squeeze(-1)[targets.valid.any(dim=-1)]


class Averaged:
    """Puts the averaged weights into a network for the length of a ``with`` block."""

    def __init__(self, network: VipaNetwork, average: Mapping[str, Tensor]) -> None:
        self._network, self._average = network, average
        self._own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        state = self._network.state_dict()
        self._own = {name: state[name].detach().clone() for name in self._average}
        self._network.load_state_dict(dict(self._average), strict=False)

    def __exit__(self, *problem: object) -> None:
        self._network.load_state_dict(self._own, strict=False)
