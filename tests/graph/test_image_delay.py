"""What the policy node makes of pictures and TF between two predictions: a delay, and words where it is wrong."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from unit.test_image_delay import record

from vipa_policy.geometry import Array
from vipa_policy.nodes.delay_watch import DelayWatch

pytestmark = pytest.mark.graph


class KnownPoses:
    """Tells poses as TF would: those up to now."""

    def __init__(self, poses: list[tuple[float, Array, Array]]) -> None:
        self.reference = "scene"
        self.now = 0.0
        self._times = np.array([time for time, _, _ in poses])
        self._poses = [pose[1:] for pose in poses]

    def poses(self, stamp: float, frame: str) -> tuple[Array, Array] | None:
        assert frame == "camera"
        if not self._times[0] <= stamp <= self.now:
            return None
        return self._poses[int(np.abs(self._times - stamp).argmin())]


def watch(delay: float, **values: float) -> DelayWatch:
    """Show a recording whose pictures are stamped late, each 50 ms after it was taken."""
    poses, pictures = record(3)
    known = KnownPoses(poses)
    values = {"image_delay": 0.0, "delay_tolerance": 0.025, **values}
    made = DelayWatch(known, values, clock=lambda: known.now)  # type: ignore[arg-type]
    for time, picture in pictures:
        known.now = time + 0.05
        view = SimpleNamespace(name="scene", rgb=picture)
        stamp = time + delay - values["image_delay"]
        observed: Any = SimpleNamespace(
            header=SimpleNamespace(frame_id="camera"), observation=SimpleNamespace(views=(view,), stamp=stamp)
        )
        made.take(observed)
        made.work()
    return made


def test_a_delay_is_told_and_warned_of_with_the_value_to_set() -> None:
    made = watch(0.06)
    assert made.estimate is not None
    assert made.estimate.delay == pytest.approx(0.06, abs=0.01)
    assert "later than they were taken, image_delay takes +0.000 s of that away; set it to 0.0" in made.warning


def test_a_delay_that_is_taken_away_is_told_in_full_and_no_longer_warned_of() -> None:
    made = watch(0.06, image_delay=0.06)
    assert made.estimate is not None
    assert made.estimate.delay == pytest.approx(0.06, abs=0.01)
    assert made.warning == ""


def test_stamps_that_are_right_are_not_warned_of() -> None:
    made = watch(0.0)
    assert made.estimate is not None
    assert made.warning == ""
