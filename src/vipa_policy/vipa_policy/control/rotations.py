"""Unit quaternions x, y, z, w of four floats: the rotations of the hot path, conventions as in ``geometry``.

``scipy.spatial.transform.Rotation`` is used wherever rotations come in arrays and time is no matter; for a single one
its call costs some ten microseconds, these one, and for the rows of a chunk a hundred, ``vectors_of`` and
``matrices_of`` a fifth of that. Guarded by tests/unit/test_control_rotations.py, which compares them with scipy.
"""

from __future__ import annotations

import math

import numpy as np

from vipa_policy.control.vectors import Vector, cross, dot, norm, plus, times
from vipa_policy.geometry import Array

Quaternion = tuple[float, float, float, float]
"""Unit quaternion x, y, z, w; q and -q are the same rotation."""

# Below this angle (rad) the series of sine and cosine are exact to rounding.
SMALL = 1e-4
# Cosine of the angle up to which an axis is read from the skew part of a matrix: 120 degrees.
LEAST_COSINE = -0.5


def multiply(first: Quaternion, second: Quaternion) -> Quaternion:
    """Return first * second: the rotation that does ``second``, then ``first``."""
    ax, ay, az, aw = first
    bx, by, bz, bw = second
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def inverse(rotation: Quaternion) -> Quaternion:
    """Return the opposite rotation."""
    return -rotation[0], -rotation[1], -rotation[2], rotation[3]


def normalised(rotation: Quaternion) -> Quaternion:
    """Return a quaternion scaled to length 1; products of many drift off it by rounding."""
    x, y, z, w = rotation
    scale = 1.0 / math.sqrt(x * x + y * y + z * z + w * w)
    return x * scale, y * scale, z * scale, w * scale


def from_vector(turn: Vector) -> Quaternion:
    """Return the rotation about a vector (3,) by its length in rad."""
    angle = norm(turn)
    if angle < SMALL:
        scale = 0.5 - angle * angle / 48.0
        return turn[0] * scale, turn[1] * scale, turn[2] * scale, 1.0 - angle * angle / 8.0
    scale = math.sin(0.5 * angle) / angle
    return turn[0] * scale, turn[1] * scale, turn[2] * scale, math.cos(0.5 * angle)


def to_vector(rotation: Quaternion) -> Vector:
    """Return the rotation vector (3,) in rad, at most pi long."""
    x, y, z, w = rotation
    if w < 0.0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 / w if sine < SMALL * SMALL else 2.0 * math.atan2(sine, w) / sine
    return scale * x, scale * y, scale * z


def between(start: Quaternion, end: Quaternion) -> Vector:
    """Return the turn (3,) in rad, base frame, that takes ``start`` to ``end``."""
    return to_vector(multiply(end, inverse(start)))


def rotate(rotation: Quaternion, values: Vector) -> Vector:
    """Return a vector (3,) rotated."""
    axis = (rotation[0], rotation[1], rotation[2])
    once = cross(axis, values)
    return plus(plus(values, 2.0 * rotation[3], once), 2.0, cross(axis, once))


def tool_axis(rotation: Quaternion) -> Vector:
    """Return the rotated z axis."""
    x, y, z, w = rotation
    return 2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)


def from_matrix(matrix: Array) -> Quaternion:
    """Return the quaternion of a rotation matrix (3, 3), or of the upper left of a larger one.

    Shepperd's method: the component of greatest size is divided by, so none is lost to rounding.
    """
    (m00, m01, m02), (m10, m11, m12), (m20, m21, m22) = matrix[:3, :3].tolist()
    trace = m00 + m11 + m22
    if trace >= max(m00, m11, m22):
        found = (m21 - m12, m02 - m20, m10 - m01, 1.0 + trace)
    elif m00 >= max(m11, m22):
        found = (1.0 + m00 - m11 - m22, m01 + m10, m02 + m20, m21 - m12)
    elif m11 >= m22:
        found = (m01 + m10, 1.0 - m00 + m11 - m22, m12 + m21, m02 - m20)
    else:
        found = (m02 + m20, m12 + m21, 1.0 - m00 - m11 + m22, m10 - m01)
    return normalised(found)


def to_matrix(rotation: Quaternion, position: Vector) -> Array:
    """Return the transform (4, 4) of a rotation and a position."""
    x, y, z, w = rotation
    return np.array(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y), position[0]],
            [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x), position[1]],
            [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y), position[2]],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def vectors_of(matrices: Array) -> Array:
    """Return the rotation vectors (n, 3) in rad, each at most pi long, of rotation matrices (n, 3, 3)."""
    # sin(angle) times the axis is the part that changes sign with the direction of the turn.
    skewed = 0.5 * (matrices[:, (2, 0, 1), (1, 2, 0)] - matrices[:, (1, 2, 0), (2, 0, 1)])
    cosines = 0.5 * (np.einsum("nii->n", matrices) - 1.0)
    if cosines.min(initial=1.0) < LEAST_COSINE:
        # Near half a turn that part vanishes, and the axis with it.
        return np.array([to_vector(from_matrix(matrix)) for matrix in matrices])
    sines = np.sqrt(np.einsum("ni,ni->n", skewed, skewed))
    scales = np.where(sines < SMALL * SMALL, 1.0, np.arctan2(sines, cosines) / np.maximum(sines, SMALL * SMALL))
    return np.asarray(skewed * scales[:, None])


def matrices_of(vectors: Array) -> Array:
    """Return the rotation matrices (n, 3, 3) of rotation vectors (n, 3) in rad: Rodrigues' formula."""
    squares = np.einsum("ni,ni->n", vectors, vectors)
    angles = np.sqrt(squares)
    # sin(a) / a and (1 - cos(a)) / a^2 = sinc(a / 2)^2 / 2, neither of which minds an angle of zero.
    first = np.sinc(angles / np.pi)
    second = 0.5 * np.sinc(0.5 * angles / np.pi) ** 2
    outer = vectors[:, :, None] * vectors[:, None, :]
    matrices = second[:, None, None] * outer + (1.0 - second * squares)[:, None, None] * np.eye(3)
    turned = first[:, None] * vectors
    matrices[:, (2, 0, 1), (1, 2, 0)] += turned
    matrices[:, (1, 2, 0), (2, 0, 1)] -= turned
    return np.asarray(matrices)


def rate_of(turn: Vector, change: Vector) -> Vector:
    """Return the angular velocity (3,) of exp(turn) whose rotation vector changes by ``change`` (3,) a second.

    The left Jacobian of SO(3), e.g. Sola et al. 2018, "A micro Lie theory", equation 145.
    """
    angle = norm(turn)
    first = cross(turn, change)
    second = cross(turn, first)
    if angle < 1e-3:
        return plus(plus(change, 0.5, first), 1.0 / 6.0, second)
    square = angle * angle
    return plus(
        plus(change, (1.0 - math.cos(angle)) / square, first), (angle - math.sin(angle)) / (square * angle), second
    )


def change_of(turn: Vector, rate: Vector) -> Vector:
    """Return how fast the rotation vector ``turn`` (3,) of exp(turn) changes at an angular velocity (3,).

    The inverse of ``rate_of``, same source, equation 146; ``turn`` shorter than 2 pi.
    """
    angle = norm(turn)
    first = cross(turn, rate)
    second = cross(turn, first)
    if angle < 1e-3:
        return plus(plus(rate, -0.5, first), 1.0 / 12.0, second)
    half = 0.5 * angle
    factor = 1.0 / (angle * angle) - math.cos(half) / (2.0 * angle * math.sin(half))
    return plus(plus(rate, -0.5, first), factor, second)


def nearest_turn(turn: Vector, previous: Vector) -> Vector:
    """Return the rotation vector of the same rotation as ``turn`` that lies nearest to ``previous`` (3,).

    Rotation vectors wrap at pi; a path of rotations must not.
    """
    angle = norm(turn)
    if angle < 1e-9:
        along = norm(previous)
        laps = round(along / (2.0 * math.pi))
        return times(2.0 * math.pi * laps / along, previous) if laps else turn
    axis = times(1.0 / angle, turn)
    laps = round((dot(axis, previous) - angle) / (2.0 * math.pi))
    return times(angle + 2.0 * math.pi * laps, axis)
