"""What the two encoders take, as tensors, and the one way from depth to points in the reference camera's frame.

Built by vipa_policy.model.preparation, for training and for prediction alike. Guarded by
tests/unit/test_preparation.py and tests/unit/test_spatial_geometry.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NetworkInput:
    """A batch of B observations with V views each.

    Attributes:
        pixels: (B, V, 3, s, s) float32, normalised, s the semantic image size.
        colours: (B, V, 3, S, S) float32, normalised, S the spatial image size.
        rays: (B, V, S, S, 2) float32, x / z and y / z of each depth sample in its camera's optical frame.
        depth: (B, V, S, S) float32, m along the optical axis, 0 where invalid; None where the cameras measure none.
        reference_from_camera: (B, V, 4, 4) float32, from each camera's optical frame to the reference camera's.
        known_points: (B, K, 3) float32, m in the reference camera's optical frame: places known by other means than
            the cameras, such as the measured tip; what a depth without a unit is calibrated against. None for none.
        frozen: what ``SpatialEncoder.frozen_features`` would compute, read from a cache instead; None without one.
    """

    pixels: Tensor
    colours: Tensor
    rays: Tensor
    depth: Tensor | None
    reference_from_camera: Tensor
    known_points: Tensor | None = None
    frozen: Mapping[str, Tensor] | None = None

    @property
    def batch(self) -> int:
        """Number of observations."""
        return self.pixels.shape[0]

    @property
    def views(self) -> int:
        """Number of views of each."""
        return self.pixels.shape[1]


def exact(device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which positions are computed: fp32 whatever the network runs in.

    bf16 has steps of 4 mm at one metre, and autocast would take it for every matrix product.
    """
    return torch.autocast(device.type, enabled=False)


def back_project(depth: Tensor, rays: Tensor, reference_from_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (B, V, 3, S, S) in m in the reference camera's optical frame, and validity (B, V, 1, S, S) bool.

    Points are 0 where the depth is invalid. Arguments as in ``NetworkInput``.
    """
    batch, views, size = depth.shape[:3]
    valid = (depth > 0)[:, :, None]
    in_camera = torch.stack([rays[..., 0] * depth, rays[..., 1] * depth, depth], dim=2).flatten(3).flatten(0, 1)
    moves = reference_from_camera.to(depth.dtype).flatten(0, 1)
    with exact(depth.device):
        points = torch.baddbmm(moves[:, :3, 3:], moves[:, :3, :3], in_camera)
    return points.view(batch, views, 3, size, size) * valid, valid
