"""Rotation vectors of single matrices, without the overhead of a general library: called thousands of times a second.

Guarded by tests/sim/test_robot.py.
"""

from __future__ import annotations

import math

import numpy as np

from vipa_policy.geometry import Array


def rotation_vector(rotation: Array) -> Array:
    """Return the rotation vector (3,) in rad of a rotation matrix (3, 3); of a half turn, one of its axes."""
    vector = np.array(
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]]
    )
    sine = 0.5 * math.sqrt(float(vector @ vector))
    cosine = 0.5 * (float(rotation[0, 0] + rotation[1, 1] + rotation[2, 2]) - 1.0)
    if sine > 1e-6:
        return vector * (math.atan2(sine, cosine) / (2.0 * sine))
    if cosine > 0.0:
        return 0.5 * vector
    # A half turn: its axis is lost in the differences above, but is a column of (R + 1) / 2.
    column = int(np.argmax(np.diag(rotation)))
    axis = 0.5 * (rotation[:, column] + np.eye(3)[:, column])
    return np.asarray(math.pi * axis / np.linalg.norm(axis))


def rotation_from_vector(vector: Array) -> Array:
    """Return the rotation matrix (3, 3) of a rotation vector (3,) in rad."""
    angle = math.sqrt(float(vector @ vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = (float(value) / angle for value in vector)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * (cross @ cross)
