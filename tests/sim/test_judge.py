"""The judge: what lasts half a second counts, what does not, does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vipa_sim.judge import Judge
from vipa_sim.scene import BOWL_DIAMETER, CellObject, CellSnapshot, pointing_down

pytestmark = pytest.mark.sim


def block(name: str, x: float, y: float, z: float) -> CellObject:
    pose = np.eye(4)
    pose[:3, 3] = (x, y, z)
    return CellObject(name, "block", name.split("_")[0], pose, pose[:3, 3], 0.04)


def bowl(x: float, y: float) -> CellObject:
    pose = np.eye(4)
    pose[:3, 3] = (x, y, 0.0)
    return CellObject("white_bowl", "bowl", "white", pose, pose[:3, 3] + (0.0, 0.0, 0.075), BOWL_DIAMETER)


def snapshot(
    time: float, tip: tuple[float, float, float], width: float = 0.08, red: tuple[float, float, float] = (0.5, 0, 0.02)
) -> CellSnapshot:
    objects = (block("red_block", *red), block("blue_block", 0.6, 0.1, 0.02), bowl(0.5, 0.15))
    return CellSnapshot(time, pointing_down(*tip, 0.0), width, objects)


def test_reach_must_be_held() -> None:
    judge = Judge("reach", "red_block", None, 10.0)
    assert not judge.update(snapshot(0.0, (0.5, 0.1, 0.02))).succeeded
    for time in (0.1, 0.3, 0.5):
        assert not judge.update(snapshot(time, (0.5, 0.019, 0.02))).finished
    # Away for an instant: counting starts anew.
    judge.update(snapshot(0.55, (0.5, 0.021, 0.02)))
    for time in (0.6, 0.8, 1.0):
        assert not judge.update(snapshot(time, (0.5, 0.010, 0.02))).finished
    status = judge.update(snapshot(1.1, (0.5, 0.012, 0.02)))
    assert status.succeeded
    assert status.finished
    assert status.elapsed == pytest.approx(1.1)
    assert judge.update(snapshot(5.0, (0.9, 0.9, 0.9))) == status, "a finished trial keeps its result"


def test_error_is_the_best_that_was_held() -> None:
    judge = Judge("reach", "red_block", None, 10.0)
    distances = [0.10, 0.05, 0.03, 0.001, 0.03, 0.04, 0.05, 0.025, 0.026, 0.027, 0.026, 0.025, 0.024]
    errors = [judge.update(snapshot(0.1 * i, (0.5, d, 0.02))).error for i, d in enumerate(distances)]
    assert all(math.isinf(error) for error in errors[:5])
    assert errors[5] == pytest.approx(0.10), "the first whole window"
    assert errors[12] == pytest.approx(0.027)
    # The lone closest instant does not count.
    assert min(errors) == pytest.approx(0.027)


def test_nearest_and_distance_tell_where_the_arm_went() -> None:
    judge = Judge("reach", "red_block", None, 10.0)
    status = judge.update(snapshot(0.0, (0.6, 0.1, 0.05)))
    assert status.nearest == "blue_block"
    assert status.distance == pytest.approx(math.dist((0.6, 0.1, 0.05), (0.5, 0.0, 0.02)))


def test_time_runs_out() -> None:
    judge = Judge("reach", "red_block", None, 2.0)
    judge.update(snapshot(10.0, (0.3, 0.0, 0.3)))
    assert not judge.update(snapshot(11.9, (0.3, 0.0, 0.3))).finished
    status = judge.update(snapshot(12.0, (0.3, 0.0, 0.3)))
    assert status.finished
    assert not status.succeeded


def test_pick_needs_lift_and_fingers() -> None:
    def lifted(width: float, offset: float, height: float) -> bool:
        judge = Judge("pick", "red_block", None, 10.0)
        judge.update(snapshot(0.0, (0.5, 0.0, 0.3)))
        status = None
        for time in (0.1, 0.4, 0.7):
            status = judge.update(snapshot(time, (0.5, offset, height), width, (0.5, 0.0, height)))
        assert status is not None
        return status.succeeded

    assert lifted(0.041, 0.0, 0.075)
    assert not lifted(0.041, 0.0, 0.065), "not high enough"
    assert not lifted(0.08, 0.0, 0.075), "thrown, not held"
    assert not lifted(0.041, 0.1, 0.075), "not between the fingers"


def test_place_needs_the_bowl_and_letting_go() -> None:
    def placed(width: float, red: tuple[float, float, float], tip: tuple[float, float, float]) -> bool:
        judge = Judge("place", "red_block", "white_bowl", 10.0)
        judge.update(snapshot(0.0, (0.5, 0.0, 0.3)))
        status = None
        for time in (0.1, 0.4, 0.7):
            status = judge.update(snapshot(time, tip, width, red))
        assert status is not None
        return status.succeeded

    assert placed(0.08, (0.5, 0.15, 0.026), (0.5, 0.15, 0.2))
    assert placed(0.08, (0.5, 0.16, 0.030), (0.5, 0.15, 0.075))
    assert not placed(0.041, (0.5, 0.15, 0.03), (0.5, 0.15, 0.03)), "still held"
    assert not placed(0.08, (0.5, 0.22, 0.02), (0.5, 0.15, 0.2)), "beside the bowl"
    assert not placed(0.08, (0.5, 0.15, 0.075), (0.5, 0.15, 0.2)), "above the bowl"


def test_bad_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a task"):
        Judge("throw", "red_block", None, 1.0)
    with pytest.raises(ValueError, match="time limit"):
        Judge("reach", "red_block", None, 0.0)
    with pytest.raises(ValueError, match="name of a bowl"):
        Judge("place", "red_block", None, 1.0)
    with pytest.raises(KeyError, match="pink_block"):
        Judge("reach", "pink_block", None, 1.0).update(snapshot(0.0, (0.5, 0.0, 0.3)))
