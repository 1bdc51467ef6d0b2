"""A tilted plane with a box and a ball on it, seen by a pinhole camera anywhere: every depth is known exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vipa_policy.geometry import Array
from vipa_policy.model.preparation import square_crop
from vipa_policy.observation import CameraView

# All in the reference camera's optical frame, m.
PLANE_NORMAL, PLANE_OFFSET = np.array([0.15, -0.45, 1.0]), 0.80
BALL_CENTRE, BALL_RADIUS = np.array([-0.08, 0.02, 0.68]), 0.05
BOX_CENTRE, BOX_HALF = np.array([0.09, -0.03, 0.70]), np.array([0.05, 0.03, 0.04])
STEP = 0.001  # m: cameras deliver depth in whole millimetres


def cast(origin: Array, directions: Array) -> Array:
    """Return how many times each direction (N, 3) from an origin (3,) reaches to the first surface; inf for none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        plane = (PLANE_OFFSET - origin @ PLANE_NORMAL) / (directions @ PLANE_NORMAL)
        offset = origin - BALL_CENTRE
        square = np.sum(directions**2, axis=1)
        half = directions @ offset
        inside = half**2 - square * (offset @ offset - BALL_RADIUS**2)
        ball = np.where(inside >= 0, (-half - np.sqrt(np.maximum(inside, 0))) / square, np.inf)
        near, far = (
            np.sort([(BOX_CENTRE + side * BOX_HALF - origin) / directions for side in (-1, 1)], axis=0)[end]
            for end in (0, 1)
        )
    entry, leave = near.max(axis=1), far.min(axis=1)
    box = np.where((entry <= leave) & (entry > 0), entry, np.inf)
    return np.min([np.where(hit > 0, hit, np.inf) for hit in (plane, ball, box)], axis=0)


def pixel_directions(intrinsics: Array, columns: NDArray[np.intp], rows: NDArray[np.intp]) -> Array:
    """Return the directions (N, 3) of pixels in the camera's optical frame, z = 1."""
    x = (columns - intrinsics[0, 2] - intrinsics[0, 1] * (rows - intrinsics[1, 2]) / intrinsics[1, 1]) / intrinsics[
        0, 0
    ]
    y = (rows - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=1)


def render(
    name: str, width: int, height: int, intrinsics: Array, reference_from_camera: Array, seed: int = 0
) -> CameraView:
    """Return a view: exact depth rounded to whole millimetres as cameras do, colours that mean nothing.

    Outside the central square, where nobody looks, there is no depth: it saves half of the time.
    """
    left, top, side = square_crop(height, width)
    rows, columns = (part.reshape(-1) for part in np.mgrid[top : top + side, left : left + side])
    directions = pixel_directions(intrinsics, columns, rows) @ reference_from_camera[:3, :3].T
    exact = cast(reference_from_camera[:3, 3], directions)
    depth = np.zeros((height, width), dtype=np.float32)
    depth[rows, columns] = np.where(np.isfinite(exact), np.rint(exact / STEP) * STEP, 0.0)
    rgb = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return CameraView(name, rgb, depth, intrinsics, reference_from_camera)
