"""From a camera view to the network's input: the single place for cropping, resizing and back-projection.

The live node, the converter and the generator all call ``prepare_view``; the training loop and ``predict`` both call
``network_input``. What is refused: vipa_policy.model.view_checks. Guarded by tests/unit/test_preparation.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vipa_policy.geometry import Array
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.view_checks import DEPTH_RANGE, check_depth, check_size, check_view
from vipa_policy.observation import CameraView

VERSION = 1  # raise it when the same view gives other numbers: caches of frozen encoders depend on it
MEAN = (0.485, 0.456, 0.406)  # of the InternVL vision tower (ImageNet)
STANDARD_DEVIATION = (0.229, 0.224, 0.225)
DEPTH_UNIT = 0.001  # m per step of the stored 16-bit depth, as the camera's own messages have it


@dataclass(frozen=True)
class PreparedView:
    """A view cut to the central square and resized, as datasets store it.

    Attributes:
        rgb: (size, size, 3) uint8.
        depth: (size, size) uint16, steps of DEPTH_UNIT, 0 where invalid; None where the camera measures none. Sampled,
            never averaged: an average across an edge is a point in the air.
        rays: (size, size, 2) float32, x / z and y / z of the very pixel each depth was sampled from; read-only.
        reference_from_camera: (4, 4).
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16] | None
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


@lru_cache(maxsize=16)
def sampled_indices(height: int, width: int, size: int) -> NDArray[np.intp]:
    """Return (size, size) places of the same pixels in the flattened source image; kept, so read-only."""
    columns, rows = sampled_pixels(height, width, size)
    indices = rows[:, None] * width + columns
    indices.setflags(write=False)
    return indices


def sampled_rays(intrinsics: Array, height: int, width: int, size: int) -> NDArray[np.float32]:
    """Return (size, size, 2) float32: x / z and y / z of the pixels that ``prepare_view`` samples; read-only.

    A camera's intrinsics hardly ever change, so the last few results are kept.
    """
    return _rays(np.ascontiguousarray(intrinsics, dtype=np.float64).tobytes(), height, width, size)


@lru_cache(maxsize=16)
def _rays(intrinsics: bytes, height: int, width: int, size: int) -> NDArray[np.float32]:
    columns, rows = sampled_pixels(height, width, size)
    inverse = np.linalg.inv(np.frombuffer(intrinsics).reshape(3, 3))
    rays = np.empty((size, size, 2), dtype=np.float32)
    # The matrix is triangular (view_checks.check_intrinsics), so y / z depends on the row alone.
    rays[..., 0] = columns * inverse[0, 0] + rows[:, None] * inverse[0, 1] + inverse[0, 2]
    rays[..., 1] = (rows * inverse[1, 1] + inverse[1, 2])[:, None]
    rays.setflags(write=False)
    return rays


def prepare_view(view: CameraView, size: int, needs_depth: bool = True) -> PreparedView:
    """Cut the central square and resize it; raises ObservationError where the view cannot be used.

    Args:
        view: as the camera delivered it, of any size of at least size / 2 pixels.
        size: edge in pixels of the result.
        needs_depth: whether a view without usable depth is refused; what the checkpoint's spatial encoder says.
    """
    check_view(view, needs_depth)
    height, width = view.rgb.shape[:2]
    check_size(view.name, width, height, size)
    left, top, side = square_crop(height, width)
    square = view.rgb[top : top + side, left : left + side]
    interpolation = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
    rgb = cv2.resize(square, (size, size), interpolation=interpolation)
    return PreparedView(
        rgb=np.asarray(rgb, dtype=np.uint8),
        depth=None if view.depth is None else prepare_depth(view.name, view.depth, size, needs_depth),
        rays=sampled_rays(view.intrinsics, height, width, size),
        reference_from_camera=view.reference_from_camera,
    )


def prepare_depth(name: str, depth: NDArray[np.float32], size: int, needed: bool = True) -> NDArray[np.uint16]:
    """Return (size, size) steps of DEPTH_UNIT, 0 where invalid; raises ObservationError where ``check_depth`` does."""
    sampled = depth.reshape(-1)[sampled_indices(*depth.shape, size)]
    with np.errstate(invalid="ignore"):
        valid = (sampled >= DEPTH_RANGE[0]) & (sampled <= DEPTH_RANGE[1])  # neither holds for NaN or infinity
    check_depth(name, sampled, valid, needed)
    return np.rint(np.where(valid, sampled, 0.0) / DEPTH_UNIT).astype(np.uint16)


def network_input(
    rgb: Tensor,
    depth: Tensor | None,
    rays: Tensor,
    reference_from_camera: Tensor,
    semantic_size: int,
    known_points: Tensor | None = None,
) -> NetworkInput:
    """Turn prepared views into the encoders' input.

    Args:
        rgb: (B, V, S, S, 3) uint8.
        depth: (B, V, S, S), steps of DEPTH_UNIT (any integer type); None where no camera measures it.
        rays: (B, V, S, S, 2) float32.
        reference_from_camera: (B, V, 4, 4) float32.
        semantic_size: edge of the semantic image; divides S.
        known_points: (B, K, 3) float32 m, as in ``NetworkInput``.
    """
    batch, views, size = rgb.shape[:3]
    mean = torch.tensor(MEAN, device=rgb.device).view(3, 1, 1)
    deviation = torch.tensor(STANDARD_DEVIATION, device=rgb.device).view(3, 1, 1)
    # Bytes are turned channel first, not floats: a quarter of the memory to move.
    planes = rgb.permute(0, 1, 4, 2, 3).contiguous()
    colours = planes.float().div_(255.0).sub_(mean).div_(deviation)
    pixels = torch.nn.functional.avg_pool2d(colours.flatten(0, 1), size // semantic_size)
    return NetworkInput(
        pixels.unflatten(0, (batch, views)),
        colours,
        rays,
        None if depth is None else depth.float() * DEPTH_UNIT,
        reference_from_camera,
        known_points,
    )


def stack(
    views: Sequence[PreparedView], semantic_size: int, device: torch.device, known_points: ArrayLike | None = None
) -> NetworkInput:
    """Return the network input of one observation (B = 1) from its prepared views.

    Args:
        views: in the contract's order.
        semantic_size: edge of the semantic image.
        device: where the tensors go.
        known_points: (K, 3) m in the reference camera's optical frame, such as the measured tip; None for none.
    """
    depth = None
    if any(view.depth is not None for view in views):
        # A camera that measures none beside one that does: nothing is valid there, which is what 0 says.
        none = np.zeros(views[0].rgb.shape[:2], dtype=np.uint16)
        depth = np.stack([none if view.depth is None else view.depth for view in views]).astype(np.int32)
    known = None if known_points is None else np.asarray(known_points, dtype=np.float32).reshape(-1, 3)
    moves = np.stack([view.reference_from_camera for view in views]).astype(np.float32)
    return network_input(
        upload(np.stack([view.rgb for view in views])[None], device),
        None if depth is None else upload(depth[None], device),
        upload(np.stack([view.rays for view in views])[None], device),
        upload(moves[None], device),
        semantic_size,
        None if known is None else upload(known[None], device),
    )


def upload(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array on a device; through pinned memory and without waiting where that is a CUDA device."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
