"""transformers' PI0, built to a given size with random weights: what this model's speed is compared with.

PI0 has the same outline (a vision tower, a language model, an expert that draws a chunk by flow matching) and comes
with transformers, so both run on the same kernels. Its expert reads the language model's keys and values layer by
layer, so it has as many layers as that and heads of the same size; and its vision tower has no pixel shuffle, so it
hands on as many tokens as it has patches. Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PI0Config, PI0ForConditionalGeneration

from vipa_policy.model.config import ACTION_SIZE, STATE_SIZE, ModelConfig

WORDS = 4  # of an instruction, as in "reach the red block"


@dataclass(frozen=True)
class Rival:
    """A PI0 with the inputs of one observation.

    Attributes:
        model: in its evaluation mode.
        inputs: arguments of ``sample_actions`` but for the number of steps.
        image_tokens: that its language model sees for each view.
        default_steps: its own number of flow steps.
    """

    model: PI0ForConditionalGeneration
    inputs: dict[str, Any]
    image_tokens: int
    default_steps: int

    @torch.inference_mode()
    def predict(self, steps: int) -> torch.Tensor:
        """Return a chunk (1, horizon, ACTION_SIZE)."""
        chunk: torch.Tensor = self.model.sample_actions(**self.inputs, num_steps=steps)
        return chunk

    @property
    def parameters(self) -> int:
        """Number of its parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())


READINGS = ("language tokens", "patches")


def patch_of(config: ModelConfig, reading: str) -> int:
    """Return the edge in pixels of PI0's patches so that it has as many image tokens as a model.

    Args:
        config: of the model.
        reading: "language tokens": as many as our language model sees, after the pixel shuffle (PI0's vision tower
            then has a quarter of our patches: the comparison that favours PI0 most); "patches": as many as our vision
            tower has (PI0's language model then reads four times our tokens).
    """
    patch = config.semantic.patch_size
    return {"language tokens": 2 * patch, "patches": patch}[reading]


def same_size(config: ModelConfig, reading: str) -> dict[str, Any]:
    """Return the arguments of a PI0Config with a model's widths, layers, image tokens and horizon."""
    semantic, head = config.semantic, config.head
    key_values = semantic.language_key_value_heads or semantic.language_heads
    head_size = semantic.language_head_size or semantic.language_width // semantic.language_heads
    attention = {
        "model_type": "gemma",
        "num_hidden_layers": semantic.language_layers,
        "num_attention_heads": semantic.language_heads,
        "num_key_value_heads": key_values,
        "head_dim": head_size,
        "vocab_size": semantic.vocabulary_size,
    }
    return {
        "vlm_config": {
            "model_type": "paligemma",
            "text_config": attention
            | {"hidden_size": semantic.language_width, "intermediate_size": semantic.language_feedforward},
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": semantic.vision_width,
                "intermediate_size": semantic.vision_feedforward or 4 * semantic.vision_width,
                "num_hidden_layers": semantic.vision_layers,
                "num_attention_heads": semantic.vision_heads,
                "patch_size": patch_of(config, reading),
                "image_size": semantic.image_size,
                "vision_use_head": False,
            },
            "projection_dim": semantic.language_width,
            "image_token_id": semantic.vocabulary_size - 1,
        },
        "dit_config": attention | {"hidden_size": head.width, "intermediate_size": 4 * head.width},
        "chunk_size": config.horizon,
        "max_state_dim": STATE_SIZE,
        "max_action_dim": ACTION_SIZE,
    }


def build(arguments: dict[str, Any], dtype: torch.dtype, device: torch.device | None = None, views: int = 1) -> Rival:
    """Build a PI0 with random weights.

    Args:
        arguments: of its PI0Config; none for its published size.
        dtype: of weights and inputs.
        device: None takes the processor.
        views: images of an observation.
    """
    device = device or torch.device("cpu")
    config = PI0Config(**arguments)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            model = PI0ForConditionalGeneration(config).eval()
    finally:
        torch.set_default_dtype(before)
    model = model.to(device=device, dtype=dtype)
    language: Any = config.vlm_config
    vision, token = language.vision_config, language.image_token_id
    tokens = (vision.image_size // vision.patch_size) ** 2
    ids = torch.full((1, views * tokens + WORDS), token)
    ids[:, views * tokens :] = torch.arange(WORDS) + 5
    inputs = {
        "state": torch.zeros(1, config.max_state_dim, dtype=dtype),
        "input_ids": ids,
        "pixel_values": torch.randn(1, views, 3, vision.image_size, vision.image_size).to(dtype),
        "attention_mask": torch.ones_like(ids),
        "pixel_attention_mask": torch.ones(1, views, dtype=torch.bool),
    }
    return Rival(
        model,
        {name: value.to(device) for name, value in inputs.items()},
        tokens,
        config.num_inference_steps,
    )
