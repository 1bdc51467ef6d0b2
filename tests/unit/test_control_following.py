"""An arm that stands while its command goes on is stopped for a person to see to; one that was moved is only held."""

from __future__ import annotations

import numpy as np

from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.executor import Executor, Settings, State
from vipa_policy.control.limits import Limits
from vipa_policy.geometry import Array

PERIOD, CHUNK_PERIOD = 0.01, 1.0 / 15.0
LOOKS = 5  # setpoints between two looks


def pose(y: float) -> Array:
    made = np.eye(4)
    made[:3, :3] = np.diag([1.0, -1.0, -1.0])
    made[:3, 3] = (0.5, y, 0.3)
    return made


def drive(executor: Executor, seconds: float, measured: float | None = None) -> None:
    """Stream, with fresh chunks to 0.4 m aside, and look at an arm that stands, or at one that follows."""
    for step in range(round(seconds / PERIOD)):
        now = executor._time + PERIOD
        if step % 7 == 0 and not executor.stopped:
            way = np.linspace(0.0, 0.2, 16)
            rows = np.array([pose(executor.base_from_tip[1, 3] + part) for part in way])
            executor.accept_chunk(BaseChunk(step + 1, now - 0.01, CHUNK_PERIOD, rows, np.full(16, 0.08)), now)
        executor.tick(now)
        if step % LOOKS == 0:
            executor.measure(executor.base_from_tip if measured is None else pose(measured), now)


def test_an_arm_that_does_not_follow_is_stopped() -> None:
    executor = Executor(Limits(), Settings(period=PERIOD), pose(-0.3), 0.0)
    drive(executor, 1.5, measured=-0.3)
    assert executor.stopped
    assert "does not move: see to the driver" in executor.endings[0].reason
    assert len(executor.endings) == 1  # it did not set out again
    assert executor.base_from_tip[1, 3] + 0.3 < 0.1
    executor.resume(pose(-0.3), executor._time)
    assert np.allclose(executor.base_from_tip, pose(-0.3))


def test_an_arm_that_was_moved_is_held_and_goes_on() -> None:
    executor = Executor(Limits(), Settings(period=PERIOD), pose(-0.3), 0.0)
    drive(executor, 0.5)
    assert executor.state is State.FOLLOWING
    executor.measure(pose(executor.base_from_tip[1, 3] + 0.1), executor._time)
    assert executor.state is State.RAMPING
    assert not executor.stopped
