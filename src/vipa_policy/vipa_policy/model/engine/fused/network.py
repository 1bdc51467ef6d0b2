"""A network folded for one observation with one instruction at a time, fp32 on a processor.

transformers' modules spend much of a small network's time between its matrices; here the same weights are folded,
joined and called directly. It reads the weights once: train the network, and build this anew. Guarded by
tests/unit/test_fused.py, which holds it to the network's own answers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vipa_policy.errors import ObservationError
from vipa_policy.model.engine.fused.language import FusedLanguage
from vipa_policy.model.engine.fused.spatial import FusedFusion, FusedPointing, FusedTransformer
from vipa_policy.model.engine.fused.vision import FusedVision
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.network import Condition, VipaNetwork
from vipa_policy.model.spatial import SpatialTokens
from vipa_policy.model.spatial.pointmap import PointmapEncoder

LARGEST = 200e6  # parameters: beyond it matrices dominate, and a second copy of the weights costs more than it brings
LANGUAGE_FAMILIES = ("qwen2", "qwen3")


def why_not(network: VipaNetwork) -> str:
    """Return why a network cannot be folded, "" where it can."""
    parameters = list(network.parameters())
    internvl = network.semantic.internvl.config
    text: Any = internvl.text_config
    vision: Any = internvl.vision_config
    rope = getattr(text, "rope_parameters", None) or {}
    reasons = {
        "it is not on the processor": any(value.device.type != "cpu" for value in parameters),
        "its weights are not fp32": any(value.dtype != torch.float32 for value in parameters),
        f"it has more than {LARGEST / 1e6:.0f} M parameters": sum(value.numel() for value in parameters) > LARGEST,
        f"its language model is a {text.model_type}": text.model_type not in LANGUAGE_FAMILIES,
        "its language model has no gated SiLU": text.hidden_act != "silu",
        "its rotary embedding depends on the length": rope.get("rope_type", "default") != "default",
        "its language model looks through a window": bool(getattr(text, "use_sliding_window", False)),
        "its vision tower normalises queries and keys": bool(vision.use_qk_norm),
        "its vision tower or projector has no GELU": (vision.hidden_act, internvl.projector_hidden_act)
        != ("gelu",) * 2,
        "its image features come from an inner layer": internvl.vision_feature_layer != -1,
        "its spatial encoder is not the pointmap": not isinstance(network.spatial, PointmapEncoder | None),
    }
    return "; ".join(reason for reason, holds in reasons.items() if holds)


class FusedNetwork:
    """``VipaNetwork.condition`` for one observation (B = 1) and one instruction (K = 1) without padding."""

    def __init__(self, network: VipaNetwork) -> None:
        """Fold a network; ``why_not`` tells beforehand whether it can be."""
        self.network = network
        self.vision = FusedVision(network.semantic)
        self.language = FusedLanguage(network.semantic.internvl.model.language_model)
        encoder = network.spatial
        self.encoder = encoder if isinstance(encoder, PointmapEncoder) else None
        self.transform = None if self.encoder is None else FusedTransformer(self.encoder)
        self.fusion = None if network.fusion is None else FusedFusion(network.fusion)
        self.pointing = None if network.pointing is None else FusedPointing(network.pointing)
        self.queries = network.queries.detach()[None]

    def spatial(self, inputs: NetworkInput) -> SpatialTokens | None:
        """Return the spatial tokens, None in a network without a spatial encoder."""
        if self.encoder is None:
            return None
        if inputs.depth is None:
            raise ObservationError("expected metric depth in every view, got none; the pointmap encoder needs RGB-D")
        return self.encoder.encode(inputs, inputs.depth, self.transform)

    def condition(self, inputs: NetworkInput, words: Tensor) -> Condition:
        """Encode an observation and the embedded words (1, T, language width) of an instruction."""
        patches = self.vision.patches(inputs.pixels)
        spatial = self.spatial(inputs)
        return self.read(patches, spatial, words, inputs.views)

    def read(self, patches: Tensor, spatial: SpatialTokens | None, words: Tensor, views: int) -> Condition:
        """Fuse patches (1, V, N, width) with the spatial tokens, and let the language model read image and words."""
        if spatial is not None and self.fusion is not None:
            patches = self.fusion(patches.flatten(1, 2), spatial.tokens, spatial.mask).view(patches.shape)
        image = self.network.semantic.prefix(self.vision.project(patches), views)
        sequence = torch.cat([image, words, self.queries], dim=1)
        hidden = self.language(sequence, self.queries.shape[1])[:, None]
        pointed = None
        if self.pointing is not None and spatial is not None and spatial.fine is not None:
            pointed = self.pointing(hidden[:, :, 0], spatial.fine)
        return Condition(hidden, pointed, spatial)
