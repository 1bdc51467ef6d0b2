"""Guards the stand-in for tf_transformations against scipy's rotations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import tf_transformations as tft
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

CONVENTIONS = [
    kind + "".join(letters)
    for kind in "sr"
    for letters in itertools.product("xyz", repeat=3)
    if letters[0] != letters[1] != letters[2]
]

angles = st.floats(-math.pi, math.pi)
components = st.floats(-1.0, 1.0)
conventions = st.sampled_from(CONVENTIONS)


@st.composite
def rotations(draw: st.DrawFn) -> Rotation:
    return Rotation.from_rotvec(np.array([draw(angles) for _ in range(3)]))


@st.composite
def vectors(draw: st.DrawFn) -> np.ndarray:
    return np.array([draw(components) for _ in range(3)])


def reference(convention: str, turns: tuple[float, float, float]) -> Rotation:
    letters = convention[1:]  # scipy takes small letters for fixed axes, capitals for axes that turn along
    return Rotation.from_euler(letters if convention[0] == "s" else letters.upper(), turns)


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.allclose(first, second, atol=1e-9))


def test_there_are_24_conventions() -> None:
    assert len(CONVENTIONS) == 24


@given(st.tuples(angles, angles, angles), conventions)
def test_euler_to_quaternion_and_matrix(turns: tuple[float, float, float], convention: str) -> None:
    expected = reference(convention, turns)
    quaternion = np.array(tft.quaternion_from_euler(*turns, axes=convention))
    assert abs(quaternion @ expected.as_quat()) == pytest.approx(1.0, abs=1e-9)
    assert same(tft.euler_matrix(*turns, convention)[:3, :3], expected.as_matrix())


@given(rotations(), conventions)
def test_euler_of_a_rotation_gives_it_back(rotation: Rotation, convention: str) -> None:
    turns = tft.euler_from_quaternion(rotation.as_quat(), convention)
    # Near a pole the turns are known to the square root of the rounding only.
    assert np.allclose(reference(convention, turns).as_matrix(), rotation.as_matrix(), atol=1e-6)
    assert same(tft.euler_from_matrix(rotation.as_matrix(), convention), turns)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_euler_at_the_poles_gives_the_rotation_back(convention: str) -> None:
    pole = 0.0 if convention[1] == convention[3] else math.pi / 2.0
    matrix = tft.euler_matrix(0.3, pole, 0.4, convention)
    assert np.allclose(tft.euler_matrix(*tft.euler_from_matrix(matrix, convention), convention), matrix, atol=1e-7)


def test_encoded_axes_mean_what_their_names_mean() -> None:
    for encoded, name in (
        ((0, 0, 0, 0), "sxyz"),
        ((0, 0, 0, 1), "rzyx"),
        ((1, 1, 1, 0), "syxy"),
        ((2, 1, 0, 1), "rxyz"),
    ):
        assert same(tft.euler_matrix(1.0, 2.0, 3.0, encoded), tft.euler_matrix(1.0, 2.0, 3.0, name))


@pytest.mark.parametrize("axes", ["xyz", "sxxy", "qxyz", "sxyw"])
def test_unknown_axes_are_refused(axes: str) -> None:
    with pytest.raises(KeyError, match="expected axes such as 'sxyz'"):
        tft.quaternion_from_euler(1.0, 2.0, 3.0, axes)


@given(rotations(), rotations())
def test_quaternion_product_is_that_of_rotations(first: Rotation, second: Rotation) -> None:
    product = np.array(tft.quaternion_multiply(first.as_quat(), second.as_quat()))
    assert abs(product @ (first * second).as_quat()) == pytest.approx(1.0, abs=1e-9)
    assert same(tft.quaternion_multiply(first.as_quat(), tft.quaternion_inverse(first.as_quat())), [0, 0, 0, 1])
    assert same(tft.quaternion_conjugate(first.as_quat()), first.inv().as_quat())


@given(rotations(), st.floats(0.1, 10.0))
def test_quaternion_to_matrix_and_back(rotation: Rotation, length: float) -> None:
    matrix = tft.quaternion_matrix(length * rotation.as_quat())
    assert same(matrix[:3, :3], rotation.as_matrix())
    quaternion = np.array(tft.quaternion_from_matrix(matrix))
    assert quaternion[3] >= 0.0
    assert same(quaternion, rotation.as_quat(canonical=True)) or same(-quaternion, rotation.as_quat(canonical=True))


def test_a_mirror_is_no_rotation() -> None:
    with pytest.raises(ValueError, match="mirrors or flattens"):
        tft.quaternion_from_matrix(np.diag([1.0, 1.0, -1.0, 1.0]))


@given(rotations(), rotations(), st.floats(0.0, 1.0))
def test_slerp_turns_evenly(first: Rotation, second: Rotation, fraction: float) -> None:
    between = Rotation.from_quat(tft.quaternion_slerp(first.as_quat(), second.as_quat(), fraction))
    whole = (first.inv() * second).magnitude()
    assert (first.inv() * between).magnitude() == pytest.approx(fraction * whole, abs=1e-6)


@given(angles, vectors().filter(lambda v: np.linalg.norm(v) > 0.1), vectors(), vectors())
def test_rotation_about_an_axis_through_a_point(
    angle: float, axis: np.ndarray, point: np.ndarray, moved: np.ndarray
) -> None:
    rotation = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    matrix = tft.rotation_matrix(angle, axis, point)
    assert same((matrix @ [*moved, 1.0])[:3], rotation.apply(moved - point) + point)
    assert same(tft.quaternion_matrix(tft.quaternion_about_axis(angle, axis))[:3, :3], rotation.as_matrix())


@given(rotations(), vectors())
def test_matrices_concatenate_and_invert(rotation: Rotation, vector: np.ndarray) -> None:
    turn = tft.quaternion_matrix(rotation.as_quat())
    both = tft.concatenate_matrices(tft.translation_matrix(vector), turn)
    assert same(both[:3, :3], rotation.as_matrix())
    assert same(tft.translation_from_matrix(both), vector)
    assert tft.is_same_transform(tft.concatenate_matrices(both, tft.inverse_matrix(both)), tft.identity_matrix())
    assert tft.is_same_transform(both, 2.0 * both)
    assert not tft.is_same_transform(both, tft.concatenate_matrices(both, tft.translation_matrix([1.0, 0.0, 0.0])))


def test_random_rotations_are_rotations() -> None:
    matrix = tft.random_rotation_matrix()
    assert same(matrix @ matrix.T, np.identity(4))
    assert same(tft.random_quaternion([0.25, 0.0, 0.0]), [0.0, math.sqrt(0.75), 0.0, 0.5])


def test_lengths() -> None:
    assert tft.vector_norm([3.0, 4.0]) == 5.0
    assert same(tft.vector_norm([[3.0, 4.0], [6.0, 8.0]], axis=1), [5.0, 10.0])
    assert same(tft.unit_vector([[3.0, 4.0], [0.0, 2.0]], axis=1), [[0.6, 0.8], [0.0, 1.0]])
