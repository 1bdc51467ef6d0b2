"""Joint setpoints: limits of the finite differences whatever is asked for, the path kept where they allow it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy import geometry
from vipa_policy.control.joint_stream import JointSetpoint, JointStream, JointStreamSettings, SentJoints
from vipa_policy.control.kinematics import Kinematics
from vipa_policy.geometry import Array
from vipa_sim.description import robot_description
from vipa_sim.model import HOME

ARM = Kinematics(robot_description(), "fr3_link0", "fr3_hand_tcp")
START = np.array(HOME)
SETTINGS = JointStreamSettings()
PERIOD = 0.01
ROUNDING = 1e-9
numbers = st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7).map(np.array)


def moved(pose: Array, twist: Array) -> Array:
    result = pose.copy()
    result[:3, 3] += twist[:3]
    result[:3, :3] = geometry.rotation_from_vector(twist[3:]) @ pose[:3, :3]
    return result


def assert_limits_kept(setpoints: list[JointSetpoint]) -> None:
    """By the differences of the stream itself."""
    stamps = np.array([setpoint.stamp for setpoint in setpoints])
    joints = np.array([setpoint.joints for setpoint in setpoints])
    assert np.all(joints >= ARM.lower + 0.02 - ROUNDING)
    assert np.all(joints <= ARM.upper - 0.02 + ROUNDING)
    elapsed = np.diff(stamps)[:, None]
    velocities = np.diff(joints, axis=0) / elapsed
    assert np.all(np.abs(velocities) <= 0.9 * ARM.velocity + ROUNDING)
    for place, velocity in zip(joints[1:], velocities, strict=True):
        slowest, fastest = ARM.velocity_bounds(place)
        assert np.all((velocity >= slowest - 1e-6) & (velocity <= fastest + 1e-6)), (place, velocity)
    changes = np.diff(np.vstack([np.zeros(7), velocities]), axis=0)
    assert np.all(np.abs(changes) <= SETTINGS.acceleration * elapsed + 1e-6)


def test_a_path_within_limits_is_followed_exactly() -> None:
    origin = ARM.forward(START)
    stream = JointStream(ARM, SETTINGS, START, 0.0)
    setpoints = [stream.last]
    for tick in range(1, 201):
        phase = 1.0 - math.cos(math.pi * tick * PERIOD)
        pose = moved(origin, 0.5 * phase * np.array([0.10, -0.12, -0.08, 0.2, 0.1, 0.3]))
        setpoints.append(stream.advance(pose, tick * PERIOD))
        assert not stream.problem
        assert math.dist(ARM.forward(setpoints[-1].joints)[:3, 3], pose[:3, 3]) < 1e-4
    assert_limits_kept(setpoints)


@given(
    st.lists(st.tuples(numbers, st.integers(5, 30)), min_size=3, max_size=5), st.lists(st.integers(1, 4), min_size=9)
)
@settings(max_examples=8, deadline=None)
def test_limits_hold_whatever_is_asked_for(targets: list[tuple[Array, int]], pauses: list[int]) -> None:
    """Jumps to poses anywhere, in and out of reach, held for a while; setpoints at uneven intervals."""
    stream = JointStream(ARM, SETTINGS, START, 0.0)
    setpoints, now = [stream.last], 0.0
    middle, half = 0.5 * (ARM.lower + ARM.upper), 0.5 * (ARM.upper - ARM.lower)
    for target, ticks in targets:
        pose = ARM.forward(middle + 1.1 * half * target)
        for tick in range(ticks):
            now += PERIOD * pauses[tick % len(pauses)]
            setpoints.append(stream.advance(pose, now))
    assert_limits_kept(setpoints)


@pytest.mark.parametrize("joint", range(7))
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_driven_against_a_stop_a_joint_brakes_before_it(joint: int, side: float) -> None:
    """The pose is that of the joint turned ever further; the stop is met with a speed that was braked for."""
    stop = ARM.upper[joint] if side > 0.0 else ARM.lower[joint]
    joints = START.copy()
    joints[joint] = stop - 0.6 * side
    stream = JointStream(ARM, SETTINGS, joints, 0.0)
    setpoints, problems = [stream.last], []
    for tick in range(1, 121):
        goal = joints.copy()
        goal[joint] += side * 1.2 * min(tick * PERIOD, 1.0)
        setpoints.append(stream.advance(ARM.forward(goal), tick * PERIOD))
        problems.append(stream.problem)
    assert_limits_kept(setpoints)
    assert np.ptp([setpoint.joints[joint] for setpoint in setpoints]) > 0.1


def test_what_cannot_be_followed_is_told_and_forgotten_when_caught_up() -> None:
    origin = ARM.forward(START)
    stream = JointStream(ARM, SETTINGS, START, 0.0)
    jump = moved(origin, np.array([0.0, 0.15, 0.0, 0.0, 0.0, 0.0]))
    stream.advance(jump, PERIOD)
    assert "behind its plan" in stream.problem
    assert "velocity or acceleration" in stream.problem
    for tick in range(2, 200):
        stream.advance(jump, tick * PERIOD)
    assert not stream.problem
    assert stream.last.position_error < 1e-4
    assert stream.at_rest


def test_out_of_reach_it_says_so_until_it_stands() -> None:
    stream = JointStream(ARM, SETTINGS, START, 0.0)
    away = moved(ARM.forward(START), np.array([0.8, 0.0, 0.0, 0.0, 0.0, 0.0]))
    problems = []
    for tick in range(1, 300):
        stream.advance(away, tick * PERIOD)
        problems.append(stream.problem)
    assert problems[50]
    assert stream.last.position_error > 0.1
    assert problems[-1] == ""
    # Back the way it came, nothing is said while the lag shrinks; further out, it is.
    for tick in range(40):
        nearer = moved(away, np.array([-0.0005 * tick, 0.0, 0.0, 0.0, 0.0, 0.0]))
        stream.advance(nearer, (300 + tick) * PERIOD)
        assert not stream.problem
    further = moved(away, np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0]))
    stream.advance(further, 3.5)
    assert stream.problem


def test_the_posture_returns_with_the_motion_and_rests_with_it() -> None:
    """A circle driven many times does not creep along the freedom of the elbow, and at rest nothing moves."""
    origin = ARM.forward(START)
    stream = JointStream(ARM, SETTINGS, START, 0.0)
    now, ends = 0.0, []
    for _ in range(3):
        for tick in range(1, 201):
            now += PERIOD
            angle = 2.0 * math.pi * tick / 200
            twist = np.array([0.06 * math.sin(angle), 0.06 * (1.0 - math.cos(angle)), 0.0, 0.0, 0.0, 0.0])
            stream.advance(moved(origin, twist), now)
        ends.append(stream.last.joints)
    assert np.abs(ends[-1] - ends[-2]).max() < 0.02
    for _ in range(100):
        now += PERIOD
        stream.advance(origin, now)
    rest = stream.last.joints
    for _ in range(50):
        now += PERIOD
        stream.advance(origin, now)
    assert np.abs(stream.last.joints - rest).max() < 1e-6
    assert stream.at_rest


def test_a_start_beyond_the_limits_is_refused_in_words() -> None:
    joints = START.copy()
    joints[3] = ARM.upper[3] - 0.01
    with pytest.raises(ValueError, match="fr3_joint4 is at"):
        JointStream(ARM, SETTINGS, joints, 0.0)


def test_repeated_stamps_change_nothing() -> None:
    stream = JointStream(ARM, SETTINGS, START, 1.0)
    first = stream.advance(ARM.forward(START), 1.01)
    assert stream.advance(moved(ARM.forward(START), np.full(6, 0.1)), 1.01) is first
    assert stream.advance(moved(ARM.forward(START), np.full(6, 0.1)), 0.5) is first


@pytest.mark.parametrize(
    "values",
    [{"acceleration": 0.0}, {"velocity_share": 1.2}, {"position_tolerance": 0.0}, {"rotation_tolerance": -1.0}],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        JointStreamSettings(**values)


def test_the_window_covers_the_delay_and_what_is_due_is_known() -> None:
    sent = SentJoints(delay=0.05)
    assert sent.window() == []
    assert sent.at(0.0) is None
    for tick in range(200):
        sent.add(JointSetpoint(tick * PERIOD, np.full(7, float(tick)), np.zeros(7), 0.0, 0.0))
    window = sent.window()
    newest = 199 * PERIOD
    # When the message is sent, at the newest setpoint's stamp, the window is under way, and it ends a delay later.
    assert window[0][0] <= newest < window[1][0] + PERIOD + 1e-9
    assert window[-1][0] == pytest.approx(newest + 0.05)
    assert len(window) <= 8
    due = sent.at(newest - 0.3)
    assert due is not None
    assert due == pytest.approx(np.full(7, 199 - 30 - 5))
    halfway = sent.at(newest + 0.005)
    assert halfway is not None
    assert halfway[0] == pytest.approx(199 - 5 + 0.5)
    assert sent.at(newest + 5.0) == pytest.approx(np.full(7, 199.0))
    assert sent.at(0.0) is None
    sent.clear()
    assert sent.window() == []
