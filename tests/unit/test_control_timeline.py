"""Chunks on the timeline: when rows are due, what lies between them, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vipa_policy.control.timeline import BaseChunk, Timeline
from vipa_policy.errors import ChunkError

PERIOD = 0.1


def line(stamp: float, start: float = 0.0, speed: float = 0.1, rows: int = 8, identifier: int = 1) -> BaseChunk:
    """A chunk that moves in x at a speed, reaching start + speed * t at t after capture, and turns at 0.2 rad/s."""
    due = (np.arange(rows) + 1) * PERIOD
    poses = np.tile(np.eye(4), (rows, 1, 1))
    poses[:, 0, 3] = start + speed * due
    poses[:, :3, :3] = Rotation.from_rotvec(np.outer(0.2 * due, [0.0, 0.0, 1.0])).as_matrix()
    return BaseChunk(identifier, stamp, PERIOD, poses, np.linspace(0.08, 0.0, rows))


def test_rows_lie_at_capture_plus_one_period_each() -> None:
    timeline = Timeline(crossfade=0.0)
    timeline.accept(line(10.0), now=10.0)
    for time in (10.02, 10.07, 10.25, 10.3, 10.47, 10.7):  # the first two lie before the first row
        target = timeline.at(time)
        assert target.position[0] == pytest.approx(0.1 * (time - 10.0), abs=1e-9)
        assert target.velocity[0] == pytest.approx(0.1, abs=1e-9)
        assert target.rotation.as_rotvec()[2] == pytest.approx(0.2 * (time - 10.0), abs=1e-9)
        assert target.angular_velocity[2] == pytest.approx(0.2, abs=1e-9)


def test_after_the_last_row_it_rests_there() -> None:
    timeline = Timeline()
    timeline.accept(line(0.0), now=0.0)
    target = timeline.at(5.0)
    assert target.position[0] == pytest.approx(0.08)
    assert not target.velocity.any()


def test_position_is_continuously_differentiable_between_rows() -> None:
    chunk = line(0.0)
    chunk.base_from_tip[:, 1, 3] = np.sin(np.arange(8.0))
    timeline = Timeline(crossfade=0.0)
    timeline.accept(chunk, now=0.0)
    times = np.arange(0.11, 0.79, 1e-3)
    positions = np.array([timeline.at(t).position for t in times])
    velocities = np.array([timeline.at(t).velocity for t in times])
    numeric = (positions[2:] - positions[:-2]) / 2e-3
    assert np.abs(numeric - velocities[1:-1]).max() < 0.2
    assert np.abs(np.diff(velocities, axis=0)).max() < 1.0


def test_a_seam_does_not_jump_and_is_gone_after_the_crossfade() -> None:
    timeline = Timeline(crossfade=0.2)
    timeline.accept(line(0.0), now=0.0)
    before = timeline.at(0.3)
    timeline.accept(line(0.2, start=0.5, identifier=2), now=0.3)
    assert timeline.at(0.3).position == pytest.approx(before.position, abs=1e-12)
    assert (timeline.at(0.3).rotation * before.rotation.inv()).magnitude() < 1e-9
    assert timeline.at(0.5).position[0] == pytest.approx(0.5 + 0.1 * 0.3, abs=1e-9)


def test_consumed_rows_count_those_whose_time_has_come() -> None:
    chunk = line(1.0)
    assert [chunk.rows_due(now) for now in (0.5, 1.0, 1.0999, 1.1, 1.25, 1.8, 9.0)] == [0, 0, 0, 1, 2, 8, 8]
    timeline = Timeline()
    timeline.accept(chunk, now=1.0)
    poses, gripper = timeline.committed(1.25)
    assert len(poses) == len(gripper) == 6
    assert poses[0, 0, 3] == pytest.approx(0.03)


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
        (broken(gripper=np.zeros(3)), "expected poses"),
        (broken(base_from_tip=np.zeros((0, 4, 4)), gripper=np.zeros(0)), "expected poses"),
        (broken(period=0.0), "period above 0"),
        (broken(stamp=float("nan")), "finite stamp"),
        (broken(stamp=1.0), "future"),
        (broken(stamp=-5.0), "no newer"),
        (broken(stamp=-0.5), "no newer"),
    ],
)
def test_what_cannot_be_executed_is_refused_and_changes_nothing(chunk: BaseChunk, words: str) -> None:
    timeline = Timeline()
    timeline.accept(line(-0.5), now=0.0)
    held = timeline.at(0.1).position
    with pytest.raises(ChunkError, match=words):
        timeline.accept(chunk, now=0.0)
    assert timeline.at(0.1).position == pytest.approx(held)


def test_a_chunk_wholly_in_the_past_is_refused() -> None:
    with pytest.raises(ChunkError, match="wholly in the past"):
        Timeline().accept(line(0.0), now=0.8)
