"""Spatial encoder "depth_anything": depth estimated from colour, through the same path as measured depth.

Depth Anything (Yang et al. 2024, "Depth Anything V2") as transformers has it, frozen. Metric models are used as they
are; relative ones estimate inverse depth up to a factor, which ``calibration`` finds. Guarded by
tests/unit/test_spatial_encoders.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import DepthAnythingForDepthEstimation

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.spatial.calibration import metric_scale, require_scale
from vipa_policy.model.spatial.interface import SpatialEncoder, SpatialTokens
from vipa_policy.model.spatial.pointmap import PointmapEncoder
from vipa_policy.model.spatial.pretrained import Pretrained, pretrained_folder
from vipa_policy.model.view_checks import DEPTH_RANGE
from vipa_policy.model.weights import weight_files

FARTHEST = 1e-3  # share of a view's largest inverse depth below which it is sky, not a surface


def load_depth_model(folder: Path) -> DepthAnythingForDepthEstimation:
    """Return the model in a folder; raises CheckpointError where it is none in safetensors, or not whole."""
    weight_files(folder)
    try:
        loaded: Any = DepthAnythingForDepthEstimation.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"expected a Depth Anything model of transformers in {folder}: {error}") from error
    model: DepthAnythingForDepthEstimation = loaded[0]
    lacking = sorted(loaded[1]["missing_keys"])
    if lacking:
        raise CheckpointError(
            f"{folder} lacks {len(lacking)} weights of its model (first: {lacking[0]}); copy it again"
        )
    return model


class DepthAnythingEncoder(SpatialEncoder):
    """The pointmap encoder on estimated depth; the estimator never trains, the rest does unless it is frozen too."""

    needs_depth = False

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        folder = pretrained_folder(config, "a Depth Anything model")
        self.estimator = Pretrained(load_depth_model(folder), config.pretrained)
        self.pointmap = PointmapEncoder(config)

    @property
    def model(self) -> DepthAnythingForDepthEstimation:
        """The estimator itself."""
        network: DepthAnythingForDepthEstimation = self.estimator.network
        return network

    def forward(self, inputs: NetworkInput) -> SpatialTokens:
        """Encode all views; raises ObservationError where a relative estimate finds no scale."""
        features = self.frozen_features(inputs) if inputs.frozen is None else inputs.frozen
        return self.pointmap.encode(inputs, features["depth"])

    @torch.no_grad()
    def frozen_features(self, inputs: NetworkInput) -> dict[str, Tensor]:
        """Return metric depth (B, V, S, S) float32, 0 where the model sees no surface within DEPTH_RANGE."""
        # In half precision a depth of 0.7 m would come in steps of 3 mm.
        with torch.autocast(inputs.colours.device.type, enabled=False):
            estimated = self.estimate(inputs.colours.flatten(0, 1).float()).unflatten(0, (inputs.batch, inputs.views))
        if self.model.config.depth_estimation_type == "relative":
            largest = estimated.amax(dim=(2, 3), keepdim=True)
            surface = (estimated > FARTHEST * largest) & (estimated > 0)
            estimated = torch.where(surface, 1.0 / torch.where(surface, estimated, 1.0), 0.0)
            estimated = estimated * require_scale(metric_scale(estimated, inputs, False), inputs, self.estimator.name)
        within = (estimated >= DEPTH_RANGE[0]) & (estimated <= DEPTH_RANGE[1])
        return {"depth": torch.where(within, estimated, 0.0)}

    def estimate(self, colours: Tensor) -> Tensor:
        """Return (N, S, S) in the model's own unit of (N, 3, S, S) normalised as the model was trained (ImageNet)."""
        size, patch = colours.shape[-1], self.model.config.patch_size
        patch = patch if isinstance(patch, int) else patch[0]
        fitting = max(1, round(size / patch)) * patch
        if fitting != size:
            colours = torch.nn.functional.interpolate(
                colours, (fitting, fitting), mode="bicubic", align_corners=False, antialias=fitting < size
            )
        depth = self.model(pixel_values=colours).predicted_depth
        if depth.shape[-2:] != (size, size):
            # Nearest, not linear: between the two sides of an edge there is no surface.
            depth = torch.nn.functional.interpolate(depth[:, None], (size, size), mode="nearest-exact")[:, 0]
        return depth

    def frozen_weights(self) -> dict[str, Tensor]:
        """Return the estimator's weights."""
        return dict(self.model.state_dict())

    def frozen_choices(self) -> dict[str, Any]:
        """Return the estimator's configuration."""
        return {"image_size": self.pointmap.config.image_size, "model": self.model.config.to_json_string()}
