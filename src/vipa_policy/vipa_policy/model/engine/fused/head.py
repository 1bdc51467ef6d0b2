"""The action head's Euler steps, folded: each step's modulation is a normalisation's scale and shift, and a gate.

Guarded by tests/unit/test_fused.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vipa_policy.model.engine.fused.folding import Linear, join_heads, joined, split_heads
from vipa_policy.model.engine.sampling import FlowSampler
from vipa_policy.model.head import ActionHead, Block, KeyValue


@dataclass(frozen=True)
class Modulated:
    """What one time does to one half of a block: scale and shift of its norm, and the gate of its output, (width,)."""

    scale: Tensor
    shift: Tensor
    gate: Tensor

    @classmethod
    def of(cls, shift: Tensor, scale: Tensor, gate: Tensor) -> Modulated:
        """Take a block's modulation at one time, (1, 1, width) each."""
        return cls(*(part.flatten().contiguous() for part in (1 + scale, shift, gate)))


class FusedBlock:
    """Attention to the condition, or among state and actions, and a feed-forward."""

    def __init__(self, block: Block) -> None:
        self.heads, self.cross = block.heads, block.cross
        self.width = (block.query.in_features,)
        self.epsilon = block.norm_attention.eps
        key_value = Linear.of(block.key_value)
        query = Linear.of(block.query)
        self.reads = query if block.cross else joined(query, key_value)
        self.output = Linear.of(block.output)
        first, second = block.forward_layers[0], block.forward_layers[2]
        self.first, self.second = Linear.of(first), Linear.of(second)  # type: ignore[arg-type]

    def __call__(self, tokens: Tensor, attention: Modulated, forward: Modulated, cached: KeyValue | None) -> Tensor:
        """Return (N, L, width) tokens."""
        read = self.reads(F.layer_norm(tokens, self.width, attention.scale, attention.shift, self.epsilon))
        if cached is None:
            query, key, value = (split_heads(part, self.heads) for part in read.chunk(3, dim=-1))
        else:
            query, (key, value) = split_heads(read, self.heads), cached
        attended = join_heads(F.scaled_dot_product_attention(query, key, value))
        tokens = torch.addcmul(tokens, self.output(attended), attention.gate)
        hidden = F.gelu(self.first(F.layer_norm(tokens, self.width, forward.scale, forward.shift, self.epsilon)))
        return torch.addcmul(tokens, self.second(hidden), forward.gate)


class FusedSampler(FlowSampler):
    """``FlowSampler``, folded."""

    def __init__(self, head: ActionHead, steps: int) -> None:
        super().__init__(head, steps)
        self.blocks = [FusedBlock(block) for block in head.blocks if isinstance(block, Block)]
        self.action_in = Linear.of(head.action_in)
        self.action_out = Linear.of(head.action_out).behind(head.norm)
        self.width, self.epsilon = head.norm.normalized_shape, head.norm.eps
        with torch.inference_mode():
            self.places = head.position.detach()[1:]
            self.state_place = head.position.detach()[:1]

    def modulate(self, time: Tensor) -> list[tuple[Modulated, Modulated]]:
        """Return what a step at ``time`` (1,) does to both halves of every block."""
        return [(Modulated.of(*parts[:3]), Modulated.of(*parts[3:])) for parts in self.head.modulations(time)]

    def token(self, state: Tensor, embodiment: Tensor | None) -> Tensor:
        """Return the state's token (N, 1, width) at its place."""
        return super().token(state, embodiment) + self.state_place

    def denoise(
        self,
        noisy: Tensor,
        token: Tensor,
        modulations: list[tuple[Modulated, Modulated]],
        cache: list[KeyValue],
    ) -> Tensor:
        """Return the action that a noisy one (N, horizon, ACTION_SIZE) is believed to come from."""
        tokens = torch.cat([token, self.action_in(noisy) + self.places], dim=1)
        cached = iter(cache)
        for block, (attention, forward) in zip(self.blocks, modulations, strict=True):
            tokens = block(tokens, attention, forward, next(cached) if block.cross else None)
        return self.action_out(F.layer_norm(tokens[:, 1:], self.width, None, None, self.epsilon))
