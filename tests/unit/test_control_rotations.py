"""The small rotations and vectors of the hot path agree with scipy and numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.control import rotations, vectors

triples = st.tuples(*[st.floats(-3.0, 3.0)] * 3)
small = st.tuples(*[st.floats(-1e-4, 1e-4)] * 3)


def of(vector: vectors.Vector) -> Rotation:
    return Rotation.from_rotvec(vector)


@given(triples | small, triples | small, triples)
def test_products_vectors_and_matrices_agree_with_scipy(
    first: vectors.Vector, second: vectors.Vector, point: vectors.Vector
) -> None:
    a, b = rotations.from_vector(first), rotations.from_vector(second)
    product = rotations.multiply(a, b)
    expected = of(first) * of(second)
    assert np.allclose(rotations.to_matrix(product, point)[:3, :3], expected.as_matrix(), atol=1e-12)
    assert np.allclose(rotations.to_matrix(product, point)[:3, 3], point)
    again = rotations.from_matrix(expected.as_matrix())
    assert (Rotation.from_quat(again).inv() * expected).magnitude() < 1e-7
    assert np.allclose(rotations.rotate(a, point), of(first).apply(point), atol=1e-12)
    assert np.allclose(rotations.tool_axis(a), of(first).apply([0.0, 0.0, 1.0]), atol=1e-12)
    turn = rotations.between(a, b)
    assert vectors.norm(turn) <= np.pi + 1e-12
    assert (of(turn) * of(first) * of(second).inv()).magnitude() < 1e-7


@given(st.lists(triples | small, min_size=1, max_size=20))
def test_rows_of_rotations_agree_with_scipy(turns: list[vectors.Vector]) -> None:
    expected = Rotation.from_rotvec(np.array(turns))
    matrices = rotations.matrices_of(np.array(turns))
    assert np.allclose(matrices, expected.as_matrix(), atol=1e-12)
    found = rotations.vectors_of(expected.as_matrix())
    assert found.shape == (len(turns), 3)
    assert np.linalg.norm(found, axis=1).max() <= np.pi + 1e-9
    assert (Rotation.from_rotvec(found).inv() * expected).magnitude().max() < 1e-7


@given(st.lists(small, min_size=1, max_size=5))
def test_rows_of_small_turns_survive_the_way_there_and_back(turns: list[vectors.Vector]) -> None:
    found = rotations.vectors_of(rotations.matrices_of(np.array(turns)))
    assert np.allclose(found, turns, rtol=1e-9, atol=1e-16)


@given(small)
def test_small_turns_survive_the_way_there_and_back(turn: vectors.Vector) -> None:
    assert np.allclose(rotations.to_vector(rotations.from_vector(turn)), turn, rtol=1e-9, atol=1e-18)


@given(triples, triples)
def test_the_angular_velocity_of_a_rotation_vector_is_its_derivative(
    turn: vectors.Vector, change: vectors.Vector
) -> None:
    step = 1e-6
    later = of(np.add(turn, np.multiply(step, change)))
    numeric = (later * of(turn).inv()).as_rotvec() / step
    rate = rotations.rate_of(turn, change)
    assert np.allclose(rate, numeric, atol=1e-4)
    if vectors.norm(turn) < 5.0:
        assert np.allclose(rotations.change_of(turn, rate), change, atol=1e-8)


@given(triples, triples, st.integers(-2, 2))
def test_the_nearest_turn_is_the_same_rotation_and_nearer_than_a_lap(
    turn: vectors.Vector, previous: vectors.Vector, laps: int
) -> None:
    found = rotations.nearest_turn(turn, previous)
    assert (of(found) * of(turn).inv()).magnitude() < 1e-6
    if vectors.norm(turn) > 1e-3:
        other = np.array(turn) * (1.0 + 2.0 * np.pi * laps / vectors.norm(turn))
        assert np.linalg.norm(np.subtract(found, previous)) <= np.linalg.norm(other - previous) + 1e-9


@given(triples, triples, st.floats(-2.0, 2.0))
def test_vectors_agree_with_numpy(first: vectors.Vector, second: vectors.Vector, factor: float) -> None:
    assert np.allclose(vectors.plus(first, factor, second), np.add(first, np.multiply(factor, second)))
    assert np.allclose(vectors.cross(first, second), np.cross(first, second))
    assert np.isclose(vectors.dot(first, second), np.dot(first, second))
    assert np.isclose(vectors.norm(first), np.linalg.norm(first))
    assert vectors.norm(vectors.clamp_norm(first, 0.5)) <= 0.5 + 1e-12
    assert vectors.unit(vectors.ZERO) == vectors.ZERO
