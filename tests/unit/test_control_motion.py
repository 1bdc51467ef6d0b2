"""Limits hold for every input: finite differences of whatever the tracker streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.control import rotations as quaternions
from vipa_policy.control.braking import Brake, Comfort, brake_plan
from vipa_policy.control.limits import ACROSS, Bounds, Box, Limits
from vipa_policy.control.motion import LimitedMotion
from vipa_policy.control.timeline import Target
from vipa_policy.control.tracker import Tracker
from vipa_policy.control.vectors import Vector, clamp_norm, norm, plus, times, vector

BOUNDS = Bounds(velocity=0.25, acceleration=1.0, jerk=20.0)
# Third differences of positions near 1 m at 10 ms lose about 1e-10 to rounding: far below this, and this below a bound.
TOLERANCE = 1e-6

directions = st.tuples(*[st.floats(-1.0, 1.0)] * 3)


def norms(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)


@given(directions, directions, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from([0.002, 0.005, 0.01, 0.02]))
@settings(max_examples=100)
def test_brake_plan_ends_at_rest_within_the_bounds(
    way: Vector, push: Vector, speed: float, effort: float, period: float
) -> None:
    # A state that leaves room: the acceleration fits the share of the weaker direction, and what it still adds to the
    # velocity stays below the bound. States without room are what LimitedMotion verifies plans for.
    acceleration = times(BOUNDS.acceleration * ACROSS * effort, clamp_norm(push, 1.0))
    room = BOUNDS.velocity - norm(acceleration) ** 2 / (2.0 * ACROSS * BOUNDS.jerk) - norm(acceleration) * period
    velocity = times(max(room, 0.0) * speed, clamp_norm(way, 1.0))
    plan = brake_plan(velocity, acceleration, BOUNDS, period)
    steps = np.concatenate([[acceleration], plan, [np.zeros(3)]])
    velocities = velocity + np.cumsum(plan, axis=0) * period
    assert len(plan) * period <= min(0.5, BOUNDS.stopping_time + period)
    assert norms(steps).max() <= BOUNDS.acceleration + TOLERANCE
    assert norms(np.diff(steps, axis=0)).max() <= BOUNDS.jerk * period + TOLERANCE
    if len(plan):
        assert np.linalg.norm(velocities[-1]) < TOLERANCE
        assert norms(velocities).max() <= BOUNDS.velocity + TOLERANCE


@given(directions, directions, st.floats(0.0, 1.2), st.floats(0.0, 1.2), st.sampled_from([0.002, 0.01, 0.02]))
@settings(max_examples=150)
def test_what_a_brake_needs_at_most_is_never_less_than_its_plan_takes(
    way: Vector, push: Vector, speed: float, effort: float, period: float
) -> None:
    """Steps are accepted on these bounds alone; also for states that leave no room."""
    velocity = times(BOUNDS.velocity * speed, clamp_norm(way, 1.0))
    acceleration = times(BOUNDS.acceleration * effort, clamp_norm(push, 1.0))
    brake = Brake(velocity, acceleration, BOUNDS, period)
    plan = brake.plan()
    velocities = np.concatenate([[velocity], velocity + np.cumsum(plan, axis=0) * period])
    displacements = np.cumsum(velocities[1:], axis=0) * period
    steps = np.concatenate([[acceleration], plan])
    assert norms(velocities).max() <= brake.fastest + TOLERANCE
    assert norms(steps).max() <= brake.hardest + TOLERANCE
    assert norms(np.diff(np.concatenate([steps, [np.zeros(3)]]), axis=0)).max() <= BOUNDS.jerk * period * 1.0000001
    if len(plan):
        assert (np.abs(displacements).max(axis=0) <= np.array(brake.reach) + TOLERANCE).all()
        assert norms(np.diff(displacements, axis=0, prepend=np.zeros((1, 3)))).sum() <= brake.way + TOLERANCE


@given(directions, directions, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from([0.002, 0.01, 0.02]))
@settings(max_examples=300)
def test_comfort_never_promises_less_than_the_brake_needs(
    way: Vector, push: Vector, speed: float, effort: float, period: float
) -> None:
    velocity = times(BOUNDS.velocity * speed, clamp_norm(way, 1.0))
    acceleration = times(BOUNDS.acceleration * effort, clamp_norm(push, 1.0))
    promised = Comfort(BOUNDS, period).way(norm(velocity), norm(acceleration))
    brake = Brake(velocity, acceleration, BOUNDS, period)
    if promised is not None:
        assert brake.fastest <= BOUNDS.velocity + 1e-12
        assert brake.hardest <= BOUNDS.acceleration + 1e-12
        assert brake.way <= promised + 1e-12
        assert max(brake.reach) <= promised + 1e-12
    elif norm(acceleration) < 0.4 * BOUNDS.acceleration:
        assert norm(velocity) > 0.9 * BOUNDS.velocity  # it is no use if it never promises anything


def test_comfort_promises_nothing_where_an_acceleration_points_across() -> None:
    """Half the bound across the velocity is more than the share kept for it: both together would pass the bound."""
    assert Comfort(BOUNDS, 0.01).way(0.15, 0.5) is None
    assert Brake((0.15, 0.0, 0.0), (0.0, 0.5, 0.0), BOUNDS, 0.01).hardest > BOUNDS.acceleration


def test_brake_plan_is_about_as_short_as_can_be() -> None:
    plan = brake_plan((0.25, 0.0, 0.0), (0.0, 0.0, 0.0), BOUNDS, 0.01)
    # One axis alone with all of both bounds: v/a + a/j = 0.30 s; the shares cost a tenth.
    assert 0.30 <= len(plan) * 0.01 <= 0.34


STILL = (0.0, 0.0, 0.0)


def test_motion_reaches_its_top_speed_along_any_direction() -> None:
    for direction in ((1.0, 0.0, 0.0), vector(np.ones(3) / np.sqrt(3.0))):
        motion = LimitedMotion(BOUNDS, 0.01)
        position = STILL
        fastest = 0.0
        for _ in range(400):
            error = plus(times(0.5, direction), -1.0, position)
            position = plus(position, 1.0, motion.follow(error, STILL, STILL))
            fastest = max(fastest, norm(motion.velocity))
        assert fastest > 0.95 * BOUNDS.velocity
        assert norm(plus(position, -0.5, direction)) < 1e-4


def test_motion_tracks_a_steady_target_without_lag() -> None:
    motion = LimitedMotion(BOUNDS, 0.01)
    position, velocity = STILL, (0.1, -0.05, 0.0)
    for step in range(300):
        error = plus(times(step * 0.01, velocity), -1.0, position)
        position = plus(position, 1.0, motion.follow(error, velocity, STILL))
    assert norm(plus(times(3.0, velocity), -1.0, position)) < 1e-4


def test_motion_on_its_target_stays_on_it_exactly() -> None:
    """A target within the limits is not lagged behind, however it accelerates."""
    motion = LimitedMotion(BOUNDS, 0.01)
    path = [
        (0.05 * (1.0 - np.cos(1.2 * step * 0.01)), 0.02 * np.sin(1.0 * step * 0.01) ** 3, 0.0) for step in range(400)
    ]
    position = path[0]
    for step in range(1, 399):
        before, here, after = (np.array(path[step + k]) for k in (-1, 0, 1))
        velocity = (here - before) / 0.01 if step > 1 else np.zeros(3)
        push = ((after - here) / 0.01 - velocity) / 0.01
        error = vector(here - position)
        position = plus(position, 1.0, motion.follow(error, vector(velocity), vector(push)))
        assert step < 100 or norm(plus(vector(after), -1.0, position)) < 1e-6


def stream(tracker: Tracker, targets: list[Target], hold: int) -> tuple[np.ndarray, Rotation, int]:
    """Follow each target for a few steps, then brake; returns positions, rotations, steps until rest."""
    poses = [tracker.base_from_tip]
    for target in targets:
        for _ in range(hold):
            tracker.follow(target)
            poses.append(tracker.base_from_tip)
    steps = 0
    while not tracker.at_rest and steps < 1000:
        tracker.brake()
        poses.append(tracker.base_from_tip)
        steps += 1
    stacked = np.array(poses)
    return stacked[:, :3, 3], Rotation.from_matrix(stacked[:, :3, :3]), steps


def assert_within(limits: Limits, period: float, positions: np.ndarray, rotations: Rotation) -> None:
    still = np.zeros((2, 3))
    velocities = np.concatenate([still, np.diff(positions, axis=0) / period])
    turns = np.concatenate([still, (rotations[1:] * rotations[:-1].inv()).as_rotvec() / period])
    for values, bounds in ((velocities, Bounds.linear(limits)), (turns, Bounds.angular(limits))):
        accelerations = np.diff(values, axis=0) / period
        assert norms(values).max() <= bounds.velocity + TOLERANCE
        assert norms(accelerations).max() <= bounds.acceleration + TOLERANCE
        assert norms(np.diff(accelerations, axis=0) / period).max() <= bounds.jerk + TOLERANCE * 100


def target(position: Vector, turn: Vector, velocity: Vector = STILL, spin: Vector = STILL) -> Target:
    return Target(position, quaternions.from_vector(turn), velocity, velocity, spin, spin, gripper=0.04)


targets = st.builds(
    lambda place, velocity, turn, spin: target(
        plus((0.5, 0.0, 0.3), 2.0, place), times(np.pi, turn), velocity, times(5.0, spin)
    ),
    directions,
    directions,
    directions,
    directions,
)
starts = st.tuples(st.floats(0.1, 0.95), st.floats(-0.6, 0.6), st.floats(-0.05, 0.7))


@given(st.lists(targets, min_size=1, max_size=6), st.integers(1, 60), starts, st.sampled_from([0.005, 0.01, 0.02]))
@settings(max_examples=20, deadline=None)
def test_no_target_makes_the_tracker_pass_a_limit(
    wanted: list[Target], hold: int, start: tuple[float, float, float], period: float
) -> None:
    limits = Limits()
    pose = np.eye(4)
    pose[:3, 3] = start
    positions, rotations, steps = stream(Tracker(limits, period, pose), wanted, hold)
    assert_within(limits, period, positions, rotations)
    assert steps * period <= 0.6
    lower, upper = np.minimum(limits.lower, start), np.maximum(limits.upper, start)
    assert (positions >= lower - 1e-6).all()
    assert (positions <= upper + 1e-6).all()


@pytest.mark.parametrize(
    "loose",
    [
        {"linear_velocity": 1.0},
        {"linear_acceleration": 5.0},
        {"linear_jerk": 200.0},
        {"angular_velocity": 3.0},
        {"angular_acceleration": 20.0},
        {"angular_jerk": 500.0},
    ],
)
def test_the_check_itself_notices_a_missing_limit(loose: dict[str, float]) -> None:
    """A tracker whose bound is lifted fails the very check the property rests on."""
    limits = Limits(**loose, tilt=np.pi)
    pose = np.eye(4)
    pose[:3, 3] = (0.4, 0.0, 0.3)
    positions, rotations, _ = stream(Tracker(limits, 0.01, pose), [target((0.7, 0.3, 0.1), (0.0, 0.0, 2.0))], 100)
    with pytest.raises(AssertionError):
        assert_within(Limits(), 0.01, positions, rotations)


@pytest.mark.parametrize(
    "values",
    [
        {"linear_velocity": 0.0},
        {"linear_jerk": float("nan")},
        {"angular_velocity": -1.0},
        {"lower": (0.9, -0.4, 0.0)},
        {"upper": (float("inf"), 0.4, 0.6)},
        {"linear_step": 0.0},
        {"angular_step": float("nan")},
        {"tilt": 3.5},
        {"tilt_direction": (0.0, 0.0, 0.0)},
        {"table_height": float("nan")},
        {"table_height": 0.7},
        {"stay_out": (Box((0.3, 0.0, 0.0), (0.4, 0.1, 0.002)),)},
    ],
)
def test_limits_refuse_what_bounds_nothing(values: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Limits(**values)


@given(st.lists(targets, min_size=1, max_size=4), st.integers(5, 60))
@settings(max_examples=20)
def test_no_target_leads_the_tip_out_of_the_cone_nor_through_a_box(wanted: list[Target], hold: int) -> None:
    """Targets that nothing bent before: the tracker alone must keep the places."""
    limits = Limits(tilt=0.5, tilt_direction=(0.0, 0.1, 1.0), stay_out=(Box((0.55, -0.2, 0.1), (0.65, 0.2, 0.5)),))
    pose = np.eye(4)
    pose[:3, 3] = (0.4, 0.0, 0.3)
    positions, rotations, _ = stream(Tracker(limits, 0.01, pose), wanted, hold)
    assert_within(limits, 0.01, positions, rotations)
    axes = rotations.apply([0.0, 0.0, 1.0])
    tilts = np.arccos(
        np.clip(axes @ np.array(limits.tilt_direction) / np.linalg.norm(limits.tilt_direction), -1.0, 1.0)
    )
    assert tilts.max() <= 0.5 + 1e-6
    assert not ((positions > (0.55, -0.2, 0.1)) & (positions < (0.65, 0.2, 0.5))).all(axis=1).any()


@pytest.mark.parametrize("period", [0.005, 0.01])
def test_a_step_is_bounded_whatever_the_rate(period: float) -> None:
    limits = Limits(linear_step=0.0008, angular_step=0.003, tilt=np.pi)
    pose = np.eye(4)
    pose[:3, 3] = (0.4, 0.0, 0.3)
    positions, rotations, _ = stream(Tracker(limits, period, pose), [target((0.7, 0.3, 0.1), (0.0, 0.0, 2.0))], 150)
    steps = norms(np.diff(positions, axis=0))
    turns = (rotations[1:] * rotations[:-1].inv()).magnitude()
    assert 0.9 * 0.0008 < steps.max() <= 0.0008 + TOLERANCE * period
    assert 0.9 * 0.003 < turns.max() <= 0.003 + TOLERANCE * period
