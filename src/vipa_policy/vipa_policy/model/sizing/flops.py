"""FLOPs of an inference and of a training step, per part. Guarded by tests/unit/test_sizing.py."""

from __future__ import annotations

from collections.abc import Mapping

from vipa_policy.model.config import ModelConfig
from vipa_policy.model.sizing.operators import PARTS, STEP, Call, count_tokens, operators

TRAINED, PASSED, STILL = 3, 2, 1  # times forward: weights and inputs get gradients; inputs alone; neither


def part_flops(config: ModelConfig, call: Call) -> dict[str, int]:
    """Return FLOPs per part of one forward pass; those of the head's step are of one step."""
    totals = dict.fromkeys(PARTS, 0)
    for operator in operators(config, call):
        totals[operator.part] += operator.times * operator.flops
    return totals


def inference_flops(config: ModelConfig, call: Call) -> int:
    """Return the FLOPs of one inference: all parts once, the head's step as often as the flow has steps."""
    parts = part_flops(config, call)
    steps = call.steps or config.head.flow_steps
    return sum(parts.values()) + (steps - 1) * parts[STEP]


def training_flops(config: ModelConfig, call: Call, factors: Mapping[str, int], adapters: int = 0) -> int:
    """Return the FLOPs of forward and backward of one training step, without recomputation.

    Args:
        config: sizes.
        call: the batch.
        factors: TRAINED, PASSED or STILL for every part (vipa_policy.model.sizing.memory.MODES).
        adapters: parameters of LoRA on the language model.
    """
    added = TRAINED * 2 * call.batch * count_tokens(config, call).language * adapters
    return added + sum(factors[part] * flops for part, flops in part_flops(config, call).items())
