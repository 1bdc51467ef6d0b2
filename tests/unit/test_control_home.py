"""The way home: it arrives within all limits, is broken off by anything, and is not begun where it must not be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.test_control_executor import START, TICK, Rig, chunk_to, pose
from vipa_policy.control.executor import State
from vipa_policy.control.limits import Box, Limits
from vipa_policy.errors import ChunkError

HOME = pose(0.6, -0.2, 0.2, 0.8)
inside = st.builds(pose, st.floats(0.3, 0.75), st.floats(-0.4, 0.4), st.floats(0.05, 0.55), st.floats(-1.5, 1.5))


def go(rig: Rig, home: np.ndarray = HOME, measured: np.ndarray = START) -> None:
    rig.executor.home(home, measured, rig.now)


@settings(deadline=None, max_examples=8)
@given(inside, st.floats(0.3, 1.0))
def test_it_arrives_within_every_limit(home: np.ndarray, speed: float) -> None:
    rig = Rig()
    rig.executor.speed = speed
    go(rig, home)
    for _ in range(40):
        rig.tick(100)
        if rig.executor.state is State.HOLDING:
            break
    assert rig.executor.hold_reason == "home: arrived"
    assert rig.executor.state is State.HOLDING
    assert np.linalg.norm(rig.poses[-1][:3, 3] - home[:3, 3]) < 0.0015
    assert np.abs(rig.poses[-1][:3, :3] - home[:3, :3]).max() < 0.01
    rig.assert_limits()


@pytest.mark.parametrize("what", ["hold", "stop", "disarm", "taken away"])
@settings(deadline=None, max_examples=4)
@given(ticks=st.integers(1, 120))
def test_anything_brakes_it(what: str, ticks: int) -> None:
    rig = Rig()
    executor = rig.executor
    executor.stopped = what == "stop"  # home may be gone to while a stop is latched, and stopped all the same
    go(rig)
    rig.tick(ticks)
    assert executor.state is State.HOMING
    if what == "taken away":
        executor.measure(pose(0.5, 0.3, 0.3), rig.now)
    else:
        getattr(executor, what)("enough", rig.now)
    assert executor.state is State.RAMPING
    rig.tick(60)
    assert executor.state is State.HOLDING
    assert "enough" in executor.hold_reason or "the tip is" in executor.hold_reason
    assert executor.endings[-1].reason == executor.hold_reason
    rig.assert_limits()


def test_it_is_refused_while_following_or_disarmed_and_chunks_while_it_goes() -> None:
    rig = Rig()
    rig.send(chunk_to(pose(0.5, 0.1, 0.3), 1, 0.0))
    rig.tick(5)
    with pytest.raises(ChunkError, match="following; stop it first"):
        go(rig)
    rig.executor.disarm("disarmed by test", rig.now)
    rig.tick(80)
    with pytest.raises(ChunkError, match="disarmed by test"):
        go(rig)
    rig.executor.arm(rig.executor.base_from_tip, rig.now)
    go(rig, HOME, rig.executor.base_from_tip)
    assert "on the way home" in rig.send(chunk_to(HOME, 2, rig.now))
    with pytest.raises(ChunkError, match="finite home pose"):
        Rig().executor.home(np.full((4, 4), np.nan), START, 0.0)


def test_a_box_in_the_way_ends_it_in_words() -> None:
    rig = Rig(Limits(stay_out=(Box((0.5, -0.45, 0.0), (0.6, 0.45, 0.6)),)))
    go(rig, pose(0.75, 0.0, 0.3))
    rig.tick(900)
    assert rig.executor.state is State.HOLDING
    assert "limits bar the straight way" in rig.executor.hold_reason
    assert np.array(rig.poses)[:, 0, 3].max() < 0.5


def test_disarmed_it_streams_nothing_and_arming_starts_from_the_measured_pose() -> None:
    rig = Rig()
    rig.send(chunk_to(pose(0.6, 0.1, 0.3), 1, 0.0))
    rig.tick(30)
    assert rig.executor.disarm("disarmed by test", rig.now)
    with pytest.raises(RuntimeError, match="still brakes"):
        rig.executor.arm(START, rig.now)
    rig.tick(60)
    sent = rig.sent
    rig.tick(20)
    assert rig.sent == sent
    rig.executor.stop("stopped by test", rig.now)
    rig.executor.resume(START, rig.now)  # neither words nor arm/resume arm it
    assert "disarmed by test" in rig.send(chunk_to(START, 2, rig.now))
    rig.executor.measure(pose(0.45, -0.1, 0.3), rig.now)
    moved = pose(0.45, -0.12, 0.3)
    rig.executor.arm(moved, rig.now)
    rig.tick(1)
    assert rig.sent == sent + 1
    assert np.allclose(rig.poses[-1], moved)
    assert TICK == 0.01
