"""The registry of spatial encoders."""

from __future__ import annotations

import importlib

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.spatial.interface import SpatialEncoder

# Modules by name: an encoder nobody asks for is not imported.
ENCODERS = {
    "pointmap": ("vipa_policy.model.spatial.pointmap", "PointmapEncoder"),
    "depth_anything": ("vipa_policy.model.spatial.monocular", "DepthAnythingEncoder"),
    "cut3r": ("vipa_policy.model.spatial.cut3r", "Cut3rEncoder"),
}


def make_spatial_encoder(config: SpatialConfig) -> SpatialEncoder | None:
    """Return the encoder that ``config.kind`` names, None for "none".

    Raises CheckpointError where there is no such encoder, or the pretrained part it needs is not there or does not fit.
    """
    if config.kind == "none":
        return None
    if config.kind not in ENCODERS:
        raise CheckpointError(f"expected a spatial encoder of a kind in {sorted(ENCODERS)}, got {config.kind!r}")
    module, name = ENCODERS[config.kind]
    encoder: SpatialEncoder = getattr(importlib.import_module(module), name)(config)
    return encoder.requires_grad_(not config.frozen)
