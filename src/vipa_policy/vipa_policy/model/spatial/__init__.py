"""Spatial encoders: where things are. One small interface, chosen by ``SpatialConfig.kind``."""

from vipa_policy.model.spatial.build import make_spatial_encoder
from vipa_policy.model.spatial.interface import FineFeatures, SpatialEncoder, SpatialTokens
from vipa_policy.model.spatial.patches import fourier_features, patch_anchors

__all__ = [
    "FineFeatures",
    "SpatialEncoder",
    "SpatialTokens",
    "fourier_features",
    "make_spatial_encoder",
    "patch_anchors",
]
