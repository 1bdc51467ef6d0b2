"""Which targets an arm follows, when it stops, and that what it commands in between stays within the limits."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.test_franka_tracker import assert_within
from vipa_policy.franka.follower import Follower, FollowerSettings, Motion, Target
from vipa_policy.franka.limits import JOINT_NAMES
from vipa_policy.franka.reference import Playback

SETTINGS = FollowerSettings()
START = (0.0, -0.55, 0.0, -2.35, 0.0, 1.80, 0.785)
BEGIN = 100.0  # s of the monotonic clock


def target(number: int, joints: tuple[float, ...] = START, stamp: float | None = None, epoch: int = 1) -> Target:
    return Target(epoch, number, BEGIN + 0.01 * number if stamp is None else stamp, joints)


def shifted(by: float) -> tuple[float, ...]:
    return (START[0] + by, *START[1:])


def follower() -> Follower:
    return Follower(SETTINGS, START, epoch=1)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (target(1, epoch=2), "made for motion 2, this is motion 1"),
        (target(1, epoch=0), "made for motion 0, this is motion 1"),
        (target(0), "it is target 0, after 0: repeated or overtaken"),
        (target(5, stamp=BEGIN - 1.0), r"it is 1\.0.. s old"),
        (target(5, stamp=BEGIN + 1.0), "are the clocks of the machines in step"),
        (target(1, (math.nan, *START[1:])), "expected finite joint positions"),
        (target(1, (*START[:3], 0.2, *START[4:])), r"fr3_joint4 at 0\.200 rad lies outside"),
        (target(1, shifted(0.3)), r"fr3_joint1 would jump 0\.300 rad"),
    ],
)
def test_a_bad_target_is_refused_and_changes_nothing(bad: Target, words: str) -> None:
    subject, other = follower(), follower()
    for one in (subject, other):
        assert one.offer(target(0), BEGIN) == ""
    assert re.search(words, subject.offer(bad, BEGIN + 0.005)), subject.offer(bad, BEGIN + 0.005)
    for one in (subject, other):
        assert one.offer(target(1, shifted(0.02)), BEGIN + 0.005) == ""
    assert subject.age(BEGIN) == other.age(BEGIN)
    assert [subject.step(BEGIN + 0.025) for _ in range(30)] == [other.step(BEGIN + 0.025) for _ in range(30)]


@pytest.mark.parametrize(
    ("age", "jump", "joint", "taken"),
    [
        (0.299, 0.0, 0, True),
        (0.301, 0.0, 0, False),
        (-0.009, 0.0, 0, True),
        (-0.011, 0.0, 0, False),
        (0.0, 0.099, 0, True),
        (0.0, 0.101, 0, False),
        (0.0, -0.099, 5, True),
        (0.0, -0.101, 5, False),
    ],
)
def test_a_target_is_taken_up_to_the_age_and_the_jump_that_are_set(
    age: float, jump: float, joint: int, taken: bool
) -> None:
    subject = Follower(FollowerSettings(timeout=0.3, largest_jump=0.1), START, epoch=1)
    joints = tuple(place + jump * (number == joint) for number, place in enumerate(START))
    refusal = subject.offer(target(0, joints, BEGIN - age), BEGIN)
    assert (refusal == "") == taken, refusal
    if jump and not taken:
        assert JOINT_NAMES[joint] in refusal


def test_age_is_that_of_the_last_accepted_stamp_and_beyond_the_timeout_set_the_arm_stops() -> None:
    subject = Follower(FollowerSettings(timeout=0.3), START, epoch=1)
    assert subject.age(BEGIN) == math.inf
    assert subject.offer(target(0, stamp=BEGIN - 0.05), BEGIN) == ""
    assert subject.offer(target(1, epoch=2), BEGIN + 0.01) != ""
    assert subject.age(BEGIN + 0.1) == pytest.approx(0.15)
    subject.step(BEGIN + 0.249)
    assert subject.motion is Motion.FOLLOWING
    subject.step(BEGIN + 0.251)
    assert subject.motion is not Motion.FOLLOWING
    assert subject.reason == "no target for 0.3 s"


def corner(settings: FollowerSettings, by: float, periods: int) -> np.ndarray:
    """Commands (periods, 7) from the first target on, a second one of 0.01 s later being shifted by ``by``."""
    subject = Follower(settings, START, epoch=1)
    for number, shift in enumerate((0.0, by)):
        assert subject.offer(target(number, shifted(shift)), BEGIN + 0.01 * number) == ""
    return np.array([subject.step(BEGIN + settings.delay + 0.001 * period) for period in range(periods)])


def test_targets_are_followed_late_by_the_delay_that_is_set() -> None:
    prompt, late = (corner(FollowerSettings(delay=delay), 0.005, 40) for delay in (0.02, 0.05))
    assert np.ptp(prompt[:, 0]) > 0.002
    np.testing.assert_allclose(late, prompt, atol=1e-9)


def test_a_smaller_bandwidth_takes_a_corner_more_softly() -> None:
    soft, hard = (
        np.abs(np.diff(corner(FollowerSettings(bandwidth=bandwidth), 0.001, 60), n=2, axis=0)).max()
        for bandwidth in (30.0, 80.0)
    )
    assert soft < 0.7 * hard


def stream(
    subject: Follower, periods: int, send: int, speed: float, lateness: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Commands and wanted places of the first joint: targets every 10 ms at a speed, the first ``send`` of them."""
    commands, wanted, sent = [], [], 0
    for period in range(periods):
        now = BEGIN + 0.001 * period
        while sent < send and now >= BEGIN + 0.01 * sent + lateness[sent % len(lateness)]:
            # Speeds up and slows down over a tenth of a second, as an arm node does.
            assert subject.offer(target(sent, shifted(speed * ramp(0.01 * sent, 0.01 * send))), now) == ""
            sent += 1
        commands.append(subject.step(now))
        wanted.append(START[0] + speed * ramp(0.001 * period - SETTINGS.delay, 0.01 * send))
    return np.array(commands), np.array(wanted)


def ramp(time: float, whole: float) -> float:
    """Way after a time at speed 1, with a quarter of a second to reach it and to leave it."""
    soft = 0.25
    time = min(max(time, 0.0), whole)
    way = 0.5 * min(time, soft) ** 2 / soft + min(max(time - soft, 0.0), whole - 2.0 * soft)
    late = max(time - (whole - soft), 0.0)
    return way + late - 0.5 * late * late / soft


def test_a_stream_is_followed_by_its_stamps_however_uneven_it_comes() -> None:
    even, wanted = stream(follower(), 1000, 100, 0.5, [0.001])
    uneven, _ = stream(follower(), 1000, 100, 0.5, [0.001, 0.008, 0.003, 0.0, 0.009])
    for commands in (even, uneven):
        assert np.abs(commands[:, 0] - wanted).max() < 0.004
        assert_within(np.vstack([np.tile(START, (3, 1)), commands]))
    assert np.abs(even - uneven).max() < 0.002
    assert np.abs(np.diff(even[:, 0], n=2)).max() / 1e-6 < 4.0  # rad/s²: twice what the stream asks for


def test_a_stream_that_breaks_off_ends_in_a_stop_of_the_stated_length() -> None:
    subject = follower()
    commands = [list(START)] * 3
    for period in range(600):
        now = BEGIN + 0.001 * period
        if period % 10 == 0 and period < 300:
            assert subject.offer(target(period // 10, shifted(0.5 * max(0.0, 0.001 * period - 0.05))), now) == ""
        commands.append(subject.step(now))
        if subject.motion is Motion.FOLLOWING:
            last = period
    assert 290 + 100 <= last <= 290 + 101  # the last target's stamp, and the timeout
    assert subject.motion is Motion.STANDING
    assert subject.reason == "no target for 0.1 s"
    assert 0 < subject.stopping <= round(1000.0 * SETTINGS.longest_stop) + 1
    assert_within(np.array(commands))
    assert np.ptp(np.array(commands)[-100:], axis=0).max() == 0.0


def test_the_first_reason_of_a_stop_stays_and_a_target_ends_it() -> None:
    subject = follower()
    subject.stop("nothing to stop")
    assert subject.reason == ""
    subject.offer(target(0), BEGIN)
    subject.stop("asked to")
    subject.stop("no longer heard")
    assert subject.reason == "asked to"
    assert subject.offer(target(1), BEGIN + 0.01) == ""
    assert (subject.motion, subject.reason) == (Motion.FOLLOWING, "")


steps = st.lists(
    st.tuples(
        st.integers(0, 3),  # epoch
        st.integers(0, 40),  # sequence
        st.floats(-0.3, 0.1),  # stamp, from now
        st.tuples(*[st.floats(-0.5, 0.5) | st.sampled_from([math.nan, math.inf, 7.0])] * 7),
        st.integers(1, 60),  # periods until the next
        st.booleans(),  # stop before
    ),
    max_size=25,
)


@settings(max_examples=25)
@given(steps)
def test_no_sequence_of_targets_leads_a_command_outside_the_limits(
    script: list[tuple[int, int, float, tuple[float, ...], int, bool]],
) -> None:
    subject = follower()
    commands, now = [list(START)] * 3, BEGIN
    for epoch, sequence, ahead, offsets, periods, stop in script:
        if stop:
            subject.stop("asked to")
        joints = tuple(place + offset for place, offset in zip(subject.position, offsets, strict=True))
        subject.offer(Target(epoch, sequence, now + ahead, joints), now)
        for _ in range(periods):
            commands.append(subject.step(now))
            now += 0.001
    for _ in range(700):
        commands.append(subject.step(now))
        now += 0.001
    assert subject.motion is Motion.STANDING
    assert_within(np.array(commands))


def test_missed_periods_are_made_up_for_along_the_same_way() -> None:
    whole, sparse = follower(), follower()
    for one in (whole, sparse):
        one.offer(target(0, shifted(0.05)), BEGIN)
    every = [whole.step(BEGIN + 0.03) for _ in range(60)]
    some = [sparse.step(BEGIN + 0.03, periods=3) for _ in range(20)]
    assert np.allclose(every[2::3], some, atol=1e-12)


def test_a_stop_that_misses_periods_goes_the_same_way_to_rest_and_counts_them() -> None:
    whole, sparse = follower(), follower()
    for one in (whole, sparse):
        for number, by in enumerate((0.0, 0.005)):
            assert one.offer(target(number, shifted(by)), BEGIN + 0.01) == ""
        for _ in range(30):
            one.step(BEGIN + 0.025)
        one.stop("asked to")
        assert one.stopped_at == pytest.approx(0.5)  # rad/s between the last two targets
    every, motions = [], []
    for _ in range(300):
        every.append(whole.step(BEGIN + 0.03))
        motions.append(whole.motion)
    some = [sparse.step(BEGIN + 0.03, periods=3) for _ in range(100)]
    assert np.allclose(every[2::3], some, atol=1e-12)
    rest = motions.index(Motion.STANDING)
    assert whole.stopping == rest + 1 > 20
    assert 0 <= sparse.stopping - whole.stopping < 3
    assert np.ptp(every[rest:], axis=0).max() == 0.0
    assert np.abs(np.diff(every[: rest + 1], axis=0)).max(axis=1).min() > 0.0
    assert whole.offer(target(2, tuple(every[-1])), BEGIN + 0.03) == ""
    whole.stop("asked to again")
    assert whole.stopping == 0


def test_what_is_played_back_passes_through_every_target() -> None:
    playback = Playback(delay=0.02)
    playback.begin(BEGIN, START)
    stamps = [BEGIN + 0.01 * number for number in range(1, 8)]
    for number, stamp in enumerate(stamps):
        playback.add(stamp, shifted(0.01 * number * number))
    for number, stamp in enumerate(stamps[:-1]):
        positions, slopes = playback.at(stamp + 0.02 + 1e-9)
        assert positions[0] == pytest.approx(0.01 * number * number, abs=1e-7)
        assert slopes[0] == pytest.approx(2.0 * number + 1.0)
    assert playback.at(stamps[-1] + 9.0) == (shifted(0.36), (0.0,) * 7)


def test_a_playback_begun_again_forgets_the_targets_before_and_leaves_out_what_is_not_later() -> None:
    playback = Playback(delay=0.02)
    playback.begin(BEGIN, START)
    playback.add(BEGIN + 0.01, shifted(0.1))
    playback.begin(BEGIN + 0.015, START)
    assert playback.speed == 0.0
    assert playback.at(BEGIN + 0.02) == (START, (0.0,) * 7)
    playback.add(BEGIN + 0.03, shifted(0.01))
    playback.add(BEGIN + 0.02, shifted(0.5))
    assert playback.at(BEGIN + 9.0) == (shifted(0.01), (0.0,) * 7)


def test_settings_have_words_for_every_share() -> None:
    tight = dataclasses.replace(SETTINGS, velocity=0.1)
    assert tight.longest_stop < SETTINGS.longest_stop < 0.5
    assert all(limit.longest_stop <= SETTINGS.longest_stop for limit in SETTINGS.limits())
