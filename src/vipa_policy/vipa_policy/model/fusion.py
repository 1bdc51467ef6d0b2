"""Fusion of the two encoders: V_f = V_sem + alpha * F_spa (paper section 3.1, after VLM-3R).

The paper "finally" applies dropout and layer normalisation and leaves open where. Here both belong to the branch:

    F_spa = Dropout(LayerNorm(W_o Attention(W_q LN(V_sem), W_k LN(V_spa), W_v LN(V_spa))))

* Layer normalisation before the attention on both inputs (as VLM-3R): the two encoders' features differ in scale.
* The last one over the branch and not over the sum: read literally, the paper's would rescale V_sem itself, and a
  frozen projector and language model would be given features that they were not trained on.
* Dropout last, on the branch: it is training noise on F_spa, and V_sem is never dropped. It is off wherever the fusion
  does not train (vipa_policy.model.stages).

``FusionConfig.undisturbed`` starts the last scale and shift at zero: V_f is V_sem to the bit until the first step, so a
trained model loses nothing. The first step's gradient then reaches that scale and shift alone, since they multiply
everything else, alpha included; from the second step on it reaches all. With ``undisturbed`` off (everything trains
from nothing) the scale starts at one. Guarded by tests/unit/test_language_modelling.py.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vipa_policy.model.config import FusionConfig


class CrossAttentionFusion(nn.Module):
    """Semantic tokens ask the spatial tokens where they are."""

    def __init__(self, config: FusionConfig, semantic_width: int, spatial_width: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.semantic_norm = nn.LayerNorm(semantic_width)
        self.spatial_norm = nn.LayerNorm(spatial_width)
        self.query = nn.Linear(semantic_width, config.width)
        self.key_value = nn.Linear(spatial_width, 2 * config.width)
        self.output = nn.Linear(config.width, semantic_width)
        self.branch_norm = nn.LayerNorm(semantic_width)
        self.dropout = nn.Dropout(config.dropout)
        self.alpha = nn.Parameter(torch.tensor(config.alpha))
        if config.undisturbed:
            nn.init.zeros_(self.branch_norm.weight)

    def forward(self, semantic: Tensor, spatial: Tensor, mask: Tensor) -> Tensor:
        """Return fused tokens.

        Args:
            semantic: (B, N_v, semantic_width).
            spatial: (B, N_s, spatial_width).
            mask: (B, N_s) bool, False where a spatial token has no valid depth.
        """
        query = self.split(self.query(self.semantic_norm(semantic)))
        key, value = (self.split(part) for part in self.key_value(self.spatial_norm(spatial)).chunk(2, dim=-1))
        # An observation without any valid token attends to all of them rather than to nothing, which would be NaN.
        usable = mask | ~mask.any(dim=1, keepdim=True)
        attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=usable[:, None, None, :])
        branch = self.branch_norm(self.output(attended.transpose(1, 2).flatten(2)))
        return semantic + self.alpha * self.dropout(branch)

    def split(self, values: Tensor) -> Tensor:
        """Return (B, heads, N, width / heads)."""
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)
