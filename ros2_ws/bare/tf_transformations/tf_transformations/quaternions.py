"""Quaternions x, y, z, w."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from tf_transformations.matrices import Array, unit_vector

_TINY = np.finfo(float).eps * 4.0

Quaternion = tuple[float, float, float, float]


def quaternion_multiply(quaternion1: ArrayLike, quaternion0: ArrayLike) -> Quaternion:
    """Return the product: the rotation ``quaternion0`` followed by ``quaternion1``."""
    x1, y1, z1, w1 = (float(value) for value in np.asarray(quaternion1))
    x0, y0, z0, w0 = (float(value) for value in np.asarray(quaternion0))
    return (
        w1 * x0 + x1 * w0 + y1 * z0 - z1 * y0,
        w1 * y0 - x1 * z0 + y1 * w0 + z1 * x0,
        w1 * z0 + x1 * y0 - y1 * x0 + z1 * w0,
        w1 * w0 - x1 * x0 - y1 * y0 - z1 * z0,
    )


def quaternion_conjugate(quaternion: ArrayLike) -> Array:
    """Return the quaternion (4,) with its axis reversed."""
    return np.asarray(quaternion, dtype=float) * [-1.0, -1.0, -1.0, 1.0]


def quaternion_inverse(quaternion: ArrayLike) -> Array:
    """Return the quaternion (4,) whose product with this one is 0, 0, 0, 1."""
    values = np.asarray(quaternion, dtype=float)
    return quaternion_conjugate(values) / (values @ values)


def quaternion_about_axis(angle: float, axis: ArrayLike) -> Quaternion:
    """Return the rotation by an angle in rad about an axis (3,) of any length."""
    x, y, z = (math.sin(0.5 * angle) * unit_vector(np.asarray(axis, dtype=float)[:3])).tolist()
    return x, y, z, math.cos(0.5 * angle)


def quaternion_matrix(quaternion: ArrayLike) -> Array:
    """Return the (4, 4) of a quaternion of any length; of one without length, the identity."""
    x, y, z, w = (float(value) for value in np.asarray(quaternion))
    squared = x * x + y * y + z * z + w * w
    matrix = np.identity(4)
    if squared < np.finfo(float).eps:
        return matrix
    s = 2.0 / squared
    matrix[:3, :3] = [
        [1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
        [s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)],
        [s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)],
    ]
    return matrix


def quaternion_from_matrix(matrix: ArrayLike) -> Quaternion:
    """Return the unit quaternion with w >= 0 of the rotation in a (4, 4) or (3, 3).

    Raises ValueError where the matrix mirrors or flattens and so holds no rotation.
    """
    values = np.asarray(matrix, dtype=float)[:3, :3]
    if not np.linalg.det(values) > _TINY:
        raise ValueError(f"expected a rotation in the upper 3 x 3, got {values.tolist()}: it mirrors or flattens space")
    # Gram-Schmidt frees the rotation of scale and shear.
    orthogonal, upper = np.linalg.qr(values)
    r = orthogonal * np.sign(np.diag(upper))
    # Four times the squares of the components: begin with the largest, so that no division is by a small number.
    trace = np.trace(r)
    squares = [1.0 + 2.0 * r[0, 0] - trace, 1.0 + 2.0 * r[1, 1] - trace, 1.0 + 2.0 * r[2, 2] - trace, 1.0 + trace]
    rows = [
        [squares[0], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
        [r[0, 1] + r[1, 0], squares[1], r[1, 2] + r[2, 1], r[0, 2] - r[2, 0]],
        [r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], squares[2], r[1, 0] - r[0, 1]],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], squares[3]],
    ]
    quaternion = unit_vector(rows[int(np.argmax(squares))])
    x, y, z, w = (quaternion if quaternion[3] >= 0.0 else -quaternion).tolist()
    return x, y, z, w


def quaternion_slerp(
    quat0: ArrayLike, quat1: ArrayLike, fraction: float, spin: int = 0, shortestpath: bool = True
) -> Array:
    """Return the rotation (4,) between two at a fraction in [0, 1], with ``spin`` additional half turns."""
    first, second = unit_vector(np.asarray(quat0)[:4]), unit_vector(np.asarray(quat1)[:4])
    if fraction == 0.0:
        return first
    if fraction == 1.0:
        return second
    cosine = float(first @ second)
    if abs(abs(cosine) - 1.0) < _TINY:
        return first
    if shortestpath and cosine < 0.0:
        cosine, second = -cosine, -second
    angle = math.acos(cosine) + spin * math.pi
    if abs(angle) < _TINY:
        return first
    weights = math.sin((1.0 - fraction) * angle) / math.sin(angle), math.sin(fraction * angle) / math.sin(angle)
    return weights[0] * first + weights[1] * second


def random_quaternion(rand: ArrayLike | None = None) -> Array:
    """Return a uniformly distributed rotation (4,), from three numbers in [0, 1) where they are given."""
    first, second, third = np.random.default_rng().random(3) if rand is None else np.asarray(rand, dtype=float)
    near, far = math.sqrt(1.0 - first), math.sqrt(first)
    one, two = 2.0 * math.pi * second, 2.0 * math.pi * third
    return np.array([near * math.sin(one), near * math.cos(one), far * math.sin(two), far * math.cos(two)])


def random_rotation_matrix(rand: ArrayLike | None = None) -> Array:
    """Return the (4, 4) of ``random_quaternion``."""
    return quaternion_matrix(random_quaternion(rand))
