"""Transforms of a recording: chains, interpolation between samples, and no answer where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from vipa_policy import geometry
from vipa_policy.errors import DatasetError
from vipa_training.transforms import TransformTable, slerp

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def swing(seconds: float, phase: float) -> np.ndarray:
    position = 0.3 * np.array([np.sin(seconds + phase), np.cos(2 * seconds + phase), np.sin(3 * seconds)])
    rotation = Rotation.from_rotvec([0.5 * np.sin(seconds + phase), 0.3 * np.cos(seconds), 0.8 * np.sin(2 * seconds)])
    return geometry.transform(position, rotation.as_quat())


def add(table: TransformTable, parent: str, child: str, stamp: int, matrix: np.ndarray, static: bool = False) -> None:
    put = table.add_static if static else table.add
    put(parent, child, stamp, matrix[:3, 3].tolist(), geometry.quaternion_of(matrix).tolist())


def swinging_table(rate: int = 200, seconds: float = 2.0) -> TransformTable:
    """base -> link -> tip and world -> base -> ..., camera on a branch of its own; all but two edges swing."""
    table = TransformTable()
    add(table, "world", "base", START, swing(0.3, 0.1), static=True)
    add(table, "link2", "tip", START, swing(0.7, 0.5), static=True)
    for index in range(int(rate * seconds) + 1):
        stamp, now = START + index * (SECOND // rate), index / rate
        add(table, "base", "link1", stamp, swing(now, 0.0))
        add(table, "link1", "link2", stamp, swing(now, 1.0))
        add(table, "world", "camera", stamp, swing(0.2 * now, 2.0))
    return table


def test_chain_follows_analytic_motion() -> None:
    table = swinging_table()
    seconds = np.linspace(0.0, 2.0, 333)
    got, known = table.lookup("camera", "tip", START + np.rint(seconds * SECOND).astype(np.int64))
    assert known.all()
    for matrix, now in zip(got, seconds, strict=True):
        true = (
            geometry.inverse(swing(0.2 * now, 2.0))
            @ swing(0.3, 0.1)
            @ swing(now, 0.0)
            @ swing(now, 1.0)
            @ swing(0.7, 0.5)
        )
        # A chord of a swing at 200 Hz lies this far from the arc.
        np.testing.assert_allclose(matrix, true, atol=1e-4)


def test_samples_themselves_are_exact() -> None:
    got, known = swinging_table().lookup("base", "link1", [START + 5_000_000 * row for row in range(400)])
    assert known.all()
    np.testing.assert_allclose(got, np.stack([swing(row / 200, 0.0) for row in range(400)]), atol=1e-9)


def test_both_directions_are_inverse_and_itself_is_identity() -> None:
    table = swinging_table()
    there, _ = table.lookup("camera", "tip", [START + 777_777_777])
    back, _ = table.lookup("tip", "camera", [START + 777_777_777])
    np.testing.assert_allclose(there @ back, np.eye(4)[None], atol=1e-12)
    np.testing.assert_allclose(table.lookup("tip", "tip", [START])[0], np.eye(4)[None])


def test_nothing_is_extrapolated() -> None:
    table = swinging_table()
    _, known = table.lookup("camera", "tip", [START - 1, START, START + 2 * SECOND, START + 2 * SECOND + 1])
    assert known.tolist() == [False, True, True, False]
    _, known = table.lookup("world", "base", [START - SECOND, START + 9 * SECOND])
    assert known.all(), "static transforms hold always"


def test_a_static_transform_that_is_replaced_holds_from_its_arrival() -> None:
    table = TransformTable()
    add(table, "world", "camera", START, swing(0.0, 0.0), static=True)
    add(table, "world", "camera", START + SECOND, swing(1.0, 0.0), static=True)
    got, _ = table.lookup("world", "camera", [START - 5, START + SECOND - 1, START + SECOND])
    np.testing.assert_allclose(got, np.stack([swing(0.0, 0.0), swing(0.0, 0.0), swing(1.0, 0.0)]), atol=1e-9)


def test_repeated_and_unordered_samples_are_put_in_order() -> None:
    table = TransformTable()
    for row in (2, 0, 1, 1):
        add(table, "base", "tip", START + row * SECOND, geometry.transform([row, 0, 0], [0, 0, 0, 1]))
    got, known = table.lookup("base", "tip", [START + SECOND // 2, START + 3 * SECOND // 2])
    np.testing.assert_allclose(got[:, 0, 3], [0.5, 1.5])
    assert known.all()
    assert table.stamps("base", "tip").tolist() == [START, START + SECOND, START + 2 * SECOND]


def test_unknown_disconnected_and_circular_frames_are_refused() -> None:
    table = swinging_table(rate=5)
    with pytest.raises(DatasetError, match=r"between 'base' and 'elbow'.*knows \['base'"):
        table.lookup("base", "elbow", [START])
    add(table, "island", "palm", START, np.eye(4))
    with pytest.raises(DatasetError, match="no transform between"):
        table.lookup("palm", "base", [START])
    add(table, "palm", "island", START, np.eye(4))
    with pytest.raises(DatasetError, match="circle"):
        table.lookup("palm", "base", [START])


@settings(max_examples=100)
@given(
    st.tuples(*[st.floats(-3, 3)] * 3), st.tuples(*[st.floats(-3, 3)] * 3), st.floats(0, 1), st.sampled_from([1, -1])
)
def test_slerp_is_the_shorter_arc(
    first: tuple[float, ...], second: tuple[float, ...], fraction: float, sign: int
) -> None:
    ends = Rotation.from_rotvec([first, second])
    if (ends[0].inv() * ends[1]).magnitude() > np.pi - 1e-3:
        return  # opposite rotations have no shorter arc
    quaternions = ends.as_quat() * np.array([[1.0], [sign]])
    got = slerp(quaternions[:1], quaternions[1:], np.array([fraction]))
    true = Slerp([0.0, 1.0], ends)(fraction)
    assert (Rotation.from_quat(got[0]).inv() * true).magnitude() < 1e-7
