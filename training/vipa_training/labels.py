"""Labels of demonstrations: what the arm did after an image, as the chunk the policy should have predicted then.

The single place that says which moment a label's row describes. Guarded by tests/unit/test_labels.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.errors import DatasetError
from vipa_policy.geometry import Array
from vipa_training.transforms import interpolate_poses


def due_stamps(stamp_ns: int, contract: ActionContract) -> NDArray[np.int64]:
    """Return when the rows of a chunk are due, (horizon,) ns: row i at stamp + (i + 1) * control period."""
    steps = np.arange(1, contract.horizon + 1) * contract.control_period
    return stamp_ns + np.rint(steps * 1e9).astype(np.int64)


def chunk_from_trajectory(
    stamps_ns: ArrayLike,
    base_from_tip: Array,
    gripper: ArrayLike,
    stamp_ns: int,
    base_from_camera: Array,
    contract: ActionContract,
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return the chunk that an executed trajectory is, seen from an image taken at ``stamp_ns``.

    Args:
        stamps_ns: (n,) ns, rising.
        base_from_tip: (n, 4, 4) poses of the tip that was reached at those stamps, in a frame that stands still.
        gripper: (n,) m between the fingers, as commanded or else as measured.
        stamp_ns: of the image.
        base_from_camera: (4, 4) pose of the reference camera's optical frame at ``stamp_ns`` in the same frame; where
            the camera goes afterwards does not matter.
        contract: of absolute poses.

    Returns:
        camera_from_tip (horizon, 4, 4), gripper (horizon,) clipped to the contract's range, and valid (horizon,).
        Rows due after the trajectory's end hold its last pose, as a demonstration ends holding, and are not valid.

    Raises:
        DatasetError: no trajectory, stamps that do not rise, an image before its beginning, or a "delta" contract.
    """
    stamps, poses = np.asarray(stamps_ns, dtype=np.int64), np.asarray(base_from_tip, dtype=float)
    widths = np.asarray(gripper, dtype=float)
    if contract.mode != "absolute":
        raise DatasetError(f"expected a contract of absolute poses to label a demonstration, got {contract.mode!r}")
    if len(stamps) == 0 or poses.shape != (len(stamps), 4, 4) or widths.shape != (len(stamps),):
        raise DatasetError(
            f"expected n >= 1 stamps, poses (n, 4, 4) and gripper widths (n,), got {stamps.shape}, {poses.shape} and "
            f"{widths.shape}"
        )
    if np.any(np.diff(stamps) <= 0):
        raise DatasetError("expected stamps that rise in a trajectory; sort them and drop repeats")
    if stamp_ns < stamps[0]:
        raise DatasetError(
            f"expected an image within the trajectory, got one {(stamps[0] - stamp_ns) * 1e-9:.3f} s before it begins"
        )
    due = due_stamps(stamp_ns, contract)
    camera_from_base = geometry.inverse(base_from_camera)
    camera_from_tip = camera_from_base @ interpolate_poses(stamps, poses, due)
    # np.interp holds the ends, as interpolate_poses does; relative stamps keep its float64 exact to the ns.
    width = np.interp((due - stamps[0]).astype(float), (stamps - stamps[0]).astype(float), widths)
    return camera_from_tip, np.clip(width, contract.gripper_minimum, contract.gripper_maximum), due <= stamps[-1]
