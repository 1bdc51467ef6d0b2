"""Homogeneous 4 x 4 matrices and vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def identity_matrix() -> Array:
    """Return the (4, 4) that moves nothing."""
    return np.identity(4)


def translation_matrix(direction: ArrayLike) -> Array:
    """Return the (4, 4) that moves by a vector (3,)."""
    matrix = np.identity(4)
    matrix[:3, 3] = np.asarray(direction, dtype=float)[:3]
    return matrix


def translation_from_matrix(matrix: ArrayLike) -> Array:
    """Return the vector (3,) by which a (4, 4) moves the origin."""
    return np.array(matrix, dtype=float)[:3, 3]


def rotation_matrix(angle: float, direction: ArrayLike, point: ArrayLike | None = None) -> Array:
    """Return the (4, 4) that turns by an angle in rad about an axis through a point (the origin)."""
    x, y, z = unit_vector(np.asarray(direction, dtype=float)[:3])
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix = np.identity(4)
    matrix[:3, :3] += math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross
    if point is not None:
        fixed = np.asarray(point, dtype=float)[:3]
        matrix[:3, 3] = fixed - matrix[:3, :3] @ fixed
    return matrix


def inverse_matrix(matrix: ArrayLike) -> Array:
    """Return the inverse of a square matrix."""
    return np.asarray(np.linalg.inv(np.asarray(matrix, dtype=float)))


def concatenate_matrices(*matrices: ArrayLike) -> Array:
    """Return the product of (4, 4) matrices, the last of which is applied first."""
    product = np.identity(4)
    for matrix in matrices:
        product = product @ np.asarray(matrix, dtype=float)
    return product


def is_same_transform(matrix0: ArrayLike, matrix1: ArrayLike) -> bool:
    """Tell whether two (4, 4) do the same, whatever their common scale."""
    first, second = np.asarray(matrix0, dtype=float), np.asarray(matrix1, dtype=float)
    return bool(np.allclose(first / first[3, 3], second / second[3, 3]))


def vector_norm(data: ArrayLike, axis: int | None = None) -> Any:
    """Return the length of a vector, or the lengths along an axis."""
    values = np.asarray(data, dtype=float)
    if values.ndim == 1:
        return math.sqrt(values @ values)
    return np.atleast_1d(np.sqrt(np.sum(values * values, axis=axis)))


def unit_vector(data: ArrayLike, axis: int | None = None) -> Array:
    """Return vectors divided by their length, along an axis or all together."""
    values = np.asarray(data, dtype=float)
    return values / np.sqrt(np.sum(values * values, axis=axis, keepdims=axis is not None))
