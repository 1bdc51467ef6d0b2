"""A Qwen2 or Qwen3 language model over one sequence, folded, the last layer for its last tokens only.

Guarded by tests/unit/test_fused.py.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vipa_policy.model.engine.fused.folding import Linear, join_heads, joined, normaliser, split_heads


class HeadNorm:
    """Root-mean-square normalisation of each head's queries or keys, where the family has one (Qwen3)."""

    def __init__(self, norm: nn.Module | None) -> None:
        self.norm = norm
        self.weight: Tensor | None = None if norm is None else norm.weight.detach()  # type: ignore[operator]
        self.epsilon = 0.0 if norm is None else float(norm.variance_epsilon)  # type: ignore[arg-type]

    def __call__(self, values: Tensor) -> Tensor:
        """Return values (..., head size)."""
        if self.weight is None:
            return values
        return F.rms_norm(values, (len(self.weight),), self.weight, self.epsilon)


class FusedDecoderLayer:
    """Causal attention and a gated feed-forward, each with its norm folded in."""

    def __init__(self, layer: Any) -> None:
        attention, forward = layer.self_attn, layer.mlp
        self.head_size = int(attention.head_dim)
        self.scale = float(attention.scaling)
        self.query = Linear.of(attention.q_proj).behind(layer.input_layernorm)
        self.key = Linear.of(attention.k_proj).behind(layer.input_layernorm)
        self.value = Linear.of(attention.v_proj).behind(layer.input_layernorm)
        self.all = joined(self.query, self.key, self.value)
        self.sizes = [len(part.weight) for part in (self.query, self.key, self.value)]
        self.key_value = joined(self.key, self.value)
        self.query_norm = HeadNorm(getattr(attention, "q_norm", None))
        self.key_norm = HeadNorm(getattr(attention, "k_norm", None))
        self.output = Linear.of(attention.o_proj)
        gate, up = (
            Linear.of(part).behind(layer.post_attention_layernorm) for part in (forward.gate_proj, forward.up_proj)
        )
        self.gate_up = joined(gate, up)
        self.down = Linear.of(forward.down_proj)
        self.normalise = normaliser(layer.input_layernorm)

    def __call__(self, tokens: Tensor, cosine: Tensor, sine: Tensor, last: int) -> Tensor:
        """Return the last ``last`` of tokens (1, L, width) after this layer; L of them where the next needs all.

        ``cosine`` and ``sine`` are (L, head size).
        """
        length = tokens.shape[1]
        normed = self.normalise(tokens)
        if last == length:
            query, key, value = self.all(normed).split(self.sizes, dim=-1)
        else:
            key, value = self.key_value(normed).split(self.sizes[1:], dim=-1)
            query = self.query(normed[:, -last:])
        query = rotate(self.query_norm(self.heads(query)), cosine[-last:], sine[-last:])
        key = rotate(self.key_norm(self.heads(key)), cosine, sine)
        causal = last == length
        attended = F.scaled_dot_product_attention(
            query,
            key,
            self.heads(value),
            attn_mask=None if causal else tail_mask(last, length, tokens.device),
            is_causal=causal,
            scale=self.scale,
            enable_gqa=self.sizes[0] != self.sizes[1],
        )
        tokens = tokens[:, -last:] + self.output(join_heads(attended))
        gate, up = self.gate_up(self.normalise(tokens)).chunk(2, dim=-1)
        return tokens + self.down(F.silu(gate).mul_(up))

    def heads(self, values: Tensor) -> Tensor:
        """Return (1, heads, L, head size)."""
        return split_heads(values, values.shape[-1] // self.head_size)


class FusedLanguage:
    """Embedded sequence to the last hidden states of its last tokens."""

    def __init__(self, model: Any) -> None:
        self.layers = [FusedDecoderLayer(layer) for layer in model.layers]
        self.norm: nn.Module = model.norm
        self.rotary = model.rotary_emb
        self.angles: tuple[Tensor, Tensor] | None = None

    def __call__(self, sequence: Tensor, last: int) -> Tensor:
        """Return (1, last, width) of an embedded sequence (1, L, width), every token seeing those before it."""
        cosine, sine = self.rotation(sequence)
        for layer in self.layers[:-1]:
            sequence = layer(sequence, cosine, sine, sequence.shape[1])
        states: Tensor = self.norm(self.layers[-1](sequence, cosine, sine, last))
        return states

    def rotation(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine (L, head size) of the places of a sequence (1, L, width), computed once per length."""
        length = sequence.shape[1]
        if self.angles is None or len(self.angles[0]) != length:
            cosine, sine = self.rotary(sequence, torch.arange(length, device=sequence.device)[None])
            half = sine.shape[-1] // 2
            # The sign of the rotation's second half goes into the sine, so that a roll by half does the rest.
            sine = torch.cat([-sine[..., :half], sine[..., half:]], dim=-1)
            self.angles = (cosine[0].clone(), sine[0].clone())
        return self.angles


def rotate(values: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Return values (..., L, head size) turned by their place (rotary embedding); signs are in the sine."""
    half = values.shape[-1] // 2
    return torch.addcmul(values * cosine, values.roll(half, dims=-1), sine)


def tail_mask(last: int, length: int, device: torch.device) -> Tensor:
    """Return the (last, length) causal mask of a sequence's last tokens, True where they see."""
    return torch.ones(last, length, dtype=torch.bool, device=device).tril(length - last)
