"""Training steps of stage 2 and of stage 3 with LoRA, as the benches time them.

The same losses, stages and mixed precision as training proper, on noise. Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vipa_policy.bench import subject
from vipa_policy.bench.timing import clock, median, take_turns
from vipa_policy.errors import TrainingError
from vipa_policy.model import mixed_precision, stages
from vipa_policy.model.config import ACTION_SIZE, STATE_SIZE, ModelConfig
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.language_modelling import Conversation, answer_loss
from vipa_policy.model.lora import LoraSettings
from vipa_policy.model.network import Targets, VipaNetwork
from vipa_policy.model.sizing.flops import TRAINED, training_flops
from vipa_policy.model.sizing.memory import EVERYTHING_STILL, MODES
from vipa_policy.model.sizing.operators import STEP, Call

QUESTION, ANSWER = 64, 48  # tokens: an instruction in its chat, 16 waypoints of 3 motion tokens
RATE = 1e-5
DRAWS = 1  # noises and times per sample: the paper's
# What a stage does with each part: how often the forward pass's FLOPs are spent.
NO_HEAD = {"condition": 0, "head once": 0, STEP: 0}
SPENT: dict[str, dict[str, int]] = {
    "stage_2": {**EVERYTHING_STILL, "fusion": TRAINED, "projector": TRAINED, "language": TRAINED, **NO_HEAD},
    "stage_3_lora": dict(MODES["lora"]),
}
PLANS: dict[str, Callable[[], stages.StagePlan]] = {
    "stage_2": lambda: stages.StagePlan("2"),
    "stage_3_lora": lambda: stages.StagePlan("3", lora=LoraSettings()),
}


def repeated(inputs: NetworkInput, batch: int) -> NetworkInput:
    """Return a batch of the same observation."""
    fields = {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)}
    more: dict[str, Any] = {
        name: value.repeat(batch, *(1 for _ in value.shape[1:]))
        for name, value in fields.items()
        if isinstance(value, Tensor)
    }
    return dataclasses.replace(inputs, **more)


def loss_of(name: str, network: VipaNetwork, inputs: NetworkInput) -> Tensor:
    """Return a stage's loss on a batch of noise."""
    device, batch = inputs.pixels.device, inputs.batch
    generator = torch.Generator(device).manual_seed(0)
    length = QUESTION + ANSWER if name == "stage_2" else QUESTION
    tokens = torch.randint(
        5, network.config.semantic.vocabulary_size - 1, (batch, 1, length), generator=generator, device=device
    )
    mask = torch.ones_like(tokens, dtype=torch.bool)
    if name == "stage_2":
        answer = torch.arange(length, device=device).expand_as(tokens) >= QUESTION
        return answer_loss(network, inputs, Conversation(tokens, mask, answer))["answer"]
    horizon = network.config.horizon
    state = torch.zeros(batch, STATE_SIZE, device=device)
    state[:, 3], state[:, 7] = 1.0, 1.0
    targets = Targets(
        torch.randn(batch, 1, horizon, ACTION_SIZE, generator=generator, device=device),
        torch.ones(batch, 1, horizon, dtype=torch.bool, device=device),
        torch.zeros(batch, 1, 3, device=device),
        torch.zeros(batch, 1, dtype=torch.bool, device=device),
    )
    return network.loss(inputs, tokens, mask, state, targets, DRAWS, generator)["flow"]


def measure(
    name: str, config: ModelConfig, device: torch.device, peak: float, batch: int, turns: int, checkpointing: bool
) -> dict[str, Any]:
    """Return samples/s, memory and MFU of a stage's training step, or why there are none.

    Args:
        name: of PLANS.
        config: the shape.
        device: where to train.
        peak: FLOP/s that the utilisation is a share of.
        batch: observations of a step.
        turns: steps that count.
        checkpointing: whether activations are computed anew on the way back.
    """
    try:
        return step_figures(name, config, device, peak, batch, turns, checkpointing)
    except (TrainingError, torch.OutOfMemoryError) as error:
        return {"batch": batch, "not_measured": f"{type(error).__name__}: {str(error).splitlines()[0]}"}


def step_figures(
    name: str, config: ModelConfig, device: torch.device, peak: float, batch: int, turns: int, checkpointing: bool
) -> dict[str, Any]:
    """Return what ``measure`` does; errors of the stage and of the device's memory pass."""
    network = subject.random_network(config, torch.float32, device)
    if checkpointing:
        stages.checkpoint_gradients(network)
    stages.prepare(network, PLANS[name]())
    stages.store_frozen(network, torch.bfloat16)
    inputs = repeated(subject.prepared(network, device, 1), batch)
    trained = list(stages.trainable(network).values())
    optimiser = torch.optim.AdamW(trained, lr=RATE, fused=device.type == "cuda")

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with mixed_precision.autocast(device, torch.bfloat16):
            loss = loss_of(name, network, inputs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = take_turns({"step": step}, turns, warm_up=2, now=clock(device))["step"]
    words = QUESTION + ANSWER if name == "stage_2" else QUESTION
    flops = training_flops(config, Call(batch=batch, words=words), SPENT[name])
    seconds = 1e-3 * median(times)
    return {
        "batch": batch,
        "ms_per_step": median(times),
        "samples_per_s": batch / seconds,
        "trained_parameters": sum(parameter.numel() for parameter in trained),
        "peak_memory_gb": peak_memory(device),
        "tflop_per_step": 1e-12 * flops,
        "mfu": flops / seconds / peak,
        "gradient_checkpointing": checkpointing,
    }


def peak_memory(device: torch.device) -> float | None:
    """Return the GB that tensors took at most since it was last reset; None on a processor."""
    return 1e-9 * torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
