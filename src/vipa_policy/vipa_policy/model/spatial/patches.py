"""Patches of a point map: a measured anchor for each, and the features of a point.

Guarded by tests/unit/test_preparation.py and tests/unit/test_spatial_geometry.py.
"""

from __future__ import annotations

import torch
from torch import Tensor


def patch_anchors(points: Tensor, valid: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return for every patch the valid point nearest to the patch's middle.

    A measured point, not a mean: across an edge a mean lies on no surface. Of pixels equally near, the first counts.

    Args:
        points: (B, 3, S, S) m.
        valid: (B, 1, S, S) bool.
        stride: edge of a patch in pixels.

    Returns:
        (B, N, 3) anchors, 0 where nothing is valid, and (B, N) bool validity.
    """
    size = points.shape[-1]
    grid, area = size // stride, stride * stride
    offsets = torch.arange(stride, device=points.device) - (stride - 1) / 2
    # Distance and place of a pixel in one whole number, so that one pass over the image finds both. Twice the squared
    # distance is whole; with patches of up to 64 pixels all of it is exact in float32.
    distance = 2 * (offsets[:, None] ** 2 + offsets[None, :] ** 2)
    rank = distance * area + torch.arange(area, device=points.device).view(stride, stride)
    nearness = torch.where(valid, -rank.repeat(grid, grid), -torch.inf)
    nearest = torch.nn.functional.max_pool2d(nearness, stride).flatten(1)
    known = nearest > -torch.inf
    inside = torch.where(known, -nearest, 0.0).long() % area
    patch = torch.arange(grid * grid, device=points.device)
    row = patch // grid * stride + inside // stride
    column = patch % grid * stride + inside % stride
    index = row * size + column
    anchors = points.flatten(2).transpose(1, 2).gather(1, index[..., None].expand(-1, -1, 3))
    return anchors * known[..., None], known


def fourier_features(points: Tensor, bands: int) -> Tensor:
    """Return (..., 6 * bands) sines and cosines of points (..., 3) in m, wavelengths from 2 m down by halves."""
    frequencies = torch.pi * 2.0 ** torch.arange(bands, device=points.device, dtype=points.dtype)
    angles = points[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
