"""From a camera view to the network's input: the single place for cropping, resizing and back-projection.

The live node, the converter and the generator all call ``prepare_view``; the training loop and ``predict`` both call
``network_input``. Guarded by tests/unit/test_preparation.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vipa_policy.errors import ObservationError
from vipa_policy.geometry import Array
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.observation import CameraView

MEAN = (0.485, 0.456, 0.406)  # of the InternVL vision tower (ImageNet)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)
DEPTH_RANGE = (0.1, 5.0)  # m; beyond it a table-top RGB-D camera reports noise
DEPTH_UNIT = 0.001  # m per step of the stored 16-bit depth, as the camera's own messages have it
MINIMUM_VALID = 0.02  # share of valid depth below which a view says nothing about where things are


@dataclass(frozen=True)
class PreparedView:
    """A view cut to the central square and resized, as datasets store it.

    Attributes:
        rgb: (size, size, 3) uint8.
        depth: (size, size) uint16, steps of DEPTH_UNIT, 0 where invalid. Sampled, never averaged: an average across
            an edge is a point in the air.
        rays: (size, size, 2) float32, x / z and y / z of the very pixel each depth was sampled from.
        reference_from_camera: (4, 4).
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    rays: NDArray[np.float32]
    reference_from_camera: Array


def square_crop(height: int, width: int) -> tuple[int, int, int]:
    """Return left, top and side in pixels of the central square."""
    side = min(height, width)
    return (width - side) // 2, (height - side) // 2, side


def sampled_pixels(height: int, width: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the columns and rows (size,) of the source image that the prepared depth is sampled from."""
    left, top, side = square_crop(height, width)
    offsets = np.clip(np.floor((np.arange(size) + 0.5) * side / size), 0, side - 1).astype(np.intp)
    return left + offsets, top + offsets


def sampled_rays(intrinsics: Array, height: int, width: int, size: int) -> NDArray[np.float32]:
    """Return (size, size, 2) float32: x / z and y / z of the pixels that ``prepare_view`` samples."""
    columns, rows = sampled_pixels(height, width, size)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    pixels = np.concatenate([grid, np.ones((len(grid), 1))], axis=1)
    rays = pixels @ np.linalg.inv(intrinsics).T
    return (rays[:, :2] / rays[:, 2:]).reshape(size, size, 2).astype(np.float32)


def check_view(view: CameraView) -> None:
    """Refuse a view no position can be trusted from; raises ObservationError naming the view."""
    height, width = view.rgb.shape[:2]
    if view.rgb.ndim != 3 or view.rgb.shape[2] != 3 or view.rgb.dtype != np.uint8:
        raise ObservationError(
            f"{view.name}: expected an RGB image (height, width, 3) of uint8, got {view.rgb.shape} of {view.rgb.dtype}"
        )
    if view.depth.shape != (height, width):
        raise ObservationError(
            f"{view.name}: expected depth of the image's size {(height, width)}, got {view.depth.shape}; "
            "switch the camera's depth alignment on (align_depth.enable)"
        )
    matrix = view.intrinsics
    if matrix.shape != (3, 3) or not np.all(np.isfinite(matrix)) or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ObservationError(
            f"{view.name}: expected a pinhole matrix with positive focal lengths, got {matrix.tolist()}; "
            "check the CameraInfo the camera publishes"
        )
    if not (0 <= matrix[0, 2] < width and 0 <= matrix[1, 2] < height):
        raise ObservationError(
            f"{view.name}: expected the principal point inside the {width}x{height} image, got "
            f"({matrix[0, 2]:.1f}, {matrix[1, 2]:.1f}); image and CameraInfo belong to different sizes"
        )


def check_depth(name: str, depth: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Refuse depth that is empty or in another unit; raises ObservationError naming the view."""
    if valid.mean() >= MINIMUM_VALID:
        return
    finite = depth[np.isfinite(depth) & (depth > 0)]
    if finite.size >= MINIMUM_VALID * depth.size and float(np.median(finite)) > 50.0:
        raise ObservationError(
            f"{name}: expected depth in metres, got a median of {float(np.median(finite)):.0f}; "
            "it looks like millimetres: divide by 1000"
        )
    raise ObservationError(
        f"{name}: expected depth of {DEPTH_RANGE[0]} to {DEPTH_RANGE[1]} m in at least {MINIMUM_VALID:.0%} of the "
        f"image, got it in {valid.mean():.1%}; check the depth stream and what stands before the camera"
    )


def prepare_view(view: CameraView, size: int) -> PreparedView:
    """Cut the central square and resize it; raises ObservationError where the view cannot be used.

    Args:
        view: as the camera delivered it, of any size of at least size / 2 pixels.
        size: edge in pixels of the result.
    """
    check_view(view)
    height, width = view.rgb.shape[:2]
    left, top, side = square_crop(height, width)
    if side < size // 2:
        raise ObservationError(
            f"{view.name}: expected an image of at least {size // 2} pixels in each direction, got {width}x{height}; "
            "raise the camera's resolution"
        )
    columns, rows = sampled_pixels(height, width, size)
    depth = view.depth[np.ix_(rows, columns)]
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(depth) & (depth >= DEPTH_RANGE[0]) & (depth <= DEPTH_RANGE[1])
    check_depth(view.name, depth, valid)
    steps = np.rint(np.where(valid, depth, 0.0) / DEPTH_UNIT).astype(np.uint16)
    square = view.rgb[top : top + side, left : left + side]
    interpolation = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    rgb = cv2.resize(square, (size, size), interpolation=interpolation)
    return PreparedView(
        rgb=np.asarray(rgb, dtype=np.uint8),
        depth=steps,
        rays=sampled_rays(view.intrinsics, height, width, size),
        reference_from_camera=view.reference_from_camera,
    )


def network_input(
    rgb: Tensor, depth: Tensor, rays: Tensor, reference_from_camera: Tensor, semantic_size: int
) -> NetworkInput:
    """Turn prepared views into the encoders' input.

    Args:
        rgb: (B, V, S, S, 3) uint8.
        depth: (B, V, S, S), steps of DEPTH_UNIT (any integer type).
        rays: (B, V, S, S, 2) float32.
        reference_from_camera: (B, V, 4, 4) float32.
        semantic_size: edge of the semantic image; divides S.
    """
    batch, views, size = rgb.shape[:3]
    mean = torch.tensor(MEAN, device=rgb.device).view(3, 1, 1)
    deviation = torch.tensor(STANDARD_DEVIATION, device=rgb.device).view(3, 1, 1)
    colours = (rgb.permute(0, 1, 4, 2, 3).float() / 255.0 - mean) / deviation
    pixels = torch.nn.functional.avg_pool2d(colours.flatten(0, 1), size // semantic_size)
    return NetworkInput(
        pixels.unflatten(0, (batch, views)), colours, rays, depth.float() * DEPTH_UNIT, reference_from_camera
    )


def stack(views: Sequence[PreparedView], semantic_size: int, device: torch.device) -> NetworkInput:
    """Return the network input of one observation (B = 1) from its prepared views."""
    return network_input(
        torch.from_numpy(np.stack([view.rgb for view in views]))[None].to(device),
        torch.from_numpy(np.stack([view.depth for view in views]).astype(np.int32))[None].to(device),
        torch.from_numpy(np.stack([view.rays for view in views]))[None].to(device),
        torch.from_numpy(np.stack([view.reference_from_camera for view in views]).astype(np.float32))[None].to(device),
        semantic_size,
    )
