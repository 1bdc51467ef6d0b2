"""The registry of spatial encoders."""

from __future__ import annotations

from collections.abc import Callable

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.spatial.interface import SpatialEncoder
from vipa_policy.model.spatial.pointmap import PointmapEncoder

ENCODERS: dict[str, Callable[[SpatialConfig], SpatialEncoder]] = {"pointmap": PointmapEncoder}


def make_spatial_encoder(config: SpatialConfig) -> SpatialEncoder | None:
    """Return the encoder that ``config.kind`` names, None for "none"; raises CheckpointError where there is no such."""
    if config.kind == "none":
        return None
    if config.kind not in ENCODERS:
        raise CheckpointError(f"expected a spatial encoder of a kind in {sorted(ENCODERS)}, got {config.kind!r}")
    return ENCODERS[config.kind](config)
