"""Twists by property: an integrating driver that drifts is kept near its plan, a plan at rest gives none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.control import rotations
from vipa_policy.control.twist import TwistSettings, TwistStream
from vipa_policy.control.vectors import ZERO, Vector, norm, plus, times
from vipa_policy.geometry import Array, rotation_angle

PERIOD = 0.01
SPEEDS = st.tuples(*[st.floats(-0.2, 0.2)] * 3)
RATES = st.tuples(*[st.floats(-0.8, 0.8)] * 3)


def plan(seconds: float, velocity: Vector, turn_rate: Vector) -> list[tuple[float, Array, Vector, Vector]]:
    """Setpoints of a motion at constant twist from a fixed pose."""
    position: Vector = (0.4, 0.0, 0.3)
    rotation = rotations.from_vector((3.1, 0.1, 0.0))
    setpoints = []
    for index in range(round(seconds / PERIOD)):
        position = plus(position, PERIOD, velocity)
        rotation = rotations.multiply(rotations.from_vector(times(PERIOD, turn_rate)), rotation)
        setpoints.append((index * PERIOD, rotations.to_matrix(rotation, position), velocity, turn_rate))
    return setpoints


def drive(
    stream: TwistStream, setpoints: list[tuple[float, Array, Vector, Vector]], scale: float, measured_every: int = 5
) -> Array:
    """Integrate the twists as a driver does that makes ``scale`` of every speed; returns the pose (4, 4) it ends at."""
    _, first, velocity, turn_rate = setpoints[0]
    position = plus((first[0, 3], first[1, 3], first[2, 3]), -PERIOD, velocity)
    rotation = rotations.multiply(rotations.from_vector(times(-PERIOD, turn_rate)), rotations.from_matrix(first))
    for index, (stamp, pose, wanted, turning) in enumerate(setpoints):
        linear, angular = stream.twist(stamp, pose, wanted, turning)
        position = plus(position, scale * PERIOD, linear)
        rotation = rotations.multiply(rotations.from_vector(times(scale * PERIOD, angular)), rotation)
        if index % measured_every == 0:
            stream.measure(rotations.to_matrix(rotation, position), stamp)
    return rotations.to_matrix(rotation, position)


@settings(max_examples=20)
@given(SPEEDS, RATES)
def test_a_driver_that_follows_exactly_is_sent_the_plan(velocity: Vector, turn_rate: Vector) -> None:
    stream = TwistStream(TwistSettings(lag=0.0))
    setpoints = plan(1.0, velocity, turn_rate)
    reached = drive(stream, setpoints, scale=1.0)
    np.testing.assert_allclose(reached, setpoints[-1][1], atol=1e-9)
    assert norm(stream.drift.position) < 1e-9


@settings(max_examples=20)
@given(SPEEDS, RATES, st.floats(0.9, 1.1))
def test_a_driver_that_is_too_slow_or_too_quick_stays_near_the_plan(
    velocity: Vector, turn_rate: Vector, scale: float
) -> None:
    setpoints = plan(5.0, velocity, turn_rate)
    closed = drive(TwistStream(TwistSettings(lag=0.0)), setpoints, scale)
    # Without correction it would be 5 s * speed * |scale - 1| off; with it, about speed * |scale - 1| / gain.
    missing = abs(scale - 1.0)
    assert np.linalg.norm(closed[:3, 3] - setpoints[-1][1][:3, 3]) <= 0.7 * missing * norm(velocity) + 1e-6
    assert rotation_angle(closed, setpoints[-1][1]) <= 0.7 * missing * norm(turn_rate) + 1e-6


@given(SPEEDS, RATES, st.lists(st.tuples(*[st.floats(-5.0, 5.0)] * 3), min_size=1, max_size=20))
def test_a_correction_is_at_most_its_share_of_the_plans_own_speed(
    velocity: Vector, turn_rate: Vector, places: list[Vector]
) -> None:
    chosen = TwistSettings()
    stream = TwistStream(chosen)
    for index, (stamp, pose, wanted, turning) in enumerate(plan(0.2, velocity, turn_rate)):
        linear, angular = stream.twist(stamp, pose, wanted, turning)
        most = chosen.share * (norm(velocity) + chosen.lever * norm(turn_rate))
        assert norm(plus(linear, -1.0, velocity)) <= most + 1e-12
        assert norm(plus(angular, -1.0, turn_rate)) <= most / chosen.lever + 1e-12
        place = places[index % len(places)]
        stream.measure(rotations.to_matrix(rotations.from_vector(place), place), stamp)


@given(st.tuples(*[st.floats(-1.0, 1.0)] * 3))
def test_a_plan_at_rest_gives_no_twist_whatever_was_measured(place: Vector) -> None:
    stream = TwistStream()
    for stamp, pose, _, _ in plan(0.5, ZERO, ZERO):
        assert stream.twist(stamp, pose, ZERO, ZERO) == (ZERO, ZERO)
        stream.measure(rotations.to_matrix(rotations.from_vector(place), place), stamp)


def test_a_tip_that_is_late_by_the_known_lag_does_not_drift() -> None:
    stream = TwistStream(TwistSettings(lag=0.05))
    setpoints = plan(1.0, (0.1, 0.0, 0.0), (0.0, 0.0, 0.3))
    for index, (stamp, pose, velocity, turn_rate) in enumerate(setpoints):
        stream.twist(stamp, pose, velocity, turn_rate)
        if index >= 6:
            stream.measure(setpoints[index - 5][1], stamp)
    assert norm(stream.drift.position) < 1e-9
    assert norm(stream.drift.rotation) < 1e-9
    stream.measure(setpoints[-1][1], setpoints[-1][0])
    assert stream.drift.position[0] == pytest.approx(-0.005, abs=1e-6)


@pytest.mark.parametrize("afresh", ["pause", "leap", "turn"])
def test_a_plan_begun_afresh_forgets_the_drift(afresh: str) -> None:
    stream = TwistStream()
    for stamp, pose, velocity, turn_rate in plan(0.5, (0.1, 0.0, 0.0), ZERO):
        stream.twist(stamp, pose, velocity, turn_rate)
        stream.measure(pose + np.eye(4, k=3) * 0.01, stamp)
    assert norm(stream.drift.position) > 0.0
    stamp += 1.0 if afresh == "pause" else PERIOD
    pose = pose.copy()
    if afresh == "leap":
        pose[0, 3] += 0.05
    elif afresh == "turn":
        pose[:3, :3] = rotations.to_matrix(rotations.from_vector((2.0, 0.0, 0.0)), ZERO)[:3, :3]
    assert stream.twist(stamp, pose, velocity, turn_rate) == (velocity, turn_rate)
    assert norm(stream.drift.position) == 0.0


@pytest.mark.parametrize("wrong", [{"gain": -1.0}, {"share": 1.0}, {"lag": -0.1}, {"lever": 0.0}])
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected gain"):
        TwistSettings(**wrong)
