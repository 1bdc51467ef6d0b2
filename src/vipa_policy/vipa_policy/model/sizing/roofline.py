"""How fast a card could be at best: every product as fast as its arithmetic or its traffic allows.

The single place for the cards' peaks. Guarded by tests/unit/test_sizing.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vipa_policy.model.config import ModelConfig
from vipa_policy.model.sizing.operators import PARTS, STEP, Call, Operator, operators


@dataclass(frozen=True)
class Card:
    """What a card's maker promises.

    Attributes:
        name: of the card.
        flops: FLOP/s of dense bfloat16 matrix products that accumulate in float32.
        bandwidth: bytes/s of its memory.
        memory: bytes; the maker's 24 GB are 24 GiB, and the difference is about what the CUDA context takes.
        source: where the numbers are from.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float
    source: str


CARDS = (
    Card("RTX 4090", 165.2e12, 1008e9, 24e9, "NVIDIA Ada GPU Architecture whitepaper, appendix A, without sparsity"),
    Card("H100 SXM", 989.4e12, 3352e9, 80e9, "NVIDIA H100 Tensor Core GPU Architecture whitepaper, without sparsity"),
)


def seconds(operator: Operator, card: Card, size: int = 2) -> float:
    """Return the least time of a product, done as often as it is: the longer of arithmetic and traffic.

    Weights, inputs and outputs cross the memory once; ``size`` is the bytes of a value.
    """
    traffic = size * (operator.weights + operator.values)
    return operator.times * max(operator.flops / card.flops, traffic / card.bandwidth)


def part_seconds(config: ModelConfig, call: Call, card: Card) -> dict[str, float]:
    """Return the least time of each part; that of the head's step is of one step."""
    times = dict.fromkeys(PARTS, 0.0)
    for operator in operators(config, call):
        times[operator.part] += seconds(operator, card)
    return times


def inference_seconds(config: ModelConfig, call: Call, card: Card) -> float:
    """Return the least time of one inference."""
    times = part_seconds(config, call, card)
    steps = call.steps or config.head.flow_steps
    return sum(times.values()) + (steps - 1) * times[STEP]
