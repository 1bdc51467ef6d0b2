"""Rotations and rigid transforms in numpy: the single place for their conventions.

Quaternions are x, y, z, w. Transforms are 4 x 4 float64 matrices named ``target_from_source``: they take a point
expressed in ``source`` to ``target``. The 6-D rotation is the first two columns of the matrix, stacked
(Zhou et al. 2019, "On the Continuity of Rotation Representations in Neural Networks", section 3.2).
Guarded by tests/unit/test_geometry.py.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

Array: TypeAlias = NDArray[np.float64]

LINK_FROM_OPTICAL: Final[Array] = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""REP 103: a camera's link looks along x with z up, its optical frame along z with y down."""


def transform(position: ArrayLike, quaternion: ArrayLike) -> Array:
    """Return the 4 x 4 transform of a position (3,) in m and a quaternion (4,) x, y, z, w of any non-zero norm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat(np.asarray(quaternion, dtype=float)).as_matrix()
    matrix[:3, 3] = np.asarray(position, dtype=float)
    return matrix


def inverse(matrix: Array) -> Array:
    """Return the inverse of rigid transforms (..., 4, 4)."""
    result = np.zeros_like(matrix)
    rotation_transposed = np.swapaxes(matrix[..., :3, :3], -1, -2)
    result[..., :3, :3] = rotation_transposed
    result[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation_transposed, matrix[..., :3, 3])
    result[..., 3, 3] = 1.0
    return result


def position_of(matrix: Array) -> Array:
    """Return the positions (..., 3) of transforms (..., 4, 4)."""
    return matrix[..., :3, 3]


def quaternion_of(matrix: Array) -> Array:
    """Return unit quaternions (..., 4) x, y, z, w with w >= 0 of transforms (..., 4, 4)."""
    rotations = matrix[..., :3, :3]
    flat = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat(canonical=True)
    return np.asarray(flat.reshape(*rotations.shape[:-2], 4))


def apply(matrix: Array, points: ArrayLike) -> Array:
    """Return points (..., 3) moved by one transform (4, 4)."""
    return np.asarray(points, dtype=float) @ matrix[:3, :3].T + matrix[:3, 3]


def rotation_to_6d(rotation: Array) -> Array:
    """Return (..., 6): the first two columns of rotation matrices (..., 3, 3), stacked."""
    return np.concatenate([rotation[..., :, 0], rotation[..., :, 1]], axis=-1)


def rotation_from_6d(values: ArrayLike) -> Array:
    """Return rotation matrices (..., 3, 3) of 6-D rotations (..., 6) by Gram-Schmidt.

    Raises ValueError where the two columns are so short or so parallel that they fix no rotation.
    """
    array = np.asarray(values, dtype=float)
    first, second = array[..., :3], array[..., 3:]
    first_norm = np.linalg.norm(first, axis=-1, keepdims=True)
    x_axis = first / np.maximum(first_norm, 1e-12)
    second = second - np.sum(x_axis * second, axis=-1, keepdims=True) * x_axis
    second_norm = np.linalg.norm(second, axis=-1, keepdims=True)
    if np.any(first_norm < 1e-6) or np.any(second_norm < 1e-6):
        raise ValueError("expected two independent columns in a 6-D rotation; they are zero or parallel")
    y_axis = second / second_norm
    return np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], axis=-1)


def interpolate(start: Array, end: Array, fraction: float) -> Array:
    """Return the transform between two (4, 4): position by lerp, rotation by slerp, fraction in [0, 1]."""
    matrix = np.eye(4)
    matrix[:3, 3] = (1.0 - fraction) * start[:3, 3] + fraction * end[:3, 3]
    pair = Rotation.from_matrix(np.stack([start[:3, :3], end[:3, :3]]))
    matrix[:3, :3] = Slerp([0.0, 1.0], pair)(fraction).as_matrix()
    return matrix


def rotation_angle(first: Array, second: Array) -> float:
    """Return the angle in rad between the rotations of two transforms or matrices (>= 3 x 3)."""
    difference = first[:3, :3] - second[:3, :3]
    # The squares of what two rotations differ by sum to 8 sin^2 of half the angle; this is asked at every look.
    return 2.0 * math.asin(min(math.sqrt(float(np.vdot(difference, difference)) / 8.0), 1.0))


def is_rotation(matrix: Array, tolerance: float = 1e-3) -> bool:
    """Tell whether the upper 3 x 3 of a matrix is a proper rotation."""
    return bool(are_rotations(matrix[None], tolerance)[0])


def are_rotations(matrices: Array, tolerance: float = 1e-3) -> NDArray[np.bool_]:
    """Tell (n,) whether the upper 3 x 3 of each of n matrices is a proper rotation, its entries within a tolerance."""
    rotations = matrices[:, :3, :3]
    with np.errstate(invalid="ignore"):  # what is not finite is within no tolerance
        product = rotations @ rotations.swapaxes(1, 2)
        regular = np.abs(product - np.eye(3)).max(axis=(1, 2)) <= tolerance
        return np.asarray(regular & (np.linalg.det(rotations) > 0.0))


def rotation_from_vector(vector: ArrayLike) -> Array:
    """Return the (3, 3) rotation about a vector (3,) by its length in rad."""
    return np.asarray(Rotation.from_rotvec(np.asarray(vector, dtype=float)).as_matrix())
