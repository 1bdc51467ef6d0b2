"""Rigid transforms as seven floats: translation x, y, z in m, unit quaternion x, y, z, w."""

from __future__ import annotations

from math import atan2, sin, sqrt
from typing import TypeAlias

Pose: TypeAlias = tuple[float, float, float, float, float, float, float]

IDENTITY: Pose = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
# Below this angle between two rotations the chord and the arc differ by less than a float64 can tell.
_CHORD_COSINE = 1.0 - 1e-10


def compose(outer: Pose, inner: Pose) -> Pose:
    """Return the transform that applies ``inner`` first and ``outer`` second."""
    ox, oy, oz, ax, ay, az, aw = outer
    ix, iy, iz, bx, by, bz, bw = inner
    # v + 2 w (q x v) + 2 q x (q x v), with c = 2 (q x v)
    cx = 2.0 * (ay * iz - az * iy)
    cy = 2.0 * (az * ix - ax * iz)
    cz = 2.0 * (ax * iy - ay * ix)
    return (
        ox + ix + aw * cx + ay * cz - az * cy,
        oy + iy + aw * cy + az * cx - ax * cz,
        oz + iz + aw * cz + ax * cy - ay * cx,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def invert(pose: Pose) -> Pose:
    """Return the inverse transform."""
    x, y, z, qx, qy, qz, qw = pose
    cx = 2.0 * (qz * y - qy * z)
    cy = 2.0 * (qx * z - qz * x)
    cz = 2.0 * (qy * x - qx * y)
    return (
        -(x + qw * cx + qz * cy - qy * cz),
        -(y + qw * cy + qx * cz - qz * cx),
        -(z + qw * cz + qy * cx - qx * cy),
        -qx,
        -qy,
        -qz,
        qw,
    )


def normalised(pose: Pose) -> Pose:
    """Return the transform with its quaternion at unit length, which rounding in a long chain may have left."""
    x, y, z, qx, qy, qz, qw = pose
    scale = 1.0 / sqrt(qx * qx + qy * qy + qz * qz + qw * qw)
    return (x, y, z, qx * scale, qy * scale, qz * scale, qw * scale)


def interpolate(start: Pose, end: Pose, fraction: float) -> Pose:
    """Return the transform between two: translation on the chord, rotation on the shorter arc, fraction in [0, 1]."""
    sx, sy, sz, ax, ay, az, aw = start
    ex, ey, ez, bx, by, bz, bw = end
    cosine = ax * bx + ay * by + az * bz + aw * bw
    sign = 1.0
    if cosine < 0.0:
        cosine, sign = -cosine, -1.0
    rest = 1.0 - fraction
    if cosine > _CHORD_COSINE:
        first, second = rest, sign * fraction
    else:
        sine = sqrt(max(1.0 - cosine * cosine, 0.0))
        angle = atan2(sine, cosine)
        first, second = sin(rest * angle) / sine, sign * sin(fraction * angle) / sine
    return (
        rest * sx + fraction * ex,
        rest * sy + fraction * ey,
        rest * sz + fraction * ez,
        first * ax + second * bx,
        first * ay + second * by,
        first * az + second * bz,
        first * aw + second * bw,
    )
