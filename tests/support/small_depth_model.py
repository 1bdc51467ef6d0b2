"""A Depth Anything model small enough for tests, saved the way published ones are."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation


def depth_anything(folder: Path, kind: str, seed: int = 0, patch: int = 14) -> Path:
    """Save a small random model of a kind, "relative" or "metric"; returns the folder."""
    torch.manual_seed(seed)
    config = DepthAnythingConfig(
        backbone_config={
            "model_type": "dinov2", "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2,
            "image_size": 70, "patch_size": patch, "out_indices": [1, 2, 3, 4], "reshape_hidden_states": False,
            "apply_layernorm": True,
        },
        patch_size=patch, reassemble_hidden_size=32, neck_hidden_sizes=[16, 16, 32, 32], fusion_hidden_size=16,
        head_hidden_size=8, depth_estimation_type=kind, max_depth=2 if kind == "metric" else 1,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(config).eval()
    # A random head may see nothing anywhere (its last layer is a ReLU); a bias keeps surfaces in sight.
    with torch.no_grad():
        model.head.conv3.bias.fill_(0.5 if kind == "relative" else -0.5)
    model.save_pretrained(folder)
    return folder
