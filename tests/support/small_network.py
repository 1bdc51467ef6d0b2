"""A small network's configuration and observations, for tests of the model and of training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from vipa_policy.geometry import transform
from vipa_policy.model.config import FusionConfig, HeadConfig, ModelConfig, SemanticConfig, SpatialConfig
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.observation import CameraView, Observation

COLOURS = ("red", "green", "blue")


def small_config(horizon: int = 16) -> ModelConfig:
    """Return the smallest network that has every part."""
    return ModelConfig(
        name="vipa-test",
        horizon=horizon,
        semantic=SemanticConfig(
            image_size=32, vision_width=32, vision_layers=1, vision_heads=2, language_width=32, language_layers=2,
            language_heads=2, language_feedforward=64, vocabulary_size=32,
        ),
        spatial=SpatialConfig(image_size=64, width=32, layers=1, heads=2, fine_width=16),
        fusion=FusionConfig(width=32, heads=2),
        head=HeadConfig(queries=2, width=32, layers=2, heads=2),
    )  # fmt: skip


def make_view(seed: int = 0, name: str = "scene") -> CameraView:
    """Return 96 x 128 px of noise between 0.6 and 0.9 m."""
    random = np.random.default_rng(seed)
    intrinsics = np.array([[90.0, 0, 63.5], [0, 90.0, 47.5], [0, 0, 1]])
    return CameraView(
        name,
        random.integers(0, 255, (96, 128, 3)).astype(np.uint8),
        random.uniform(0.6, 0.9, (96, 128)).astype(np.float32),
        intrinsics,
        np.eye(4),
    )


def make_observation(seed: int = 0) -> Observation:
    """Return one such view with the tip in front of the camera."""
    tip = transform([0.05, -0.02, 0.6], [0.7, 0.1, 0.0, 0.7])
    return Observation(12.5, (make_view(seed),), tip, 0.08)


def joined(parts: Sequence[NetworkInput]) -> NetworkInput:
    """Return one input of the observations of several; what the first lacks, all lack."""
    held = [name for name, value in vars(parts[0]).items() if value is not None]
    values: dict[str, Any] = {"depth": None} | {
        name: torch.cat([getattr(part, name) for part in parts]) for name in held
    }
    return NetworkInput(**values)
