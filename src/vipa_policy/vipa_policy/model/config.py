"""Sizes and choices of the model, as plain frozen dataclasses that go to JSON and back.

``vipa-tiny`` trains and runs on a CPU; every class it is built from takes the paper's sizes as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vipa_policy.errors import CheckpointError

ACTION_SIZE = 10  # position (3), 6-D rotation (6), gripper (1)
STATE_SIZE = 10  # the same fields, of the measured tip


@dataclass(frozen=True)
class SemanticConfig:
    """The InternVL side (paper section 3.1): its vision tower, its projector and its language model."""

    image_size: int = 112
    patch_size: int = 8
    vision_width: int = 192
    vision_layers: int = 3
    vision_heads: int = 4
    language_width: int = 256
    language_layers: int = 4
    language_heads: int = 4
    language_feedforward: int = 768
    vocabulary_size: int = 256


@dataclass(frozen=True)
class SpatialConfig:
    """The spatial encoder. ``pointmap`` is ours; others join behind the same interface (vipa_policy.model.spatial)."""

    kind: str = "pointmap"
    image_size: int = 224
    width: int = 192
    layers: int = 2
    heads: int = 4
    fine_width: int = 48


@dataclass(frozen=True)
class FusionConfig:
    """Cross-attention of semantic onto spatial tokens, V_f = V_sem + alpha * F_spa (paper section 3.1)."""

    width: int = 192
    heads: int = 4
    dropout: float = 0.0
    alpha: float = 0.5


@dataclass(frozen=True)
class HeadConfig:
    """Action queries and the flow-matching transformer (paper section 3.3).

    ``temperature`` scales the noise that sampling starts from; below 1 it gives up variety for precision.
    """

    queries: int = 8
    width: int = 192
    layers: int = 4
    heads: int = 4
    flow_steps: int = 4
    temperature: float = 1.0


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape of the network."""

    name: str = "vipa-tiny"
    horizon: int = 16
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    spatial: SpatialConfig = field(default_factory=SpatialConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: HeadConfig = field(default_factory=HeadConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read what ``to_dict`` wrote; raises CheckpointError on fields it does not know."""
        try:
            return cls(
                name=values["name"],
                horizon=values["horizon"],
                semantic=SemanticConfig(**values["semantic"]),
                spatial=SpatialConfig(**values["spatial"]),
                fusion=FusionConfig(**values["fusion"]),
                head=HeadConfig(**values["head"]),
            )
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the model section of the checkpoint's config.json does not fit: {error}") from error
