"""What the two encoders take, as tensors, and the one way from depth to points in the reference camera's frame.

Built by vipa_policy.model.preparation, for training and for prediction alike. Guarded by
tests/unit/test_preparation.py and tests/unit/test_spatial_geometry.py.
"""

from __future__ import annotations

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
    """

    pixels: Tensor
    colours: Tensor
    rays: Tensor
    depth: Tensor | None
    reference_from_camera: Tensor

    @property
    def batch(self) -> int:
        """Number of observations."""
        return self.pixels.shape[0]

    @property
    def views(self) -> int:
        """Number of views of each."""
        return self.pixels.shape[1]


def back_project(depth: Tensor, rays: Tensor, reference_from_camera: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (B, V, 3, S, S) in m in the reference camera's optical frame, and validity (B, V, 1, S, S) bool.

    Points are 0 where the depth is invalid. Arguments as in ``NetworkInput``.
    """
    batch, views, size = depth.shape[:3]
    valid = depth > 0
    in_camera = torch.cat([rays * depth[..., None], depth[..., None]], dim=-1).flatten(2, 3)
    rotation, translation = reference_from_camera[..., :3, :3], reference_from_camera[..., :3, 3]
    points = in_camera @ rotation.transpose(-1, -2) + translation[..., None, :]
    points = points.transpose(-1, -2).reshape(batch, views, 3, size, size) * valid[:, :, None]
    return points, valid[:, :, None]
