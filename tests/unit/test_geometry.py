import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy import geometry

angles = st.floats(-3.0, 3.0)
vectors = st.tuples(angles, angles, angles)
positions = st.tuples(*[st.floats(-2.0, 2.0)] * 3)
fractions = st.floats(0.0, 1.0)


def pose(position, vector):
    return geometry.transform(position, Rotation.from_rotvec(vector).as_quat())


@given(positions, vectors)
def test_inverse_undoes_a_transform(position, vector):
    matrix = pose(position, vector)
    assert np.allclose(geometry.inverse(matrix) @ matrix, np.eye(4), atol=1e-9)


@given(positions, vectors)
def test_quaternion_round_trip(position, vector):
    matrix = pose(position, vector)
    quaternion = geometry.quaternion_of(matrix)
    assert quaternion[3] >= 0.0
    assert np.allclose(geometry.transform(position, quaternion), matrix, atol=1e-9)


@given(vectors, st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.floats(-2.0, 2.0))
def test_6d_rotation_survives_scaling_and_shear(vector, first, second, shear):
    """Gram-Schmidt must bring back the rotation whatever a network does to lengths and to the angle between."""
    rotation = Rotation.from_rotvec(vector).as_matrix()
    values = geometry.rotation_to_6d(rotation)
    bent = np.concatenate([first * values[:3], second * values[3:] + shear * values[:3]])
    assert np.allclose(geometry.rotation_from_6d(bent), rotation, atol=1e-7)


def test_6d_rotation_refuses_parallel_columns():
    with pytest.raises(ValueError, match="independent columns"):
        geometry.rotation_from_6d([1.0, 0, 0, 2.0, 0, 0])


@given(positions, vectors, positions, vectors, fractions)
def test_interpolation_divides_way_and_angle(start_position, start_vector, end_position, end_vector, fraction):
    start, end = pose(start_position, start_vector), pose(end_position, end_vector)
    between = geometry.interpolate(start, end, fraction)
    expected = (1 - fraction) * np.array(start_position) + fraction * np.array(end_position)
    assert np.allclose(between[:3, 3], expected, atol=1e-9)
    assert geometry.is_rotation(between)
    whole = geometry.rotation_angle(start, end)
    if whole < 3.1:  # at half a turn the shorter way is not unique
        assert geometry.rotation_angle(start, between) == pytest.approx(fraction * whole, abs=1e-6)


def test_a_mirror_is_no_rotation():
    assert not geometry.is_rotation(np.diag([1.0, 1.0, -1.0, 1.0]))
    assert not geometry.is_rotation(np.full((4, 4), np.nan))
    assert not geometry.is_rotation(np.diag([1.0, np.inf, 1.0, 1.0]))
    several = np.stack([np.eye(4), np.diag([1.0, 1.0, -1.0, 1.0]), np.diag([1.0, 1.1, 1.0, 1.0]), np.eye(4)])
    assert geometry.are_rotations(several).tolist() == [True, False, False, True]
