"""InternVL's vision tower and projector, folded. Guarded by tests/unit/test_fused.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vipa_policy.model.engine.fused.folding import Linear, join_heads, joined, normaliser, split_heads
from vipa_policy.model.semantic import SemanticSide


class FusedVisionLayer:
    """Attention over patches and a feed-forward, each with its norm and its layer scale folded in."""

    def __init__(self, layer: Any) -> None:
        attention, forward = layer.attention, layer.mlp
        self.heads = attention.num_heads
        self.scale = float(attention.scale)
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        self.query_key_value = joined(*(Linear.of(part).behind(layer.layernorm_before) for part in parts))
        self.output = Linear.of(attention.projection_layer).scaled(layer.lambda_1.detach())
        self.first = Linear.of(forward.fc1).behind(layer.layernorm_after)
        self.second = Linear.of(forward.fc2).scaled(layer.lambda_2.detach())
        self.normalise = normaliser(layer.layernorm_before)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return (N, L, width) tokens."""
        parts = self.query_key_value(self.normalise(tokens)).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.heads) for part in parts)
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        tokens = tokens + self.output(join_heads(attended))
        return tokens + self.second(F.gelu(self.first(self.normalise(tokens))))


class FusedVision:
    """Pixels to patches (``SemanticSide.patches``), and fused patches to language tokens (``SemanticSide.project``)."""

    def __init__(self, semantic: SemanticSide) -> None:
        model = semantic.internvl.model
        tower = model.vision_tower
        embeddings = tower.embeddings
        projection = embeddings.patch_embeddings.projection
        self.patch = int(projection.kernel_size[0])
        self.embed = Linear(projection.weight.detach().flatten(1), projection.bias.detach())
        first = embeddings.cls_token.detach()[0]
        places = embeddings.position_embeddings
        self.places = None if places is None else places.detach()[0, 1:]
        self.first = first if places is None else first + places.detach()[0, :1]
        self.layers = [FusedVisionLayer(layer) for layer in tower.encoder.layer]
        self.last_norm: nn.Module = tower.layernorm
        projector = model.multi_modal_projector
        self.normalise = normaliser(projector.layer_norm)
        self.projector_first = Linear.of(projector.linear_1).behind(projector.layer_norm)
        self.projector_second = Linear.of(projector.linear_2)
        self.shuffle = model.pixel_shuffle
        self.ratio = float(semantic.internvl.config.downsample_ratio)

    def patches(self, pixels: Tensor) -> Tensor:
        """Return (B, V, patches, width) of normalised images (B, V, 3, s, s)."""
        batch, views, channels, height, width = pixels.shape
        size = self.patch
        blocks = pixels.reshape(batch * views, channels, height // size, size, width // size, size)
        blocks = blocks.permute(0, 2, 4, 1, 3, 5).reshape(batch * views, -1, channels * size * size)
        tokens = self.embed(blocks)
        if self.places is not None:
            tokens = tokens + self.places
        tokens = torch.cat([self.first.expand(batch * views, -1, -1), tokens], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.last_norm(tokens)[:, 1:].unflatten(0, (batch, views))

    def project(self, patches: Tensor) -> Tensor:
        """Return (B, V * language tokens, language width) of fused patches (B, V, patches, width)."""
        batch, views, count, width = patches.shape
        side = int(count**0.5)
        shuffled = self.shuffle(patches.reshape(batch * views, side, side, width), self.ratio).flatten(1, 2)
        hidden = F.gelu(self.projector_first(self.normalise(shuffled)))
        return self.projector_second(hidden).reshape(batch, -1, self.projector_second.weight.shape[0])
