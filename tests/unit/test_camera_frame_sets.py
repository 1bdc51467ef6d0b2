"""Which of librealsense's sets of frames are handed out, on made-up sets whose order the test decides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vipa_policy.camera.clock import ClockMap
from vipa_policy.camera.driver import FrameError
from vipa_policy.camera.frame_sets import Counters, FrameSets

RS = SimpleNamespace(
    format=SimpleNamespace(rgb8="rgb8", bgr8="bgr8"),
    frame_metadata_value=SimpleNamespace(frame_timestamp="frame", sensor_timestamp="sensor"),
)
SYSTEM = SimpleNamespace(name="system_time")
PERIOD = 100.0  # ms between two frames of a stream


class FakeFrame:
    """A frame whose pixels follow from its number."""

    def __init__(self, number: int, form: str, timestamp: float) -> None:
        self.number, self.timestamp = number, timestamp
        self.profile = SimpleNamespace(format=lambda: form)
        shape, kind = ((4, 6), np.uint16) if form == "z16" else ((4, 6, 3), np.uint8)
        self.pixels = np.arange(np.prod(shape)).reshape(shape).astype(kind) + kind(number)

    def get_frame_number(self) -> int:
        return self.number

    def get_data(self) -> Any:
        return self.pixels

    def get_timestamp(self) -> float:
        return self.timestamp

    def get_frame_timestamp_domain(self) -> Any:
        return SYSTEM

    def supports_frame_metadata(self, kind: str) -> bool:
        return False


def make_set(colour: int | None, depth: int | None, form: str = "rgb8", late: float = 0.0) -> Any:
    """A set of these frame numbers; None is a stream that is silent, ``late`` (ms) that of depth."""
    halves = (
        colour and FakeFrame(colour, form, PERIOD * colour),
        depth and FakeFrame(depth, "z16", PERIOD * depth + late),
    )
    return SimpleNamespace(get_color_frame=lambda: halves[0], get_depth_frame=lambda: halves[1])


def judge(slop: float = 0.02, align: Any = None) -> tuple[FrameSets, Counters]:
    counters = Counters()
    take_depth = align or (lambda frames: frames.get_depth_frame().pixels)
    return FrameSets(RS, take_depth, lambda frames: frames, ClockMap(), slop, counters), counters


def handed_out(sets: FrameSets, numbers: list[tuple[int | None, int | None]]) -> list[tuple[int, int]]:
    """Numbers of colour and depth of what is handed out of these sets."""
    frames = [sets.take(make_set(*pair), 0.0) for pair in numbers]
    return [(frame.number, int(frame.depth[0, 0])) for frame in frames if frame is not None]


@pytest.mark.parametrize("slop", [0.02, 0.15])
def test_each_half_is_handed_out_once_however_wide_the_slop(slop: float) -> None:
    sets, _ = judge(slop)
    stream = [(1, 1), (2, 1), (2, 2), (2, 3), (3, 3), (3, 3), (4, 3), (4, 4)]
    given = handed_out(sets, stream)
    for half in zip(*given, strict=True):
        assert sorted(set(half)) == list(half)
    assert given[0] == (1, 1)


def test_of_sets_that_share_a_half_the_one_of_one_instant_is_taken() -> None:
    sets, counters = judge()
    assert handed_out(sets, [(1, 1), (1, 2), (2, 2), (3, 2), (3, 3)]) == [(1, 1), (2, 2), (3, 3)]
    assert counters.unpaired == 0
    assert sets.trouble == ""


def test_colour_without_its_depth_is_counted_when_it_is_over() -> None:
    sets, counters = judge()
    assert handed_out(sets, [(1, 1), (2, 1), (3, 3)]) == [(1, 1), (3, 3)]
    assert (counters.unpaired, counters.depth_missed, counters.colour_missed) == (1, 1, 0)


def test_a_silent_stream_is_named() -> None:
    sets, _ = judge()
    assert handed_out(sets, [(1, None)]) == []
    assert sets.trouble == "only colour comes, the other stream is silent"
    assert handed_out(sets, [(None, 1)]) == []
    assert sets.trouble == "only depth comes, the other stream is silent"


def test_skew_within_the_slop_is_told_with_the_frame() -> None:
    sets, _ = judge()
    frame = sets.take(make_set(1, 1, late=15.0), 0.0)
    assert frame is not None
    assert frame.skew == pytest.approx(0.015)
    assert sets.take(make_set(2, 2, late=25.0), 0.0) is None
    assert sets.trouble == "depth is +0.025 s from colour, more than the slop of 0.02 s"


def test_blue_first_is_turned_round() -> None:
    sets, _ = judge()
    frame = sets.take(make_set(1, 1, form="bgr8"), 0.0)
    assert frame is not None
    np.testing.assert_array_equal(frame.rgb[0, 0], [3, 2, 1])


def test_a_frame_that_cannot_be_aligned_costs_that_frame_only() -> None:
    def align(frames: Any) -> Any:
        depth = frames.get_depth_frame()
        if depth.number == 2:
            raise RuntimeError("out of frames")
        return depth.pixels

    sets, _ = judge(align=align)
    assert handed_out(sets, [(1, 1)]) == [(1, 1)]
    with pytest.raises(FrameError, match="depth of frame 2 cannot be filtered: out of frames"):
        sets.take(make_set(2, 2), 0.0)
    assert handed_out(sets, [(3, 3)]) == [(3, 3)]


def test_frames_dated_backwards_are_withheld() -> None:
    sets, counters = judge()
    assert handed_out(sets, [(5, 5), (4, 4), (6, 6)]) == [(5, 5), (6, 6)]
    assert counters.backwards == 1
