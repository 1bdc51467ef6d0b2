"""Spatial encoders: where things are. One small interface, chosen by ``SpatialConfig.kind``.

The paper uses a frozen CUT3R (section 3.1). ``PointmapEncoder`` is this project's default: an RGB-D camera measures
the metric points that CUT3R has to guess, so they are encoded directly, from live intrinsics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.preparation import NetworkInput

TOKEN_STRIDE = 16
FINE_STRIDE = 4
CENTRE = (0.0, 0.0, 0.7)  # m in the optical frame: middle of what a table-top camera sees; keeps the input near zero
EXTENT = 0.3  # m, scale of the same


@dataclass(frozen=True)
class SpatialTokens:
    """Output of a spatial encoder, for B observations, views flattened into the token axis.

    Attributes:
        tokens: (B, N, width).
        mask: (B, N) bool, False where no depth was valid under the token.
        anchors: (B, N, 3) m, reference optical frame: a measured surface point of each token's patch.
        fine: (B, M, fine_width) features at stride 4, for pointing.
        fine_mask: (B, M) bool.
        fine_anchors: (B, M, 3) m.
    """

    tokens: Tensor
    mask: Tensor
    anchors: Tensor
    fine: Tensor
    fine_mask: Tensor
    fine_anchors: Tensor


class SpatialEncoder(nn.Module):
    """From RGB, metric points and validity to tokens that know where they are."""

    def forward(self, inputs: NetworkInput) -> SpatialTokens:
        """Encode all views of a batch."""
        raise NotImplementedError


def patch_anchors(points: Tensor, valid: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return for every patch the valid point nearest to the patch's middle.

    A measured point, not a mean: across an edge a mean lies on no surface.

    Args:
        points: (B, 3, S, S) m.
        valid: (B, 1, S, S) bool.
        stride: edge of a patch in pixels.

    Returns:
        (B, N, 3) anchors, 0 where nothing is valid, and (B, N) bool validity.
    """
    batch, _, size, _ = points.shape
    grid = size // stride
    blocks = points.reshape(batch, 3, grid, stride, grid, stride).permute(0, 2, 4, 3, 5, 1)
    blocks = blocks.reshape(batch, grid * grid, stride * stride, 3)
    known = valid.reshape(batch, grid, stride, grid, stride).permute(0, 1, 3, 2, 4)
    known = known.reshape(batch, grid * grid, stride * stride)
    offsets = torch.arange(stride, device=points.device) - (stride - 1) / 2
    distance = (offsets[:, None] ** 2 + offsets[None, :] ** 2).flatten()
    nearest = torch.where(known, distance, torch.inf).argmin(dim=-1)
    anchors = blocks.gather(2, nearest[..., None, None].expand(-1, -1, 1, 3)).squeeze(2)
    return anchors, known.any(dim=-1)


def fourier_features(points: Tensor, bands: int) -> Tensor:
    """Return (..., 6 * bands) sines and cosines of points (..., 3) in m, wavelengths from 2 m down by halves."""
    frequencies = torch.pi * 2.0 ** torch.arange(bands, device=points.device, dtype=points.dtype)
    angles = points[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3 x 3 convolution, group normalisation and GELU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.GroupNorm(8, outputs), nn.GELU())


class PointmapEncoder(SpatialEncoder):
    """Metric points from RGB-D and live intrinsics, through strided convolutions and a small transformer."""

    BANDS = 7

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__()
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
        batch, views = inputs.points.shape[:2]
        points, valid = inputs.points.flatten(0, 1), inputs.valid.flatten(0, 1)
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
        tokens = self.norm(self.layers(tokens))
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
            join(fine.flatten(2).transpose(1, 2)),
            join(fine_mask),
            join(fine_anchors),
        )


def upsample(features: Tensor) -> Tensor:
    """Double the resolution of (B, C, H, W) features."""
    return nn.functional.interpolate(features, scale_factor=2, mode="nearest")


ENCODERS: dict[str, Callable[[SpatialConfig], SpatialEncoder]] = {"pointmap": PointmapEncoder}


def make_spatial_encoder(config: SpatialConfig) -> SpatialEncoder:
    """Return the encoder that ``config.kind`` names; raises CheckpointError where there is none of that kind."""
    if config.kind not in ENCODERS:
        raise CheckpointError(f"expected a spatial encoder of a kind in {sorted(ENCODERS)}, got {config.kind!r}")
    return ENCODERS[config.kind](config)
