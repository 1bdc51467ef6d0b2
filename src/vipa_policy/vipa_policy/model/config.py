"""Sizes and choices of the model, as plain frozen dataclasses that go to JSON and back.

The single place for what fixes a network's shape, and for the two presets: ``vipa-tiny`` trains and runs on a CPU,
``vipa-2b`` has the paper's sizes. Guarded by tests/unit/test_config.py.
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
    """The InternVL side (paper section 3.1): its vision tower, its projector and its language model.

    Attributes:
        image_size: edge in pixels of the semantic image (of a tile, for published models).
        patch_size: edge in pixels of a patch.
        vision_width, vision_layers, vision_heads: of the vision tower.
        vision_feedforward: 0 takes four times the width.
        language_family: transformers' ``model_type`` of the language model.
        language_width, language_layers, language_heads, language_feedforward: of the language model.
        language_key_value_heads: 0 takes as many as there are heads.
        language_head_size: 0 takes width / heads.
        vocabulary_size: rows of the embedding.
        layer_scale: the vision tower's initial layer scale; the published 0.1 is for a deep pretrained tower.
        initial_range: deviation of initial weights; about 1 / sqrt(width) of the small preset, the published 0.02 is
            for widths ten times as large.
        tied: whether the output embedding is the input embedding.
        tokenizer: "words" for the word-level tokenizer of a checkpoint's templates, "published" for the tokenizer of
            the published model.
        published: hub id or folder of the published InternVL weights this side starts from, "" for none.
        family: the whole configuration of a published model as transformers saved it (``InternVLConfig.to_dict()``);
            where it is given, the sizes above were read from it and it is what the network is built from.
    """

    image_size: int = 112
    patch_size: int = 8
    vision_width: int = 192
    vision_layers: int = 3
    vision_heads: int = 4
    vision_feedforward: int = 0
    language_family: str = "qwen3"
    language_width: int = 256
    language_layers: int = 4
    language_heads: int = 4
    language_key_value_heads: int = 0
    language_head_size: int = 0
    language_feedforward: int = 768
    vocabulary_size: int = 256
    layer_scale: float = 1.0
    initial_range: float = 0.05
    tied: bool = True
    tokenizer: str = "words"
    published: str = ""
    family: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SpatialConfig:
    """The spatial encoder; its kinds live in vipa_policy.model.spatial.

    Attributes:
        kind: "pointmap" (metric points of the RGB-D camera), "none" (the ablation), "depth_anything" (monocular depth
            feeding the pointmap path) or "cut3r" (as in the paper, user-installed).
        image_size: edge in pixels of the spatial image.
        width, layers, heads: of the tokens and of the transformer over them.
        fine_width: of the features at stride 4, for pointing.
        pretrained: folder, hub id or file of a pretrained encoder's weights, "" where there is none.
        frozen: whether the encoder never trains (both encoders of the paper are frozen in all stages).
    """

    kind: str = "pointmap"
    image_size: int = 224
    width: int = 192
    layers: int = 2
    heads: int = 4
    fine_width: int = 48
    pretrained: str = ""
    frozen: bool = False


@dataclass(frozen=True)
class FusionConfig:
    """Cross-attention of semantic onto spatial tokens, V_f = V_sem + alpha * F_spa (paper section 3.1).

    ``undisturbed`` starts the branch at zero, so that a trained language model sees what it saw before.
    """

    width: int = 192
    heads: int = 4
    dropout: float = 0.0
    alpha: float = 0.5
    undisturbed: bool = False


@dataclass(frozen=True)
class HeadConfig:
    """Action queries and the flow-matching transformer (paper section 3.3).

    Attributes:
        queries: action queries in the language model.
        width, layers, heads: of the diffusion transformer.
        flow_steps: Euler steps of sampling.
        temperature: scales the noise that sampling starts from; below 1 it gives up variety for precision.
        time_distribution: of tau in training, "uniform" (the paper) or "beta" (Beta(1.5, 1), towards noise).
        grounding: "pointing" (the thing that is named, as a 3-D point; see vipa_policy.model.pointing) or "none" (the
            paper: the head is conditioned on the action queries alone).
        embodiments: bodies the network serves; with more than one, each has a learned vector of its own
            (vipa_policy.model.embodiments).
    """

    queries: int = 8
    width: int = 192
    layers: int = 4
    heads: int = 4
    flow_steps: int = 4
    temperature: float = 1.0
    time_distribution: str = "uniform"
    grounding: str = "pointing"
    embodiments: int = 1


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the shape of the network."""

    name: str = "vipa-tiny"
    horizon: int = 16
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    spatial: SpatialConfig = field(default_factory=SpatialConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: HeadConfig = field(default_factory=HeadConfig)

    def __post_init__(self) -> None:
        check_choices(self)

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


CHOICES: dict[tuple[str, str], tuple[str, ...]] = {
    ("semantic", "tokenizer"): ("words", "published"),
    ("spatial", "kind"): ("pointmap", "none", "depth_anything", "cut3r"),
    ("head", "time_distribution"): ("uniform", "beta"),
    ("head", "grounding"): ("pointing", "none"),
}
FINE_KINDS = ("pointmap", "depth_anything")  # kinds whose fine features pointing can choose among


def check_choices(config: ModelConfig) -> None:
    """Refuse a choice that there is not, or that another one excludes; raises CheckpointError naming all there are."""
    for (section, name), known in CHOICES.items():
        got = getattr(getattr(config, section), name)
        if got not in known:
            raise CheckpointError(f"expected {section}.{name} to be one of {', '.join(known)}, got {got!r}")
    if config.head.grounding == "pointing" and config.spatial.kind not in FINE_KINDS:
        raise CheckpointError(
            f"expected a spatial encoder with fine features ({', '.join(FINE_KINDS)}) for head.grounding 'pointing', "
            f"got {config.spatial.kind!r}; set head.grounding to 'none'"
        )


def vipa_tiny() -> ModelConfig:
    """Return the small preset: 9.2 M parameters, 112 px semantic and 224 px spatial images, trained from nothing."""
    return ModelConfig()


def vipa_2b() -> ModelConfig:
    """Return the paper's sizes: InternVL3.5-2B (InternViT-300M, Qwen3-1.7B) and a head of the size GR00T N1.5 has.

    What the paper leaves open is chosen in docs/model.md. The sizes of the published model are those of its family;
    loading it reads them from its own configuration (vipa_policy.model.published).
    """
    return ModelConfig(
        name="vipa-2b",
        horizon=16,
        semantic=SemanticConfig(
            image_size=448, patch_size=14, vision_width=1024, vision_layers=24, vision_heads=16,
            vision_feedforward=4096, language_family="qwen3", language_width=2048, language_layers=28,
            language_heads=16, language_key_value_heads=8, language_head_size=128, language_feedforward=6144,
            vocabulary_size=151_936, layer_scale=0.1, initial_range=0.02, tied=True, tokenizer="published",
            published="OpenGVLab/InternVL3_5-2B-HF",
        ),
        spatial=SpatialConfig(image_size=448, width=768, layers=4, heads=12, fine_width=96),
        fusion=FusionConfig(width=1024, heads=16, dropout=0.1, alpha=0.5, undisturbed=True),
        head=HeadConfig(queries=32, width=1536, layers=16, heads=32, flow_steps=4, grounding="none"),
    )  # fmt: skip


PRESETS = {"vipa-tiny": vipa_tiny, "vipa-2b": vipa_2b}


def preset(name: str) -> ModelConfig:
    """Return a preset by name; raises CheckpointError naming those there are."""
    if name not in PRESETS:
        raise CheckpointError(f"expected a preset ({', '.join(PRESETS)}), got {name!r}")
    return PRESETS[name]()
