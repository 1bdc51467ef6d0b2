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


def plan(
    seconds: float, velocity: Vector, turn_rate: Vector, period: float = PERIOD
) -> list[tuple[float, Array, Vector, Vector]]:
    """Setpoints of a motion at constant twist from a fixed pose."""
    position: Vector = (0.4, 0.0, 0.3)
    rotation = rotations.from_vector((3.1, 0.1, 0.0))
    setpoints = []
    for index in range(round(seconds / period)):
        position = plus(position, period, velocity)
        rotation = rotations.multiply(rotations.from_vector(times(period, turn_rate)), rotation)
        setpoints.append((index * period, rotations.to_matrix(rotation, position), velocity, turn_rate))
    return setpoints


def displaced(pose: Array, by: Vector, turned: Vector = ZERO) -> Array:
    """A pose moved and turned along and about the axes of the base frame."""
    rotation = rotations.multiply(rotations.from_vector(turned), rotations.from_matrix(pose))
    return rotations.to_matrix(rotation, plus((pose[0, 3], pose[1, 3], pose[2, 3]), 1.0, by))


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


@given(SPEEDS, RATES)
def test_a_large_drift_is_closed_at_the_whole_share_by_moving_and_by_turning(
    velocity: Vector, turn_rate: Vector
) -> None:
    chosen = TwistSettings(share=0.3, lag=0.0, lever=0.5)
    stream = TwistStream(chosen)
    for stamp, pose, wanted, turning in plan(0.3, velocity, turn_rate):
        linear, angular = stream.twist(stamp, pose, wanted, turning)
        stream.measure(displaced(pose, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)), stamp)
    # What a radian is worth beside a metre counts both ways: a plan that only turns closes a drift in position too.
    most = chosen.share * (norm(velocity) + chosen.lever * norm(turn_rate))
    assert plus(linear, -1.0, velocity) == pytest.approx((-most, 0.0, 0.0), abs=1e-9)
    assert plus(angular, -1.0, turn_rate) == pytest.approx((0.0, 0.0, -most / chosen.lever), abs=1e-9)


@pytest.mark.parametrize("period", [0.005, 0.02])
def test_a_new_measurement_is_taken_up_over_a_tenth_of_a_second_at_any_rate(period: float) -> None:
    stream = TwistStream(TwistSettings(lag=0.0))
    velocity, turn_rate = (0.1, 0.0, 0.0), (0.0, 0.0, 0.3)
    (stamp, pose, _, _), *rest = plan(1.5, velocity, turn_rate, period)
    stream.twist(stamp, pose, velocity, turn_rate)
    stream.measure(displaced(pose, (0.0, 0.001, 0.0), (0.004, 0.0, 0.0)), stamp)
    taken = []
    for stamp, pose, _, _ in rest:
        linear, angular = stream.twist(stamp, pose, velocity, turn_rate)
        taken.append((linear[1] / -0.002, angular[0] / -0.008))
    shares = np.array(taken)
    assert np.all(np.diff(shares, axis=0, prepend=0.0) <= period / 0.1)
    assert np.all(np.diff(shares, axis=0) >= -1e-12)
    np.testing.assert_allclose(shares[round(0.1 / period) - 1], 0.6, atol=0.05)
    np.testing.assert_allclose(shares[-1], 1.0, atol=1e-3)


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


def test_a_measurement_is_compared_with_the_plan_of_its_time_for_a_second_and_then_not_at_all() -> None:
    stream = TwistStream(TwistSettings(lag=0.0))
    setpoints = plan(3.0, (0.1, 0.0, 0.0), ZERO)
    for stamp, pose, velocity, turn_rate in setpoints:
        stream.twist(stamp, pose, velocity, turn_rate)
    place = (0.0, 0.01, 0.0)
    stream.measure(displaced(setpoints[-91][1], place), setpoints[-91][0])
    assert stream.drift.position == pytest.approx((0.0, -0.01, 0.0), abs=1e-9)
    for late in (-111, 0):
        stream.measure(displaced(setpoints[late][1], ZERO), setpoints[late][0])
    stream.measure(setpoints[0][1], -1.0)
    assert stream.drift.position == pytest.approx((0.0, -0.01, 0.0), abs=1e-9)
    # Newer than the plan: its end counts.
    stream.measure(setpoints[-1][1], setpoints[-1][0] + 0.5 * PERIOD)
    assert norm(stream.drift.position) < 1e-9


# How a plan goes on: s until the next setpoint, m and rad by which that lies beside the motion so far.
AFRESH = {"pause": (0.15, 0.0, 0.0), "leap": (PERIOD, 0.002, 0.0), "turn": (PERIOD, 0.0, 0.02)}
GOING_ON = {"late": (0.08, 0.0, 0.0), "corner": (PERIOD, 0.0005, 0.0), "bend": (PERIOD, 0.0, 0.005)}


@pytest.mark.parametrize("how", [*AFRESH, *GOING_ON])
def test_a_plan_begun_afresh_forgets_the_drift_and_one_that_goes_on_does_not(how: str) -> None:
    elapsed, leap, turn = {**AFRESH, **GOING_ON}[how]
    stream = TwistStream()
    for stamp, pose, velocity, turn_rate in plan(0.5, (0.1, 0.0, 0.0), (1.2, 0.0, 0.0)):
        stream.twist(stamp, pose, velocity, turn_rate)
        stream.measure(displaced(pose, (0.01, 0.01, 0.01)), stamp)
    drift = stream.drift
    assert norm(drift.position) > 0.0
    stamp += elapsed
    pose = displaced(pose, (0.1 * elapsed, leap, 0.0), (1.2 * elapsed + turn, 0.0, 0.0))
    twist = stream.twist(stamp, pose, velocity, turn_rate)
    if how in GOING_ON:
        assert stream.drift == drift
        assert twist != (velocity, turn_rate)
        return
    assert twist == (velocity, turn_rate)
    stream.measure(displaced(pose, (0.01, 0.01, 0.01)), stamp)  # the tip was late: this belongs to the plan before
    assert norm(stream.drift.position) == 0.0


@pytest.mark.parametrize("wrong", [{"gain": -1.0}, {"share": 1.0}, {"share": -0.1}, {"lag": -0.1}, {"lever": 0.0}])
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected gain"):
        TwistSettings(**wrong)
