"""A bumped camera is noticed, a still one is not, however long it is looked at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.board_scene import BOARD, LENS, Rig

from vipa_policy import geometry
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.calibration.watch import BumpWatch, Verdict, WatchSettings, deviation

SETTINGS = WatchSettings()


def bump(turn: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    """The camera's new pose in its old one: degrees, mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    matrix[:3, 3] = np.array(shift) / 1000.0
    return matrix


def look(rig: Rig, watch: BumpWatch, now: float, bumped: np.ndarray | None = None, noise: float = 0.2) -> Verdict:
    """Compare one picture at a random pose of the arm; the arm's own error is a millimetre or two."""
    seen = rig.camera_from_board(rig.random.normal(0.0, 0.3, 3))
    hand = rig.hand_for(seen)
    if bumped is not None:
        seen = geometry.inverse(bumped) @ seen
    arm_error = rig.random.normal(0.0, 0.0006, 3)
    hand = hand.copy()
    hand[:3, 3] += arm_error
    return watch.compare(deviation(BOARD, rig.view(seen, noise), LENS, rig.where_board_is(hand)), now)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_still_camera_raises_no_alarm(mode: Mode) -> None:
    rig, watch = Rig(mode, 0), BumpWatch(SETTINGS)
    verdicts = [look(rig, watch, 0.5 * count) for count in range(2000)]
    assert verdicts[:4] == [Verdict.UNKNOWN] * 4
    # A quarter of an hour, without one false alarm.
    assert set(verdicts[4:]) == {Verdict.IN_PLACE}
    assert watch.deviation < 0.5 * SETTINGS.tolerance


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize(
    ("turn", "shift"),
    [
        ((1.5, 0.0, 0.0), (0, 0, 0)),
        ((0.0, -1.5, 0.0), (0, 0, 0)),
        ((0.0, 0.0, 6.0), (0, 0, 0)),
        ((0, 0, 0), (12, 0, 0)),
    ],
)
def test_a_bumped_camera_is_noticed_soon(
    mode: Mode, turn: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    rig, watch = Rig(mode, 1), BumpWatch(SETTINGS)
    for count in range(10):
        look(rig, watch, 0.5 * count)
    verdicts = [look(rig, watch, 0.5 * (10 + count), bump(turn, shift)) for count in range(SETTINGS.window)]
    assert verdicts[-1] is Verdict.BUMPED
    assert verdicts[0] is Verdict.IN_PLACE  # one picture alone decides nothing
    later = [look(rig, watch, 0.5 * (20 + count)) for count in range(SETTINGS.window)]
    assert later[-1] is Verdict.IN_PLACE  # it was put back


def test_misread_pictures_do_not_alarm() -> None:
    watch = BumpWatch(SETTINGS)
    for count in range(200):
        value = 0.5 if count % 3 == 0 else 0.001
        assert watch.compare(value, float(count)) is not Verdict.BUMPED


def test_old_comparisons_do_not_count() -> None:
    watch = BumpWatch(SETTINGS)
    for count in range(5):
        watch.compare(0.001, float(count))
    assert watch.verdict(5.0) is Verdict.IN_PLACE
    assert watch.verdict(5.0 + SETTINGS.patience) is Verdict.UNKNOWN
    assert math.isnan(watch.deviation)
    # A clock that jumped back must not keep the future's comparisons either.
    for count in range(5):
        watch.compare(0.001, 1000.0 + count)
    assert watch.verdict(0.0) is Verdict.UNKNOWN


def test_a_bump_is_not_forgotten_when_the_board_is_out_of_sight() -> None:
    watch = BumpWatch(SETTINGS)
    for count in range(5):
        watch.compare(0.05, float(count))
    assert watch.verdict(1000.0) is Verdict.BUMPED
    # Just below the tolerance is not back in its place yet.
    for count in range(5):
        assert watch.compare(0.9 * SETTINGS.tolerance, 1001.0 + count) is Verdict.BUMPED
    for count in range(5):
        verdict = watch.compare(0.5 * SETTINGS.tolerance, 1010.0 + count)
    assert verdict is Verdict.IN_PLACE


@given(shift=st.floats(-0.03, 0.03), seed=st.integers(0, 1000))
def test_the_deviation_is_in_metres_at_the_board(shift: float, seed: int) -> None:
    rig = Rig(Mode.EYE_TO_HAND, seed)
    must = rig.camera_from_board((0.1, -0.2, 0.3))
    seen = must.copy()
    seen[0, 3] += shift
    assert deviation(BOARD, rig.view(seen, 0.0), LENS, must) == pytest.approx(abs(shift), abs=1e-9)


def test_a_board_that_must_be_behind_the_camera_deviates_beyond_measure() -> None:
    rig = Rig(Mode.EYE_TO_HAND, 0)
    seen = rig.camera_from_board((0.0, 0.0, 0.0))
    behind = seen.copy()
    behind[2, 3] = -1.0
    assert deviation(BOARD, rig.view(seen, 0.0), LENS, behind) == math.inf


def test_settings_that_mean_nothing_are_refused() -> None:
    for wrong in ({"tolerance": 0.0}, {"window": 0}, {"patience": math.nan}):
        with pytest.raises(ValueError, match="expected tolerance"):
            WatchSettings(**wrong)
