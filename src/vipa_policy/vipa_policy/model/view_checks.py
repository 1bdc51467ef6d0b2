"""Whether a camera's view may be used at all: the single place for what is refused before any position is computed.

Every refusal is an ObservationError that names the view, what was expected, what came and what to do. Guarded by
tests/unit/test_preparation.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vipa_policy.errors import ObservationError
from vipa_policy.geometry import is_rotation
from vipa_policy.observation import CameraView

DEPTH_RANGE = (0.1, 5.0)  # m; beyond it a table-top RGB-D camera reports noise
MINIMUM_VALID = 0.02  # share of valid depth below which a view says nothing about where things are
# A median depth beyond 50 is no table-top scene in metres; beyond 200 it is not even one in centimetres.
LARGEST_METRES, LARGEST_CENTIMETRES = 50.0, 200.0


def check_views(expected: Sequence[str], views: Sequence[CameraView]) -> None:
    """Refuse another set or order of views than the checkpoint was trained with; raises ObservationError."""
    got = [view.name for view in views]
    if got == list(expected):
        return
    missing = sorted((Counter(expected) - Counter(got)).elements())
    extra = sorted((Counter(got) - Counter(expected)).elements())
    if missing or extra:
        advice = [f"add {', '.join(missing)}"] if missing else []
        advice += [f"leave out {', '.join(extra)}, or use a checkpoint trained with it"] if extra else []
    else:
        advice = ["put them in the contract's order"]
    raise ObservationError(f"expected the views {list(expected)} in this order, got {got}; {'; '.join(advice)}")


def check_view(view: CameraView, needs_depth: bool = True) -> None:
    """Refuse a view no position can be trusted from; raises ObservationError naming the view.

    Args:
        view: as the camera delivered it.
        needs_depth: whether the checkpoint's spatial encoder needs the camera to measure depth.
    """
    if not isinstance(view.rgb, np.ndarray) or view.rgb.ndim != 3 or view.rgb.shape[2] != 3:
        raise ObservationError(
            f"{view.name}: expected an RGB image (height, width, 3), got {getattr(view.rgb, 'shape', type(view.rgb))}; "
            "convert the image to rgb8"
        )
    if view.rgb.dtype != np.uint8:
        raise ObservationError(
            f"{view.name}: expected an RGB image of uint8 from 0 to 255, got {view.rgb.dtype}; convert it to rgb8"
        )
    height, width = view.rgb.shape[:2]
    check_depth_form(view, needs_depth)
    check_intrinsics(view.name, view.intrinsics, width, height)
    matrix = view.reference_from_camera
    if np.shape(matrix) != (4, 4) or not np.all(np.isfinite(matrix)) or not is_rotation(matrix):
        raise ObservationError(
            f"{view.name}: expected a rigid transform (4, 4) from the camera to the reference camera, got "
            f"{np.round(matrix, 3).tolist()}; check TF between the two cameras"
        )


def check_depth_form(view: CameraView, needs_depth: bool) -> None:
    """Refuse depth that is missing though it is needed, of another size, or of integers; raises ObservationError."""
    if view.depth is None:
        if needs_depth:
            raise ObservationError(
                f"{view.name}: expected metric depth with the image, got none; use an RGB-D camera, or a checkpoint "
                "whose spatial encoder estimates depth from colour (spatial.kind depth_anything or cut3r)"
            )
        return
    if view.depth.shape != view.rgb.shape[:2]:
        raise ObservationError(
            f"{view.name}: expected depth of the image's size {view.rgb.shape[:2]}, got {view.depth.shape}; "
            "switch the camera's depth alignment on (align_depth.enable)"
        )
    if not np.issubdtype(view.depth.dtype, np.floating):
        raise ObservationError(
            f"{view.name}: expected depth as float32 in metres, got {view.depth.dtype}, which cameras use for "
            "millimetres; multiply by 0.001"
        )


def check_intrinsics(name: str, matrix: NDArray[np.float64], width: int, height: int) -> None:
    """Refuse what is no pinhole matrix of an image of this size; raises ObservationError naming the view."""
    if np.shape(matrix) != (3, 3) or not np.all(np.isfinite(matrix)) or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ObservationError(
            f"{name}: expected a pinhole matrix (3, 3) with positive focal lengths, got {np.asarray(matrix).tolist()}; "
            "check the CameraInfo the camera publishes"
        )
    if matrix[1, 0] != 0 or not np.array_equal(matrix[2], (0, 0, 1)):
        raise ObservationError(
            f"{name}: expected a pinhole matrix [[fx, s, cx], [0, fy, cy], [0, 0, 1]], got {matrix.tolist()}, which is "
            "singular or none; check K of the CameraInfo the camera publishes"
        )
    if not (0 <= matrix[0, 2] < width and 0 <= matrix[1, 2] < height):
        raise ObservationError(
            f"{name}: expected the principal point inside the {width}x{height} image, got "
            f"({matrix[0, 2]:.1f}, {matrix[1, 2]:.1f}); image and CameraInfo belong to different sizes"
        )


def check_size(name: str, width: int, height: int, size: int) -> None:
    """Refuse an image that would have to be enlarged more than twice; raises ObservationError naming the view."""
    if min(width, height) < size // 2:
        raise ObservationError(
            f"{name}: expected an image of at least {size // 2} pixels in each direction, got {width}x{height}; "
            "raise the camera's resolution"
        )


def check_depth(name: str, depth: NDArray[np.floating], valid: NDArray[np.bool_], needed: bool = True) -> None:
    """Refuse depth in another unit, and where it is needed depth that is empty; raises ObservationError.

    Args:
        name: of the view.
        depth: as it came, or the part of it that is looked at.
        valid: of the same shape, finite and within DEPTH_RANGE.
        needed: whether the spatial encoder needs the camera to measure depth.
    """
    share = np.count_nonzero(valid) / valid.size
    if share >= MINIMUM_VALID:
        return
    finite = depth[np.isfinite(depth) & (depth > 0)]
    median = float(np.median(finite)) if finite.size >= MINIMUM_VALID * depth.size else 0.0
    if median > LARGEST_METRES:
        unit, factor = ("millimetres", 1000) if median > LARGEST_CENTIMETRES else ("centimetres", 100)
        raise ObservationError(
            f"{name}: expected depth in metres, got a median of {median:.0f}; it looks like {unit}: divide by {factor}"
        )
    if needed:
        raise ObservationError(
            f"{name}: expected depth of {DEPTH_RANGE[0]} to {DEPTH_RANGE[1]} m in at least {MINIMUM_VALID:.0%} of the "
            f"image, got it in {share:.1%}; check the depth stream and what stands before the camera"
        )
