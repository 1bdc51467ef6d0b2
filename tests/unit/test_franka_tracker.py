"""Not one 1 kHz command outside an FR3's limits, whatever is asked for: properties of stop and tracker."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vipa_policy.franka.limits import FR3, JOINTS, JointLimits
from vipa_policy.franka.stop import Stop
from vipa_policy.franka.tracker import MARGIN, PERIOD, ArmTracker, JointTracker

Array = NDArray[np.float64]
HALF = tuple(limit.share(0.5, 0.7, 0.5) for limit in FR3)
MIDDLE = tuple(0.5 * (limit.lower + limit.upper) for limit in FR3)
ROUNDING = 1e-6  # of differences of differences of doubles


def worst(positions: Array, limits: tuple[JointLimits, ...]) -> dict[str, float]:
    """Largest share of each limit that commands (n, 7) used, by finite differences of their own."""
    rates = np.diff(positions, axis=0) / PERIOD
    bends = np.diff(rates, axis=0) / PERIOD
    jerks = np.diff(bends, axis=0) / PERIOD
    used = {"velocity": 0.0, "acceleration": 0.0, "jerk": 0.0, "room": np.inf, "excess": -np.inf}
    for joint, limit in enumerate(limits):
        used["velocity"] = max(used["velocity"], float(np.abs(rates[:, joint]).max()) / limit.velocity)
        used["acceleration"] = max(used["acceleration"], float(np.abs(bends[:, joint]).max()) / limit.acceleration)
        used["jerk"] = max(used["jerk"], float(np.abs(jerks[:, joint]).max()) / limit.jerk)
        used["room"] = min(
            used["room"], limit.upper - positions[:, joint].max(), positions[:, joint].min() - limit.lower
        )
        for place, rate in zip(positions[1:, joint], rates[:, joint], strict=True):
            allowed = limit.velocity_up(place) if rate > 0.0 else limit.velocity_down(place)
            used["excess"] = max(used["excess"], abs(rate) - allowed)
    return used


def assert_within(positions: Array, limits: tuple[JointLimits, ...] = HALF) -> None:
    used = worst(positions, limits)
    assert used["velocity"] <= 1.0 + ROUNDING, used
    assert used["acceleration"] <= 1.0 + ROUNDING, used
    assert used["jerk"] <= 1.0 + 1e-5, used
    assert used["room"] >= 0.0, used
    assert used["excess"] <= 1e-4, used  # within a period the place the limit belongs to moves a little


states = st.tuples(st.floats(-2.0, 2.0), st.floats(-3.0, 3.0), st.floats(-7.0, 7.0))


@given(states, st.floats(7.0, 15.0), st.floats(200.0, 5000.0))
def test_a_stop_ends_at_rest_and_stays_within_what_it_says(
    state: tuple[float, float, float], acceleration: float, jerk: float
) -> None:
    stop = Stop(state, acceleration, jerk)
    times = np.linspace(0.0, stop.duration, 200)
    samples = np.array([stop.at(time) for time in times])
    almost = stop.at(stop.duration * (1.0 - 1e-9))
    assert abs(almost[1]) < 1e-5
    assert abs(almost[2]) < 1e-3
    assert stop.at(stop.duration) == (pytest.approx(stop.end), 0.0, 0.0)
    assert samples[:, 0].max() <= stop.highest + 1e-9
    assert samples[:, 0].min() >= stop.lowest - 1e-9
    assert samples[:, 1].max() <= stop.fastest_up + 1e-9
    assert samples[:, 1].min() >= -stop.fastest_down - 1e-9
    assert np.abs(samples[:, 2]).max() <= acceleration + 1e-9
    assert np.abs(np.diff(samples[:, 2])).max() <= jerk * (times[1] - times[0]) * (1.0 + 1e-6) + 1e-9


@given(states)
def test_no_stop_takes_longer_than_is_told(state: tuple[float, float, float]) -> None:
    limit = JointLimits(-9.0, 9.0, 3.0, 7.0, 2500.0, 0.0, 100.0)
    reachable = abs(state[1]) + state[2] * state[2] / (2.0 * limit.jerk) <= limit.velocity
    if reachable:
        assert Stop(state, limit.acceleration, limit.jerk).duration <= limit.longest_stop + 1e-9


# What is asked for in a stretch of time: to follow or to brake, where and how fast, for how many periods.
wild = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.floats(-6.0, 6.0), min_size=JOINTS, max_size=JOINTS),
        st.lists(st.floats(-10.0, 10.0), min_size=JOINTS, max_size=JOINTS),
        st.integers(1, 120),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=20)
@given(wild, st.floats(20.0, 200.0))
def test_no_command_leaves_the_limits_whatever_the_reference(
    script: list[tuple[bool, list[float], list[float], int]], bandwidth: float
) -> None:
    tracker = ArmTracker(MIDDLE, HALF, bandwidth)
    commands = [list(MIDDLE)] * 3
    for follow, positions, velocities, periods in script:
        for _ in range(periods):
            commands.append(tracker.follow(positions, velocities) if follow else tracker.brake())
    for _ in range(round(1000.0 * max(limit.longest_stop for limit in HALF)) + 1):
        commands.append(tracker.brake())
    assert tracker.at_rest
    commands += [tracker.brake()] * 3
    assert_within(np.array(commands))


@pytest.mark.parametrize("upward", [True, False])
def test_the_ends_of_the_range_are_approached_and_never_passed(upward: bool) -> None:
    tracker = ArmTracker(MIDDLE, FR3)
    goal = [9.0 if upward else -9.0] * JOINTS
    commands = np.array([list(MIDDLE)] * 3 + [tracker.follow(goal, [0.0] * JOINTS) for _ in range(4000)])
    assert_within(commands, FR3)
    for joint, limit in enumerate(FR3):
        room = limit.upper - commands[-1, joint] if upward else commands[-1, joint] - limit.lower
        # Nearest to a stop the arm allows no velocity toward it.
        nearest = limit.offset**2 / (2.0 * limit.deceleration)
        assert MARGIN <= room + 1e-9 <= nearest + 0.02, (joint, room)


def test_a_joint_beyond_its_range_may_come_back_and_goes_no_further() -> None:
    limit = HALF[0]
    tracker = JointTracker(limit, 80.0, limit.upper + 0.05)
    assert tracker.follow(limit.upper + 1.0, 0.0) <= limit.upper + 0.05
    for _ in range(3000):
        tracker.follow(0.0, 0.0)
    assert tracker.state[0] == pytest.approx(0.0, abs=1e-4)


def test_the_arm_rests_once_every_joint_does() -> None:
    tracker = ArmTracker(MIDDLE, HALF)
    moving = [*MIDDLE[:-1], MIDDLE[-1] + 0.1]
    for _ in range(100):
        tracker.follow(moving, [0.0] * JOINTS)
    before = tracker.brake()
    while not tracker.at_rest:
        place = tracker.brake()
        assert place != before
        before = place
    assert before[-1] > MIDDLE[-1] + 0.001
    assert tracker.brake() == before


def test_a_place_far_away_is_reached_without_passing_it() -> None:
    tracker = JointTracker(HALF[0], 80.0, -1.0)
    places = np.array([tracker.follow(1.0, 0.0) for _ in range(4000)])
    assert places[-1] == pytest.approx(1.0, abs=1e-6)
    assert places.max() < 1.0 + 1e-3


def test_a_smooth_reference_is_followed_closely_and_smoothly() -> None:
    start = np.array(MIDDLE)
    tracker = ArmTracker(start, HALF)
    times = np.arange(3000) * PERIOD
    # Begins and ends at rest: 0.15 rad to and fro.
    swing = 0.15 * np.sin(np.pi * times / 3.0) ** 2
    rate = np.gradient(swing, PERIOD)
    commands = np.array(
        [tracker.follow(start + place, [speed] * JOINTS) for place, speed in zip(swing, rate, strict=True)]
    )
    assert np.abs(commands - start - swing[:, None]).max() < 5e-4
    assert np.abs(np.diff(commands, n=3, axis=0)).max() / PERIOD**3 < 30.0
