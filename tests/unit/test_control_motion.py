"""Limits hold for every input: finite differences of whatever the tracker streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.motion import ACROSS, LimitedMotion, brake_plan, clamp_norm, norm
from vipa_policy.control.timeline import Target
from vipa_policy.control.tracker import Tracker

BOUNDS = Bounds(velocity=0.25, acceleration=1.0, jerk=20.0)
# Third differences of positions near 1 m at 10 ms lose about 1e-10 to rounding: far below this, and this below a bound.
TOLERANCE = 1e-6

directions = st.tuples(*[st.floats(-1.0, 1.0)] * 3).map(np.array)


def norms(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=1)


@given(directions, directions, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from([0.002, 0.005, 0.01, 0.02]))
@settings(max_examples=200)
def test_brake_plan_ends_at_rest_within_the_bounds(
    way: np.ndarray, push: np.ndarray, speed: float, effort: float, period: float
) -> None:
    # A state that leaves room: the acceleration fits the share of the weaker direction, and what it still adds to the
    # velocity stays below the bound. States without room are what LimitedMotion verifies plans for.
    acceleration = clamp_norm(push, 1.0) * BOUNDS.acceleration * ACROSS * effort
    room = BOUNDS.velocity - norm(acceleration) ** 2 / (2.0 * ACROSS * BOUNDS.jerk) - norm(acceleration) * period
    velocity = clamp_norm(way, 1.0) * max(room, 0.0) * speed
    plan = brake_plan(velocity, acceleration, BOUNDS, period)
    steps = np.concatenate([[acceleration], plan, [np.zeros(3)]])
    velocities = velocity + np.cumsum(plan, axis=0) * period
    assert len(plan) * period <= 0.5
    assert norms(steps).max() <= BOUNDS.acceleration + TOLERANCE
    assert norms(np.diff(steps, axis=0)).max() <= BOUNDS.jerk * period + TOLERANCE
    if len(plan):
        assert norm(velocities[-1]) < TOLERANCE
        assert norms(velocities).max() <= BOUNDS.velocity + TOLERANCE


def test_brake_plan_is_about_as_short_as_can_be() -> None:
    plan = brake_plan(np.array([0.25, 0.0, 0.0]), np.zeros(3), BOUNDS, 0.01)
    # One axis alone with all of both bounds: v/a + a/j = 0.30 s; the shares cost a tenth.
    assert 0.30 <= len(plan) * 0.01 <= 0.34


def test_motion_reaches_its_top_speed_along_any_direction() -> None:
    for direction in (np.array([1.0, 0.0, 0.0]), np.ones(3) / np.sqrt(3.0)):
        motion = LimitedMotion(BOUNDS, 0.01)
        position = np.zeros(3)
        fastest = 0.0
        for _ in range(400):
            position = position + motion.follow(0.5 * direction - position, np.zeros(3))
            fastest = max(fastest, norm(motion.velocity))
        assert fastest > 0.95 * BOUNDS.velocity
        assert norm(position - 0.5 * direction) < 1e-4


def test_motion_tracks_a_steady_target_without_lag() -> None:
    motion = LimitedMotion(BOUNDS, 0.01)
    position, velocity = np.zeros(3), np.array([0.1, -0.05, 0.0])
    for step in range(300):
        target = velocity * (step + 1) * 0.01
        position = position + motion.follow(target - position, velocity)
    assert norm(target - position) < 1e-3


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


targets = st.builds(
    lambda position, velocity, turn, spin: Target(
        position=np.array([0.5, 0.0, 0.3]) + position * 2.0,
        velocity=velocity,
        rotation=Rotation.from_rotvec(turn * np.pi),
        angular_velocity=spin * 5.0,
        gripper=0.04,
    ),
    directions,
    directions,
    directions,
    directions,
)
starts = st.tuples(st.floats(0.1, 0.95), st.floats(-0.6, 0.6), st.floats(-0.05, 0.7))


@given(st.lists(targets, min_size=1, max_size=6), st.integers(1, 60), starts, st.sampled_from([0.005, 0.01, 0.02]))
@settings(max_examples=40)
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
    target = Target(
        np.array([0.7, 0.3, 0.1]), np.zeros(3), Rotation.from_rotvec([0.0, 0.0, 2.0]), np.zeros(3), gripper=0.04
    )
    pose = np.eye(4)
    pose[:3, 3] = (0.4, 0.0, 0.3)
    positions, rotations, _ = stream(Tracker(Limits(**loose), 0.01, pose), [target], 100)
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
    ],
)
def test_limits_refuse_what_bounds_nothing(values: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Limits(**values)
