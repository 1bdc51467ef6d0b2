"""Chunks on the timeline: where rows lie, what was consumed, how seams are closed, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vipa_policy.control import rotations
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.consumption import Consumption
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.seam import LONGEST, NO_FADE, Gap, fade
from vipa_policy.control.timeline import SEAM_POLICIES, Command, Target, Timeline
from vipa_policy.control.vectors import ZERO, vector
from vipa_policy.errors import ChunkError

PERIOD = 0.1
TICK = 0.01
FREE = Limits(lower=(-9.0, -9.0, -9.0), upper=(9.0, 9.0, 9.0), table_height=-9.0, tilt=np.pi)
IDENTITY = (0.0, 0.0, 0.0, 1.0)


def line(
    stamp: float, start: float = 0.0, speed: float = 0.1, rows: int = 8, identifier: int = 1, side: float = 0.0
) -> BaseChunk:
    """A chunk that moves in x at a speed, reaching start + speed * t at t after capture, and turns at 0.2 rad/s."""
    due = (np.arange(rows) + 1) * PERIOD
    poses = np.tile(np.eye(4), (rows, 1, 1))
    poses[:, 0, 3] = start + speed * due
    poses[:, 1, 3] = side
    poses[:, :3, :3] = Rotation.from_rotvec(np.outer(0.2 * due, [0.0, 0.0, 1.0])).as_matrix()
    return BaseChunk(identifier, stamp, PERIOD, poses, np.linspace(0.08, 0.0, rows))


class Follower:
    """A timeline whose targets are met exactly, so that its command is what it says."""

    def __init__(self, now: float = 0.0, moving: bool = True, **options: object) -> None:
        self.timeline = Timeline(FREE, TICK, **options)
        self.now = now
        speed, spin = (0.1, 0.2) if moving else (0.0, 0.0)
        self.command = Command(ZERO, IDENTITY, (speed, 0.0, 0.0), ZERO, (0.0, 0.0, spin), ZERO)
        self.places: list[float] = [0.0]

    def accept(self, chunk: BaseChunk) -> None:
        self.timeline.accept(chunk, self.now, self.command)

    def tick(self, count: int = 1) -> Target:
        for _ in range(count):
            self.now += TICK
            target = self.timeline.advance(self.command, self.now)
            assert target is not None
            self.command = _followed(self.command, target)
            self.places.append(self.command.position[0])
        return target


def _followed(command: Command, target: Target) -> Command:
    velocity, rate = np.array(target.next_velocity), np.array(target.next_turn_rate)
    turn = rotations.from_vector(vector(rate * TICK))
    return Command(
        vector(np.array(target.position) + velocity * TICK),
        rotations.multiply(turn, target.rotation),
        vector(velocity),
        vector((velocity - command.velocity) / TICK),
        vector(rate),
        vector((rate - command.turn_rate) / TICK),
    )


def angle(command: Command) -> float:
    return rotations.to_vector(command.rotation)[2]


@pytest.mark.parametrize("policy", SEAM_POLICIES)
def test_rows_lie_one_period_apart_from_the_capture_on(policy: str) -> None:
    follower = Follower(10.0, policy=policy)
    follower.accept(line(10.0, rows=16))
    for ticks in (2, 5, 18, 5, 17, 23):  # the first two lie before the first row
        follower.tick(ticks)
        passed = follower.now - 10.0
        assert follower.command.position[0] == pytest.approx(0.1 * passed, abs=1e-9)
        assert angle(follower.command) == pytest.approx(0.2 * passed, abs=1e-9)
        assert follower.timeline.rows_consumed == int(passed / PERIOD + 1e-6)


def test_from_rest_a_plan_is_begun_at_its_beginning_and_gathers_pace() -> None:
    follower = Follower(10.0, moving=False)
    follower.accept(line(9.6))  # four rows late, by the time on the wall
    assert follower.timeline.rows_consumed == 0
    follower.tick()
    assert follower.timeline.pace.value < 0.05
    follower.tick(60)
    assert follower.timeline.pace.value == pytest.approx(1.0, abs=1e-3)
    steps = np.diff(follower.places)
    assert (np.diff(steps) > -1e-9).all()  # never faster than planned, to catch up
    assert steps.max() <= 0.1 * TICK + 1e-9


def test_after_the_last_row_it_rests_there() -> None:
    follower = Follower()
    follower.accept(line(0.0))
    follower.tick(200)
    assert follower.command.position[0] == pytest.approx(0.08, abs=1e-9)
    assert np.linalg.norm(follower.command.velocity) < 1e-9
    assert follower.timeline.rows_consumed == 8


@pytest.mark.parametrize("policy", SEAM_POLICIES)
def test_a_seam_goes_on_as_commanded_and_leaves_no_gap(policy: str) -> None:
    """Position, velocity and acceleration do not jump; after a while the new chunk is where it says."""
    follower = Follower(policy=policy, crossfade=0.2)
    follower.accept(line(0.0))
    follower.tick(30)
    before = follower.command
    follower.accept(line(0.2, start=0.02 + 0.004, identifier=2, side=0.003, rows=20))
    follower.tick(1)
    step = np.subtract(follower.command.velocity, before.velocity)
    assert np.linalg.norm(step) <= 20.0 * TICK**2
    follower.tick(130)
    # 4 mm ahead of where the first chunk would have been, 3 mm aside.
    passed = follower.timeline.consumption.total
    assert follower.command.position[0] == pytest.approx(0.1 * passed + 0.004, abs=1e-6)
    assert follower.command.position[1] == pytest.approx(0.003, abs=1e-6)
    assert follower.timeline.chunk.identifier == 2


@pytest.mark.parametrize("policy", SEAM_POLICIES)
@pytest.mark.parametrize(("speed", "drift"), [(0.1, 0.02), (0.13, 0.0), (0.08, 0.0)])
def test_a_seam_to_another_velocity_is_as_smooth(policy: str, speed: float, drift: float) -> None:
    """The velocity goes on, too: steps of velocity stay what acceleration and jerk allow, sideways and ahead."""
    follower = Follower(policy=policy)
    follower.accept(line(0.0))
    follower.tick(30)
    chunk = line(0.25, start=0.025, speed=speed, identifier=2, rows=20)
    chunk.base_from_tip[:, 1, 3] = drift * PERIOD * (np.arange(20) + 1)
    follower.accept(chunk)
    before = follower.command
    for _ in range(80):
        follower.tick()
        acceleration = np.array(follower.command.acceleration)
        assert np.linalg.norm(acceleration) <= 1.0
        assert np.linalg.norm(acceleration - before.acceleration) <= 20.0 * TICK
        before = follower.command
    assert before.velocity == pytest.approx((speed, drift, 0.0), abs=1e-3)


def test_blend_takes_its_time_and_replace_does_not() -> None:
    aside = {}
    for policy in ("replace", "blend"):
        follower = Follower(policy=policy, crossfade=0.5)
        follower.accept(line(0.0))
        follower.tick(30)
        follower.accept(line(0.29, start=0.029, identifier=2, side=0.001))
        follower.tick(20)
        aside[policy] = follower.command.position[1]
    assert aside["replace"] == pytest.approx(0.001, abs=1e-6)
    assert 0.0 < aside["blend"] < 0.0006


def test_rtc_keeps_the_row_under_way_and_takes_over_there() -> None:
    follower = Follower(policy="rtc")
    follower.accept(line(0.0))
    follower.tick(33)
    follower.accept(line(0.25, start=0.025, identifier=2, side=0.004))
    assert follower.timeline.chunk.identifier == 1
    assert follower.timeline.newest.identifier == 2
    follower.tick(7)  # to the fourth row
    assert follower.command.position[1] == 0.0
    assert follower.timeline.chunk.identifier == 1
    follower.accept(line(0.26, start=0.026, identifier=3, side=0.003))  # a newer one waits in its place
    follower.tick(1)
    assert follower.timeline.chunk.identifier == 3
    seam = follower.timeline.seam
    assert (seam.chunk, seam.policy) == (3, "rtc")
    assert seam.gap == pytest.approx(0.003, abs=1e-6)
    follower.tick(30)
    assert follower.command.position[1] == pytest.approx(0.003, abs=1e-5)


def test_rtc_blends_a_chunk_that_does_not_continue_the_tail() -> None:
    follower = Follower(policy="rtc", seam_tolerance=(0.01, 0.1))
    follower.accept(line(0.0))
    follower.tick(33)
    follower.accept(line(0.25, start=0.025, identifier=2, side=0.011))
    assert follower.timeline.chunk.identifier == 2
    assert follower.timeline.seam.policy == "blend"
    assert follower.timeline.seam.gap == pytest.approx(0.011, abs=1e-4)


def test_the_lead_counts_from_where_the_arm_of_the_image_was_commanded() -> None:
    """The arm lags by 50 ms: the picture of 0.2 s shows it where it was commanded to be at 0.15 s."""
    follower = Follower(lead=0.05)
    follower.accept(line(0.0))
    follower.tick(30)
    follower.accept(line(0.2, start=0.1 * 0.15, identifier=2))
    assert follower.timeline.seam.gap < 1e-9
    follower.tick(1)
    assert follower.timeline.rows_consumed == 1


def test_the_delay_is_what_was_consumed_not_what_passed() -> None:
    """A target that waits for a command which does not move: no plan time passes, and the next chunk begins there."""
    follower = Follower()
    follower.accept(line(0.0, rows=12))
    follower.tick(20)
    stuck = follower.command._replace(velocity=ZERO, acceleration=ZERO)
    for _ in range(50):
        follower.now += TICK
        follower.timeline.advance(stuck, follower.now)
    consumed = follower.timeline.consumption.total
    # 0.2 s until it was stuck, then until the target was 8 mm ahead.
    assert consumed < 0.2 + 0.08 + 0.07
    captured = follower.now - 0.2  # when the target had long been waiting
    follower.timeline.accept(line(captured, start=stuck.position[0], identifier=2), follower.now, stuck)
    assert follower.timeline.rows_consumed == 0
    assert follower.timeline.seam.gap < 2e-3


def test_consumption_is_remembered_by_time() -> None:
    consumption = Consumption()
    assert consumption.at(3.0) == 0.0
    for tick in range(1, 11):
        consumption.add(0.5 * TICK, 1.0 + tick * TICK)
    assert consumption.at(0.5) == 0.0  # before it began
    assert consumption.at(1.05) == pytest.approx(0.025)
    assert consumption.at(1.055) == pytest.approx(0.0275)
    assert consumption.at(9.0) == pytest.approx(0.05)
    consumption.clear()
    assert consumption.at(1.0) == pytest.approx(0.05)  # a new motion begins with what there is


def test_committed_rows_are_those_to_come_as_they_will_be_executed() -> None:
    follower = Follower()
    follower.accept(line(0.0))
    follower.tick(25)
    poses, gripper = follower.timeline.committed()
    assert len(poses) == len(gripper) == 6
    assert poses[0, 0, 3] == pytest.approx(0.03)
    follower.accept(line(0.25, start=0.025, identifier=2, side=0.002))
    told = follower.timeline.committed()[0][0, :3, 3]
    follower.tick(10)
    assert follower.command.position == pytest.approx(told, abs=1e-6)  # the gap had not closed there


def test_rows_outside_are_bent_inside() -> None:
    timeline = Timeline(Limits(), TICK)
    chunk = line(0.0, start=0.7, speed=0.5)
    chunk.base_from_tip[:, 2, 3] = -0.1
    timeline.accept(chunk, 0.0, Command((0.7, 0.0, 0.1), IDENTITY, ZERO, ZERO, ZERO, ZERO))
    poses, _ = timeline.committed()
    assert poses[-1, :3, 3] == pytest.approx([0.8, 0.0, Limits().lower[2]], abs=1e-9)


@pytest.mark.parametrize(
    "gap",
    [
        Gap((0.001, 0.0, 0.0)),
        Gap((0.02, -0.01, 0.0), (0.03, 0.0, 0.0)),
        Gap(ZERO, (0.0, 0.05, 0.0), (0.2, 0.0, 0.3)),
    ],
)
def test_a_gap_fades_with_what_it_was_and_within_its_share(gap: Gap) -> None:
    bounds = Bounds.linear(Limits())
    made = fade(gap, 0.05, bounds, 0.1)
    assert made is not None
    assert 0.05 <= made.duration <= LONGEST
    times = np.linspace(0.0, made.duration, 400)
    values = np.array([made.at(time) for time in times])
    step = times[1]
    rates, bends = np.diff(values, axis=0) / step, np.diff(values, 2, axis=0) / step**2
    assert values[0] == pytest.approx(gap.offset, abs=1e-12)
    assert rates[0] == pytest.approx(gap.rate, abs=1e-2)
    assert bends[0] == pytest.approx(gap.bend, abs=0.15)
    assert np.linalg.norm(rates, axis=1).max() <= 0.95 * bounds.velocity - 0.1 + 1e-3
    assert np.linalg.norm(bends, axis=1).max() <= 0.7 * bounds.acceleration
    assert made.at(made.duration) == ZERO
    assert np.linalg.norm(values[-2]) < 1e-6


def test_a_gap_that_takes_too_long_is_none_to_fade() -> None:
    assert fade(Gap((2.0, 0.0, 0.0)), 0.05, Bounds.linear(Limits()), 0.0) is None
    assert fade(Gap(), 0.05, Bounds.linear(Limits()), 0.0) is NO_FADE


def broken(**changes: object) -> BaseChunk:
    chunk = line(0.0, identifier=2)
    values = {name: getattr(chunk, name) for name in ("identifier", "stamp", "period", "base_from_tip", "gripper")}
    return BaseChunk(**{**values, **changes})


NAN_POSE = np.tile(np.eye(4), (8, 1, 1))
NAN_POSE[3, 1, 3] = np.nan
SKEWED = np.tile(np.eye(4), (8, 1, 1))
SKEWED[5, :3, :3] *= 1.1
MIRRORED = np.tile(np.eye(4), (8, 1, 1))
MIRRORED[2, 0, 0] = -1.0


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (broken(base_from_tip=NAN_POSE), "NaN"),
        (broken(gripper=np.full(8, np.inf)), "NaN or infinity"),
        (broken(base_from_tip=SKEWED), "row 5"),
        (broken(base_from_tip=MIRRORED), "row 2"),
        (broken(start=NAN_POSE[3]), "expected a pose"),
        (broken(start=MIRRORED[2]), "expected a pose"),
        (broken(start=np.eye(3)), "expected a pose"),
        (broken(gripper=np.zeros(3)), "expected poses"),
        (broken(base_from_tip=np.zeros((0, 4, 4)), gripper=np.zeros(0)), "expected poses"),
        (broken(period=0.0), "period above 0"),
        (broken(stamp=float("nan")), "finite stamp"),
        (broken(stamp=1.0), "future"),
        (broken(stamp=-5.0), "no newer"),
        (broken(stamp=-0.5), "no newer"),
    ],
)
@pytest.mark.parametrize("policy", SEAM_POLICIES)
def test_what_cannot_be_executed_is_refused_and_changes_nothing(policy: str, chunk: BaseChunk, words: str) -> None:
    untouched, follower = Follower(policy=policy), Follower(policy=policy)
    for each in (untouched, follower):
        each.accept(line(-0.5))
    with pytest.raises(ChunkError, match=words):
        follower.accept(chunk)
    untouched.tick(10)
    follower.tick(10)
    assert follower.command == untouched.command


def test_a_chunk_wholly_in_the_past_is_refused() -> None:
    with pytest.raises(ChunkError, match="wholly in the past"):
        Follower(0.8).accept(line(0.0))


def test_an_unknown_seam_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="replace, blend, rtc"):
        Timeline(FREE, TICK, policy="smooth")
