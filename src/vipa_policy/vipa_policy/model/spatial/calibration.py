"""Scale of estimated depth: the single place where a depth without a unit becomes metres.

The median of measured over estimated depth (paper section 2, Hand3D-visual step 4: s = median(j_z / j~_z)), over the
pixels whose depth a camera measured and the pixels of points known otherwise, such as the measured tip. Guarded by
tests/unit/test_spatial_calibration.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vipa_policy.errors import ObservationError
from vipa_policy.model.inputs import NetworkInput

FEWEST_PIXELS = 16  # of measured depth in a view: fewer are as likely noise of the sensor as they are surface
NEAREST = 0.05  # m: a known point nearer to the camera than this is behind it or touches it


def depth_ratios(estimated: Tensor, inputs: NetworkInput) -> Tensor:
    """Return measured over estimated depth (B, V, S * S + K), NaN where either is not known.

    Args:
        estimated: (B, V, S, S), any unit, 0 where invalid.
        inputs: measured depth and known points, where there are any.
    """
    ratios = [estimated.new_full((*estimated.shape[:2], 1), torch.nan)]
    if inputs.depth is not None:
        both = (inputs.depth > 0) & (estimated > 0)
        enough = both.sum(dim=(2, 3), keepdim=True) >= FEWEST_PIXELS
        ratios.append(torch.where(both & enough, inputs.depth / estimated, torch.nan).flatten(2))
    if inputs.known_points is not None:
        ratios.append(point_ratios(estimated, inputs, inputs.known_points))
    return torch.cat(ratios, dim=-1)


def point_ratios(estimated: Tensor, inputs: NetworkInput, points: Tensor) -> Tensor:
    """Return depth of known points (B, K, 3) over the estimate at their pixels, (B, V, K), NaN out of view."""
    size = estimated.shape[-1]
    rotation, translation = inputs.reference_from_camera[..., :3, :3], inputs.reference_from_camera[..., :3, 3]
    in_camera = (points[:, None] - translation[:, :, None]) @ rotation  # rows: the inverse rotation from the right
    depth = in_camera[..., 2]
    ahead = depth > NEAREST
    wanted = in_camera[..., :2] / torch.where(ahead, depth, 1.0)[..., None]
    # Not through a matrix product: its rounding is as large as the distance between pixels.
    offsets = torch.cdist(wanted, inputs.rays.flatten(2, 3), compute_mode="donot_use_mm_for_euclid_dist")
    distance, pixel = offsets.min(dim=-1)
    pitch = (inputs.rays[:, :, 0, -1] - inputs.rays[:, :, 0, 0]).norm(dim=-1, keepdim=True) / (size - 1)
    there = estimated.flatten(2).gather(2, pixel)
    seen = ahead & (distance < pitch) & (there > 0)
    return torch.where(seen, depth / there, torch.nan)


def metric_scale(estimated: Tensor, inputs: NetworkInput, together: bool) -> Tensor:
    """Return the scale (B, V, 1, 1) that turns estimated depth into metres, NaN where nothing tells it.

    Args:
        estimated: (B, V, S, S), any unit, 0 where invalid.
        inputs: measured depth and known points.
        together: whether all views of an observation share one unit, and so one scale.
    """
    ratios = depth_ratios(estimated, inputs)
    if together:
        ratios = ratios.flatten(1)[:, None].expand(-1, estimated.shape[1], -1)
    return ratios.nanmedian(dim=-1).values[..., None, None]


def require_scale(scale: Tensor, inputs: NetworkInput, name: str) -> Tensor:
    """Return a scale that is known everywhere; raises ObservationError saying what is missing where it is not."""
    unknown = torch.nonzero(torch.isnan(scale.flatten(1)))
    if len(unknown) == 0:
        return scale
    index, view = unknown[0].tolist()
    pixels = 0 if inputs.depth is None else int((inputs.depth[index, view] > 0).sum())
    points = "no point that is known otherwise" if inputs.known_points is None else "no known point in the image"
    raise ObservationError(
        f"expected something of known depth in view {view} of observation {index} to give the estimate of {name} its "
        f"scale, got {pixels} pixels of measured depth (at least {FEWEST_PIXELS} count) and {points}; use an RGB-D "
        "camera, keep the tip in view, or take a metric model (depth_estimation_type 'metric')"
    )
