"""The default spatial encoder: metric points of the RGB-D camera, measured where CUT3R has to guess.

Guarded by tests/unit/test_spatial_encoders.py and tests/unit/test_spatial_geometry.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vipa_policy.errors import ObservationError
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.inputs import NetworkInput, back_project
from vipa_policy.model.spatial.interface import FineFeatures, SpatialEncoder, SpatialTokens
from vipa_policy.model.spatial.patches import fourier_features, patch_anchors

TOKEN_STRIDE = 16
FINE_STRIDE = 4
CENTRE = (0.0, 0.0, 0.7)  # m in the optical frame: middle of what a table-top camera sees; keeps the input near zero
EXTENT = 0.3  # m, scale of the same


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3 x 3 convolution, group normalisation and GELU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.GELU())


class PointmapEncoder(SpatialEncoder):
    """Metric points from RGB-D and live intrinsics, through strided convolutions and a small transformer."""

    BANDS = 7

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
        self.config = config
        fine = config.fine_width
        self.stem = nn.Sequential(convolution(7, 24, 2), convolution(24, fine, 2))
        self.middle = convolution(fine, 2 * fine, 2)
        self.coarse = convolution(2 * fine, config.width, 2)
        self.position = nn.Linear(6 * self.BANDS, config.width)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            3 * config.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.width)
        self.lateral_middle = nn.Conv2d(2 * fine, fine, 1)
        self.lateral_coarse = nn.Conv2d(config.width, fine, 1)
        self.refine = convolution(fine, fine, 1)

    def forward(self, inputs: NetworkInput) -> SpatialTokens:
        """Encode all views; holes in the depth are told to the network as such."""
        if inputs.frozen is not None:
            return SpatialTokens.from_tensors(inputs.frozen)
        if inputs.depth is None:
            raise ObservationError(
                "expected metric depth in every view, got none; the pointmap encoder needs an RGB-D camera "
                "(spatial.kind 'depth_anything' estimates depth from colour)"
            )
        return self.encode(inputs, inputs.depth)

    def frozen_features(self, inputs: NetworkInput) -> dict[str, Tensor]:
        """Return all of ``forward`` where the whole encoder is frozen."""
        return self(inputs).to_tensors() if self.config.frozen else {}

    def frozen_weights(self) -> dict[str, Tensor]:
        """Return all weights where the whole encoder is frozen."""
        return dict(self.state_dict()) if self.config.frozen else {}

    def frozen_choices(self) -> dict[str, Any]:
        """Return the sizes."""
        return dataclasses.asdict(self.config)

    def encode(
        self, inputs: NetworkInput, depth: Tensor, transform: Callable[[Tensor], Tensor] | None = None
    ) -> SpatialTokens:
        """Encode all views with depth (B, V, S, S) in m, 0 where invalid, measured or estimated.

        ``transform`` stands in for this encoder's own layers over its tokens (B * V, N, width).
        """
        batch, views = depth.shape[:2]
        points, valid = (part.flatten(0, 1) for part in back_project(depth, inputs.rays, inputs.reference_from_camera))
        centre = points.new_tensor(CENTRE).view(3, 1, 1)
        scaled = (points - centre) / EXTENT * valid
        image = torch.cat([inputs.colours.flatten(0, 1), scaled, valid.to(scaled.dtype)], dim=1)
        stem = self.stem(image.contiguous(memory_format=torch.channels_last))
        middle = self.middle(stem)
        coarse = self.coarse(middle)
        anchors, mask = patch_anchors(points, valid, TOKEN_STRIDE)
        tokens = coarse.flatten(2).transpose(1, 2) + self.position(
            fourier_features(anchors, self.BANDS) * mask[..., None]
        )
        tokens = self.norm(self.layers(tokens)) if transform is None else transform(tokens)
        context = tokens.transpose(1, 2).reshape(coarse.shape)
        merged = self.lateral_middle(middle) + upsample(self.lateral_coarse(context))
        fine = self.refine(stem + upsample(merged))
        fine_anchors, fine_mask = patch_anchors(points, valid, FINE_STRIDE)

        def join(values: Tensor) -> Tensor:
            return values.unflatten(0, (batch, views)).flatten(1, 2)

        return SpatialTokens(
            join(tokens),
            join(mask),
            join(anchors),
            FineFeatures(join(fine.flatten(2).transpose(1, 2)), join(fine_mask), join(fine_anchors)),
        )


def upsample(features: Tensor) -> Tensor:
    """Double the resolution of (B, C, H, W) features."""
    return nn.functional.interpolate(features, scale_factor=2, mode="nearest")
