"""The pointmap encoder's transformer, fusion and pointing, folded; its convolutions stay as they are.

Guarded by tests/unit/test_fused.py.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vipa_policy.model.engine.fused.folding import Linear, join_heads, normaliser, split_heads
from vipa_policy.model.fusion import CrossAttentionFusion
from vipa_policy.model.pointing import LONGEST_VOTE, REACH, Pointed, Pointing
from vipa_policy.model.spatial import FineFeatures
from vipa_policy.model.spatial.pointmap import PointmapEncoder


class FusedEncoderLayer:
    """torch's pre-norm TransformerEncoderLayer."""

    def __init__(self, layer: Any) -> None:
        attention = layer.self_attn
        self.heads = attention.num_heads
        source = Linear(attention.in_proj_weight.detach(), attention.in_proj_bias.detach())
        self.query_key_value = source.behind(layer.norm1)
        self.output = Linear.of(attention.out_proj)
        self.first = Linear.of(layer.linear1).behind(layer.norm2)
        self.second = Linear.of(layer.linear2)
        self.normalise = normaliser(layer.norm1)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return (N, L, width) tokens."""
        parts = self.query_key_value(self.normalise(tokens)).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.heads) for part in parts)
        tokens = tokens + self.output(join_heads(F.scaled_dot_product_attention(query, key, value)))
        return tokens + self.second(F.gelu(self.first(self.normalise(tokens))))


class FusedTransformer:
    """What ``PointmapEncoder`` runs over its tokens: its layers and the norm behind them."""

    def __init__(self, encoder: PointmapEncoder) -> None:
        self.layers = [FusedEncoderLayer(layer) for layer in encoder.layers.layers]
        self.norm = encoder.norm

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return (N, L, width) tokens."""
        for layer in self.layers:
            tokens = layer(tokens)
        normed: Tensor = self.norm(tokens)
        return normed


class FusedFusion:
    """Semantic patches that ask the spatial tokens; alpha folded into the branch's norm."""

    def __init__(self, fusion: CrossAttentionFusion) -> None:
        self.heads = fusion.heads
        self.query = Linear.of(fusion.query).behind(fusion.semantic_norm)
        self.key_value = Linear.of(fusion.key_value).behind(fusion.spatial_norm)
        self.output = Linear.of(fusion.output)
        self.normalise_semantic = normaliser(fusion.semantic_norm)
        self.normalise_spatial = normaliser(fusion.spatial_norm)
        alpha, norm = fusion.alpha.detach(), fusion.branch_norm
        self.scale, self.shift = alpha * norm.weight.detach(), alpha * norm.bias.detach()
        self.epsilon = norm.eps

    def __call__(self, semantic: Tensor, spatial: Tensor, mask: Tensor) -> Tensor:
        """Return fused (B, N_v, width); arguments as in ``CrossAttentionFusion``."""
        query = split_heads(self.query(self.normalise_semantic(semantic)), self.heads)
        parts = self.key_value(self.normalise_spatial(spatial)).chunk(2, dim=-1)
        key, value = (split_heads(part, self.heads) for part in parts)
        usable = mask | ~mask.any(dim=1, keepdim=True)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=usable[:, None, None, :])
        branch = self.output(join_heads(attended))
        return semantic + F.layer_norm(branch, branch.shape[-1:], self.scale, self.shift, self.epsilon)


class FusedPointing:
    """Pointing of one instruction: the query takes the keys' map upon itself, so that no feature is mapped twice."""

    def __init__(self, pointing: Pointing) -> None:
        self.query = pointing.query
        self.key = Linear.of(pointing.key)
        self.vote = pointing.vote

    def __call__(self, hidden: Tensor, fine: FineFeatures) -> Pointed:
        """Point for each instruction; hidden is (B, K, language width)."""
        query = self.query(hidden)
        width = self.key.weight.shape[0]
        logits = (query @ self.key.weight) @ fine.features.transpose(1, 2)
        logits = (logits + (query @ self.key.filled())[..., None]) / width**0.5
        usable = fine.mask | ~fine.mask.any(dim=1, keepdim=True)
        logits = logits.masked_fill(~usable[:, None], -torch.inf)
        votes = fine.anchors + LONGEST_VOTE * self.vote(fine.features).tanh()
        weights = logits.softmax(dim=-1)
        winner = votes.gather(1, logits.argmax(dim=-1)[..., None].expand(-1, -1, 3))
        apart = (winner[:, :, None] - votes[:, None]).square().sum(dim=-1)
        agreeing = weights * (apart < REACH**2)
        confidence = agreeing.sum(dim=-1)
        shares = agreeing / confidence[..., None].clamp(min=1e-9)
        return Pointed(logits, votes, shares @ votes, confidence, shares @ fine.features)
