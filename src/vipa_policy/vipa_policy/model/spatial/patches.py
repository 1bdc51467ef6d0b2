"""Patches of a point map: a measured anchor for each, and the features of a point."""

from __future__ import annotations

import torch
from torch import Tensor


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
