"""Parameters per part, counted on the meta device: the network itself, built without memory for its weights.

Guarded by tests/unit/test_sizing.py.
"""

from __future__ import annotations

import torch

from vipa_policy.model.config import ModelConfig
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.sizing.operators import text_sizes

PREFIXES = {
    "vision": ("semantic.internvl.model.vision_tower.",),
    "projector": ("semantic.internvl.model.multi_modal_projector.",),
    "embedding": ("semantic.internvl.model.language_model.embed_tokens.", "semantic.internvl.lm_head."),
    "language": ("semantic.internvl.model.language_model.",),
    "spatial": ("spatial.",),
    "fusion": ("fusion.",),
    "condition": ("queries", "query_out.", "pointing.", "anchor_out."),
    "head": ("head.",),
}


def part_of(name: str) -> str:
    """Return the part a parameter of the network belongs to, "other" where none is known."""
    return next((part for part, prefixes in PREFIXES.items() if name.startswith(prefixes)), "other")


def meta_network(config: ModelConfig) -> VipaNetwork:
    """Return the network on the meta device; raises CheckpointError where the configuration makes none."""
    with torch.device("meta"):
        return VipaNetwork(config, 0, Normalisation(config.horizon, config.head.embodiments))


def count_parameters(config: ModelConfig) -> dict[str, int]:
    """Return the number of parameters of every part; what is tied counts once."""
    counts = dict.fromkeys(PREFIXES, 0)
    for name, parameter in meta_network(config).named_parameters():
        part = part_of(name)
        counts[part] = counts.get(part, 0) + parameter.numel()
    return counts


def adapter_parameters(config: ModelConfig, rank: int) -> int:
    """Return the parameters of LoRA of a rank on every matrix of the language model's layers: rank * (in + out)."""
    text = text_sizes(config)
    width, feedforward = text.hidden_size, text.intermediate_size
    own, shared = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    sides = 2 * (width + own) + 2 * (width + shared) + 3 * (width + feedforward)
    return int(rank * sides * text.num_hidden_layers)
