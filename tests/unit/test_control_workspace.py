"""Where the tip may be: boxes, table, cone; inward only; braking before a wall; rows bent to what is allowed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.control import rotations
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.executor import Executor, Settings, State
from vipa_policy.control.limits import Box, Limits
from vipa_policy.control.workspace import TiltCone, Workspace

PERIOD = 1.0 / 15.0
TICK = 0.01
BLOCK = Box((0.45, -0.1, 0.0), (0.55, 0.1, 0.4))
LIMITS = Limits(stay_in=(Box((0.0, 0.3, 0.1), (0.5, 0.9, 0.5)),), stay_out=(BLOCK,), table_height=0.05)
points = st.tuples(st.floats(-0.2, 1.0), st.floats(-0.6, 1.0), st.floats(-0.1, 0.7))


def pose(place: tuple[float, float, float], turn: Rotation | None = None) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = ((turn or Rotation.identity()) * Rotation.from_euler("x", np.pi)).as_matrix()
    matrix[:3, 3] = place
    return matrix


def go(limits: Limits, start: np.ndarray, goal: np.ndarray, ticks: int = 300) -> np.ndarray:
    """Send an arm from a pose towards another for a while; returns the poses (n, 4, 4)."""
    executor = Executor(limits, Settings(period=TICK), start, 0.0)
    poses = [start]
    for tick in range(ticks):
        if tick % 7 == 0:
            chunk = BaseChunk(1 + tick, tick * TICK, PERIOD, np.tile(goal, (16, 1, 1)), np.full(16, 0.08))
            executor.accept_chunk(chunk, tick * TICK)
        executor.tick((tick + 1) * TICK)
        poses.append(executor.base_from_tip)
    assert executor.state is State.FOLLOWING
    return np.array(poses)


def allowed(place: np.ndarray, margin: float = 0.0) -> bool:
    """The stated workspace, written again, up to rounding."""
    inside = any(
        ((place >= np.array(box.lower) - 1e-8) & (place <= np.array(box.upper) + 1e-8)).all() for box in LIMITS.boxes
    )
    blocked = ((place > np.array(BLOCK.lower) - margin) & (place < np.array(BLOCK.upper) + margin)).all()
    return bool(inside and not blocked and place[2] >= LIMITS.table_height - 1e-8)


@given(points, points)
@settings(max_examples=200)
def test_a_box_of_places_that_is_held_holds_allowed_places_only(first: tuple, second: tuple) -> None:
    workspace = Workspace(LIMITS, TICK)
    lowest, highest = np.minimum(first, second), np.maximum(first, second)
    if workspace.holds_box(tuple(lowest), tuple(highest)):
        for share in np.random.default_rng(0).uniform(0.0, 1.0, (20, 3)):
            assert allowed(lowest + share * (highest - lowest))


@given(points)
@settings(max_examples=200)
def test_rows_are_bent_to_allowed_places_and_allowed_ones_stay(place: tuple) -> None:
    start = np.array([0.3, 0.0, 0.3])
    bent = Workspace(LIMITS, TICK).bend(np.array([place, place]), start)
    assert allowed(bent[0])
    assert np.array_equal(bent[0], bent[1])
    if allowed(np.array(place), margin=0.00126):
        assert bent[0] == pytest.approx(place, abs=2e-8)


@pytest.mark.parametrize(
    ("start", "goal", "end"),
    [
        ((0.4, 0.0, 0.3), (0.4, -0.8, 0.3), (0.4, -0.45, 0.3)),  # a wall
        ((0.3, -0.2, 0.3), (0.3, -0.2, -0.2), (0.3, -0.2, 0.05)),  # the table
        ((0.3, 0.2, 0.3), (0.1, 0.8, 0.3), (0.1, 0.8, 0.3)),  # through the overlap of two boxes
    ],
)
def test_it_stops_at_a_wall_and_goes_where_it_may(start: tuple, goal: tuple, end: tuple) -> None:
    poses = go(LIMITS, pose(start), pose(goal), 500)
    assert all(allowed(place) for place in poses[:, :3, 3])
    assert np.linalg.norm(poses[-1, :3, 3] - end) < 2e-3


def test_it_brakes_before_a_box_it_must_not_enter_and_does_not_pass_through() -> None:
    """Nothing leads around: the arm waits in front, however long the other side is asked for."""
    poses = go(LIMITS, pose((0.3, 0.0, 0.2)), pose((0.7, 0.0, 0.2)), 400)
    places = poses[:, :3, 3]
    assert all(allowed(place) for place in places)
    assert 0.40 < places[-1, 0] <= 0.45
    jerk = np.linalg.norm(np.diff(places, 3, axis=0), axis=1) / TICK**3
    assert jerk.max() <= 20.0 * (1.0 + 1e-6)


@given(points, points, st.floats(0.0, np.pi), st.floats(0.0, 2.0 * np.pi))
@settings(max_examples=10, deadline=None)
def test_a_start_outside_may_move_inward_and_never_further_out(
    start: tuple, goal: tuple, lean: float, about: float
) -> None:
    turn = Rotation.from_rotvec(lean * np.array([np.cos(about), np.sin(about), 0.0]))
    poses = go(LIMITS, pose(start, turn), pose(goal), 110)
    places = poses[:, :3, 3]
    walls = np.maximum(np.array([box.lower for box in LIMITS.boxes]) - places[:, None], 0.0) + np.maximum(
        places[:, None] - np.array([box.upper for box in LIMITS.boxes]), 0.0
    )
    depths = np.stack(
        [
            np.linalg.norm(walls, axis=2).min(axis=1),
            np.maximum(np.minimum(places - BLOCK.lower, np.array(BLOCK.upper) - places).min(axis=1), 0.0),
            np.maximum(LIMITS.table_height - places[:, 2], 0.0),
            np.maximum(np.arccos(np.clip(-poses[:, 2, 2], -1.0, 1.0)) - LIMITS.tilt, 0.0),
        ]
    )
    assert (np.diff(depths, axis=1) <= 1e-7).all()


def test_an_arm_below_the_table_comes_up() -> None:
    poses = go(LIMITS, pose((0.3, 0.0, -0.1)), pose((0.3, 0.0, 0.2)), 400)
    assert np.linalg.norm(poses[-1, :3, 3] - (0.3, 0.0, 0.2)) < 1e-3


def test_the_tip_leans_as_far_as_the_cone_and_no_further() -> None:
    limits = Limits(tilt=0.4)
    poses = go(limits, pose((0.4, 0.0, 0.3)), pose((0.4, 0.0, 0.3), Rotation.from_rotvec([1.0, 0.5, 0.0])), 400)
    tilts = np.arccos(np.clip(-poses[:, 2, 2], -1.0, 1.0))
    assert tilts.max() <= 0.4 + 1e-9
    assert tilts[-1] == pytest.approx(0.39, abs=1e-3)  # rows are bent a hundredth of a rad inside
    # Turning about the tool's own axis is free.
    poses = go(limits, pose((0.4, 0.0, 0.3)), pose((0.4, 0.0, 0.3), Rotation.from_rotvec([0.0, 0.0, 1.5])), 400)
    assert Rotation.from_matrix(poses[-1, :3, :3] @ poses[0, :3, :3].T).magnitude() == pytest.approx(1.5, abs=1e-3)


@given(st.integers(0, 10**6), st.floats(0.1, 3.1))
@settings(max_examples=50)
def test_rotations_are_bent_into_the_cone_the_shortest_way(seed: int, tilt: float) -> None:
    limits = Limits(tilt=tilt, tilt_direction=(0.3, -0.2, -0.9))
    cone = TiltCone(limits)
    given_ = Rotation.random(20, rng=np.random.default_rng(seed)).as_matrix()
    bent = cone.bend(given_)
    for before, after in zip(given_, bent, strict=True):
        start, end = (cone.tilt_of(rotations.from_matrix(matrix)) for matrix in (before, after))
        assert end <= tilt + 1e-9
        moved = Rotation.from_matrix(after @ before.T).magnitude()
        assert moved == pytest.approx(start - end, abs=1e-6)
        assert moved == 0.0 or end > tilt - 0.1
