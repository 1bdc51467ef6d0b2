"""The executor: no sequence of chunks, stops and losses passes a limit, and every loss ends in a hold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.contract import ActionContract, CameraSpec
from vipa_policy.control.chunk import BaseChunk, Executable
from vipa_policy.control.executor import Executor, Settings, State
from vipa_policy.control.gripper import GripperGate
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.errors import ChunkError, ContractMismatch

PERIOD = 1.0 / 15.0
TICK = 0.01
TOLERANCE = 1e-6


def pose(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xz", [np.pi, yaw]).as_matrix()
    matrix[:3, 3] = (x, y, z)
    return matrix


START = pose(0.4, 0.0, 0.3)


def chunk_to(goal: np.ndarray, identifier: int, stamp: float, rows: int = 16, width: float = 0.08) -> BaseChunk:
    return BaseChunk(identifier, stamp, PERIOD, np.tile(goal, (rows, 1, 1)), np.full(rows, width))


class Rig:
    """An executor on a simulated clock that keeps all setpoints."""

    def __init__(self, limits: Limits | None = None, executable: Executable | None = None, **settings: object) -> None:
        self.now = 0.0
        self.ticks = 0
        self.executor = Executor(
            limits or Limits(), Settings(period=TICK, **settings), START, 0.0, executable=executable
        )
        self.poses = [START]
        self.sent = 0
        self.goals: list[float] = []

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.ticks += 1
            self.now = self.ticks * TICK
            setpoint = self.executor.tick(self.now)
            self.poses.append(self.executor.base_from_tip)
            if setpoint is not None:
                self.sent += 1
                if setpoint.gripper is not None:
                    self.goals.append(setpoint.gripper)

    def send(self, chunk: BaseChunk) -> str:
        """Offer a chunk and return why it was refused, "" where it was not."""
        try:
            self.executor.accept_chunk(chunk, self.now)
        except ChunkError as error:
            return str(error)
        return ""

    def assert_limits(self) -> None:
        limits = Limits()
        stacked = np.array(self.poses)
        rotations = Rotation.from_matrix(stacked[:, :3, :3])
        still = np.zeros((2, 3))
        velocities = np.concatenate([still, np.diff(stacked[:, :3, 3], axis=0) / TICK])
        turns = np.concatenate([still, (rotations[1:] * rotations[:-1].inv()).as_rotvec() / TICK])
        for values, bounds in ((velocities, Bounds.linear(limits)), (turns, Bounds.angular(limits))):
            accelerations = np.diff(values, axis=0) / TICK
            jerks = np.diff(accelerations, axis=0) / TICK
            assert np.linalg.norm(values, axis=1).max() <= bounds.velocity + TOLERANCE
            assert np.linalg.norm(accelerations, axis=1).max() <= bounds.acceleration + TOLERANCE
            assert np.linalg.norm(jerks, axis=1).max() <= bounds.jerk + TOLERANCE * 100
        assert (stacked[:, :3, 3] >= np.array(limits.lower) - TOLERANCE).all()
        assert (stacked[:, :3, 3] <= np.array(limits.upper) + TOLERANCE).all()


@dataclass(frozen=True)
class Event:
    """Something that happens after a number of ticks."""

    ticks: int
    kind: str
    goal: tuple[float, float, float, float]
    lateness: float


events = st.builds(
    Event,
    ticks=st.integers(1, 25),
    kind=st.sampled_from(["chunk"] * 6 + ["nan", "skewed", "repeat", "older", "hold", "stop", "resume", "long"]),
    goal=st.tuples(st.floats(-2.0, 3.0), st.floats(-2.0, 2.0), st.floats(-1.0, 2.0), st.floats(-3.0, 3.0)),
    lateness=st.floats(-0.2, 1.3),
)


def play(rig: Rig, sequence: list[Event]) -> None:
    last = chunk_to(START, 1, 0.0)
    for identifier, event in enumerate(sequence, start=1):
        rig.tick(event.ticks)
        goal = pose(*event.goal)
        if event.kind == "hold":
            rig.executor.hold("test", rig.now)
        elif event.kind == "stop":
            rig.executor.stop("stopped by test", rig.now)
        elif event.kind == "resume":
            rig.executor.resume(rig.executor.base_from_tip, rig.now)
        elif event.kind == "repeat":
            rig.send(last)
        else:
            if event.kind == "nan":
                goal[1, 3] = np.nan
            elif event.kind == "skewed":
                goal[:3, :3] *= -1.0
            stamp = rig.now - event.lateness - (5.0 if event.kind == "older" else 0.0)
            rows = 60 if event.kind == "long" else 16
            if event.kind in ("nan", "skewed"):
                assert rig.send(chunk_to(goal, identifier, stamp, rows)) != ""
            else:
                last = chunk_to(goal, identifier, stamp, rows)
                rig.send(last)


@given(st.lists(events, min_size=1, max_size=14), st.sampled_from(SEAM_POLICIES))
@settings(max_examples=60)
def test_no_sequence_of_events_passes_a_limit_and_all_end_in_a_hold(sequence: list[Event], seam: str) -> None:
    rig = Rig(seam=seam)
    play(rig, sequence)
    rig.executor.hold("end of test", rig.now)
    rig.tick(60)
    rig.assert_limits()
    assert rig.executor.state in (State.HOLDING, State.IDLE)
    assert np.array_equal(rig.poses[-1], rig.poses[-2])


def test_the_check_itself_notices_a_missing_limit() -> None:
    rig = Rig(Limits(linear_velocity=0.5, linear_acceleration=5.0, linear_jerk=100.0))
    rig.send(chunk_to(pose(0.7, 0.3, 0.1), 1, 0.0))
    rig.tick(60)
    with pytest.raises(AssertionError):
        rig.assert_limits()


def test_a_hold_from_full_speed_ends_within_600_ms() -> None:
    rig = Rig()
    rig.send(chunk_to(pose(0.75, 0.3, 0.1), 1, 0.0, rows=60))
    rig.tick(50)
    speed = np.linalg.norm(rig.poses[-1][:3, 3] - rig.poses[-2][:3, 3]) / TICK
    assert speed > 0.2
    assert rig.executor.hold("no camera", rig.now)
    assert not rig.executor.hold("something later", rig.now)
    began = rig.now
    while rig.executor.state is not State.HOLDING:
        rig.tick()
        assert rig.now - began < 0.6
    assert rig.executor.hold_reason == "no camera"
    rig.assert_limits()


def test_it_goes_where_the_chunk_says() -> None:
    rig = Rig()
    goal = pose(0.5, 0.1, 0.2, yaw=0.4)
    for identifier in range(1, 40):
        assert rig.send(chunk_to(goal, identifier, rig.now)) == ""
        rig.tick(7)
    assert np.abs(rig.poses[-1] - goal).max() < 1e-3


def test_without_a_chunk_nothing_is_streamed() -> None:
    rig = Rig()
    rig.tick(30)
    assert rig.sent == 0
    assert rig.executor.state is State.IDLE


def test_a_missing_chunk_holds_once_the_next_one_is_overdue() -> None:
    rig = Rig()
    for identifier in range(1, 8):
        assert rig.send(chunk_to(pose(0.7, 0.0, 0.2), identifier, rig.now)) == ""
        rig.tick(7)
    lost = rig.now  # when the next one was due
    while rig.executor.state is State.FOLLOWING:
        rig.tick()
    assert rig.now - lost <= 0.15
    assert "no new chunk" in rig.executor.hold_reason


def test_what_was_seen_before_a_hold_does_not_end_it() -> None:
    rig = Rig()
    rig.send(chunk_to(pose(0.7, 0.0, 0.2), 1, 0.0))
    rig.tick(20)
    rig.executor.hold("no camera", rig.now)
    assert "before the hold began" in rig.send(chunk_to(pose(0.7, 0.0, 0.2), 2, rig.now - 0.05))
    rig.tick(3)
    assert rig.send(chunk_to(pose(0.7, 0.0, 0.2), 3, rig.now)) == ""
    assert rig.executor.state is State.FOLLOWING
    rig.tick(20)
    rig.assert_limits()


def test_a_stop_latches_streams_nothing_and_resumes_from_the_measured_pose() -> None:
    rig = Rig()
    rig.send(chunk_to(pose(0.7, 0.0, 0.2), 1, 0.0))
    rig.tick(30)
    assert rig.executor.stop("stopped by instruction", rig.now)
    assert not rig.executor.stop("stopped again", rig.now)
    rig.tick(60)
    assert rig.executor.state is State.HOLDING
    assert "stopped by instruction" in rig.send(chunk_to(pose(0.7, 0.0, 0.2), 2, rig.now))
    sent = rig.sent
    rig.tick(20)
    assert rig.sent == sent
    elsewhere = pose(0.3, -0.2, 0.4)
    rig.executor.resume(elsewhere, rig.now)
    assert np.allclose(rig.executor.base_from_tip, elsewhere)
    rig.tick(1)
    assert rig.send(chunk_to(pose(0.5, 0.0, 0.2), 3, rig.now)) == ""


def test_an_arm_that_was_moved_while_held_is_followed_from_where_it_is() -> None:
    rig = Rig()
    rig.send(chunk_to(pose(0.5, 0.0, 0.2), 1, 0.0))
    rig.tick(30)
    elsewhere = pose(0.3, -0.2, 0.4)
    rig.executor.measure(elsewhere, rig.now)
    assert "away from where it was commanded" in rig.executor.hold_reason
    rig.tick(60)
    rig.executor.measure(elsewhere, rig.now)
    assert np.allclose(rig.executor.base_from_tip, elsewhere)


def line(speed: float, identifier: int, stamp: float, start: np.ndarray = START, rows: int = 16) -> BaseChunk:
    """A chunk that moves in y at a speed in m/s from a pose on."""
    poses = np.tile(start, (rows, 1, 1))
    poses[:, 1, 3] += speed * PERIOD * (np.arange(rows) + 1)
    return BaseChunk(identifier, stamp, PERIOD, poses, np.linspace(0.08, 0.0, rows))


def test_an_arm_that_was_moved_a_little_before_its_first_chunk_starts_where_it_is() -> None:
    rig = Rig()
    rig.tick(50)
    moved = pose(0.42, 0.01, 0.3, yaw=0.1)
    rig.executor.measure(moved, rig.now)
    assert np.allclose(rig.executor.base_from_tip, moved)
    rig.send(line(0.1, 1, rig.now, start=moved))
    setpoint = rig.executor.tick(rig.now + TICK)
    assert np.linalg.norm(setpoint.base_from_tip[:3, 3] - moved[:3, 3]) < 1e-5


def test_rows_consumed_and_committed_tail_follow_from_what_was_gone_through() -> None:
    rig = Rig()
    rig.send(line(0.1, 7, 0.0))
    assert (rig.executor.chunk_id, rig.executor.rows_consumed) == (7, 0)
    for _ in range(6):
        rig.tick(10)
        done = (rig.poses[-1][1, 3] - START[1, 3]) / (0.1 * PERIOD)  # in rows, by the place reached
        assert rig.executor.rows_consumed == int(done + 1e-6)
        poses, gripper = rig.executor.committed()
        assert len(poses) == len(gripper) == 16 - rig.executor.rows_consumed
        assert poses[-1] == pytest.approx(line(0.1, 7, 0.0).base_from_tip[-1], abs=1e-9)


def test_limits_that_slow_the_motion_slow_the_consumption() -> None:
    """A plan at twice the speed limit: half of it is consumed in the time it was meant for."""
    rig = Rig(Limits(linear_velocity=0.1), first_interval=5.0)
    rig.send(line(0.2, 1, 0.0, rows=30))
    rig.tick(80)
    consumed = rig.executor.rows_consumed
    rig.tick(53)
    assert rig.executor.pace == pytest.approx(0.485, abs=0.01)
    assert rig.executor.rows_consumed - consumed in (3, 4)  # not 8, as the time on the wall says


def test_a_late_chunk_is_begun_at_its_beginning_by_an_arm_that_stood_still() -> None:
    """The delay is counted in setpoints consumed: an arm at rest consumed none, however long the prediction took."""
    rig = Rig()
    rig.tick(90)
    assert rig.send(line(0.1, 1, rig.now - 0.85)) == ""
    assert rig.executor.rows_consumed == 0
    before = rig.poses[-1]
    rig.tick(20)
    assert 0.0 < rig.poses[-1][1, 3] - before[1, 3] < 0.1 * 0.2


@pytest.mark.parametrize("seam", SEAM_POLICIES)
@pytest.mark.parametrize("lag", [0.0, 0.05, 0.1])
def test_an_arm_told_to_rest_rests_there(seam: str, lag: float) -> None:
    """A policy that goes to a place from wherever it sees the arm, and then says to stay: 0.1 mm at the end.

    Whatever the arm's lag, known (0.05 s) or not.
    """
    rig = Rig(seam=seam)
    goal = pose(0.52, 0.11, 0.21, yaw=0.3)
    behind = 8
    for identifier in range(1, 60):
        seen = rig.poses[max(len(rig.poses) - 1 - behind - round(lag / TICK), 0)]
        way = goal[:3, 3] - seen[:3, 3]
        share = np.minimum(0.2 * PERIOD * (np.arange(16) + 1) / max(float(np.linalg.norm(way)), 1e-9), 1.0)
        rows = np.tile(goal, (16, 1, 1))
        rows[:, :3, 3] = seen[:3, 3] + share[:, None] * way
        assert rig.send(BaseChunk(identifier, rig.now - behind * TICK, PERIOD, rows, np.full(16, 0.08))) == ""
        rig.tick(7)
    assert np.linalg.norm(rig.poses[-1][:3, 3] - goal[:3, 3]) < 1e-4
    assert np.linalg.norm(rig.poses[-1] - goal) < 1e-3
    # The last chunk alone: the arm stays.
    rig.send(chunk_to(goal, 100, rig.now))
    rig.tick(60)
    assert np.linalg.norm(rig.poses[-1][:3, 3] - goal[:3, 3]) < 1e-4


CONTRACT = ActionContract(
    reference_camera="scene",
    tip_frame="fr3_hand_tcp",
    control_period=PERIOD,
    horizon=16,
    cameras=(CameraSpec("scene", 64, 48),),
    proprioception=(),
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tip_frame": "fr3_link8"}, "tip_frame: 'fr3_link8' / 'fr3_hand_tcp'"),
        ({"mode": "delta"}, "mode: 'delta' / 'absolute'"),
        ({"position_unit": "mm"}, "position_unit: 'mm' / 'm'"),
        ({"control_period": 0.1}, "control_period: 0.1 s / 0.06"),
        ({"horizon": 12}, "horizon: 12 / 16 rows"),
        (None, "carries none"),
    ],
)
def test_a_chunk_of_another_contract_is_refused_naming_both_sides(changes: dict | None, words: str) -> None:
    rig = Rig(executable=Executable("fr3_hand_tcp"))
    contract = None if changes is None else dataclasses.replace(CONTRACT, **changes)
    with pytest.raises(ContractMismatch, match=words):
        rig.executor.accept_chunk(dataclasses.replace(line(0.1, 1, 0.0), contract=contract), 0.0)
    assert rig.executor.state is State.IDLE
    rig.executor.accept_chunk(dataclasses.replace(line(0.1, 1, 0.0), contract=CONTRACT), 0.0)


def test_the_first_reason_of_an_end_is_recorded_once() -> None:
    rig = Rig()
    rig.send(line(0.1, 1, 0.0))
    rig.tick(30)
    rig.executor.hold("no camera", rig.now)
    rig.executor.hold("no depth", rig.now)
    rig.tick(3)
    rig.executor.hold("no TF", rig.now)
    assert rig.executor.hold_reason == "no camera"
    assert [(ending.reason, ending.latched) for ending in rig.executor.endings] == [("no camera", False)]
    rig.executor.stop("stopped by instruction", rig.now)
    rig.executor.stop("stopped again", rig.now)
    assert rig.executor.hold_reason == "stopped by instruction"
    assert [ending.reason for ending in rig.executor.endings] == ["no camera", "stopped by instruction"]


def test_an_arm_that_is_turned_away_from_its_command_is_held() -> None:
    rig = Rig()
    rig.send(line(0.1, 1, 0.0))
    rig.tick(30)
    turned = rig.executor.base_from_tip
    turned[:3, :3] = turned[:3, :3] @ Rotation.from_euler("z", 0.4).as_matrix()
    rig.executor.measure(turned, rig.now)
    assert rig.executor.state is State.RAMPING
    assert "0.40 rad away from where it was commanded" in rig.executor.hold_reason


def test_limits_that_brake_too_slowly_for_a_hold_are_refused() -> None:
    with pytest.raises(ValueError, match=r"brake to rest within 0\.6 s, these may take 1\..* lower linear_velocity"):
        Rig(Limits(linear_velocity=1.0))
    with pytest.raises(ValueError, match="angular limits"):
        Rig(Limits(angular_velocity=2.5, angular_acceleration=2.0, angular_step=0.5))


@pytest.mark.parametrize(
    "values",
    [
        {"period": 0.05},
        {"patience": 0.0},
        {"following_error": 0.0},
        {"seam": "smooth"},
        {"seam_tolerance": 0.0},
    ],
)
def test_settings_refuse_what_makes_no_sense(values: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Settings(**values)


def test_a_clock_that_jumps_back_or_far_ahead_moves_nothing_faster() -> None:
    rig = Rig()
    rig.send(chunk_to(pose(0.7, 0.0, 0.2), 1, 0.0, rows=400))
    rig.tick(30)
    before = rig.executor.base_from_tip
    rig.executor.tick(rig.now + 20.0)
    assert np.linalg.norm(rig.executor.base_from_tip[:3, 3] - before[:3, 3]) <= 0.25 * TICK + TOLERANCE
    rig.executor.tick(1.0)
    assert rig.executor.state in (State.RAMPING, State.HOLDING)


def test_gripper_goals_are_few_and_one_at_a_time() -> None:
    gate = GripperGate(threshold=0.01)
    assert gate.offer(0.08, busy=False) == pytest.approx(0.08)
    assert gate.offer(0.075, busy=False) is None
    assert gate.offer(0.02, busy=True) is None
    assert gate.offer(0.02, busy=False) == pytest.approx(0.02)
    assert gate.offer(-1.0, busy=False) == pytest.approx(0.0)
    assert gate.offer(float("nan"), busy=False) is None


def test_replanning_faster_than_the_rows_keeps_the_planned_speed() -> None:
    """A policy whose every chunk starts at the tip it saw and moves at 0.13 m/s: the arm must move at that speed.

    The tip it saw is where an arm is that follows its setpoints as late as the settings say.
    """
    rig = Rig()
    behind = 8  # ticks between an image and its chunk
    lag = round(rig.executor.settings.lead / TICK)
    for identifier in range(1, 25):
        seen = rig.poses[max(len(rig.poses) - 1 - behind - lag, 0)]
        rows = np.tile(seen, (16, 1, 1))
        rows[:, 1, 3] += 0.13 * PERIOD * (np.arange(16) + 1)
        chunk = BaseChunk(identifier, rig.now - behind * TICK, PERIOD, rows, np.full(16, 0.08))
        assert rig.send(chunk) == ""
        rig.tick(7)
    speed = (rig.poses[-1][1, 3] - rig.poses[-71][1, 3]) / (70 * TICK)
    assert speed == pytest.approx(0.13, rel=0.1)
