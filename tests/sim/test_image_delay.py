"""The pictures' delay on pictures of the simulated cell, sensor noise and all, stamped late by what the test knows."""

from __future__ import annotations

import numpy as np
import pytest

from vipa_policy.geometry import Array
from vipa_policy.image_delay import DelayEstimator
from vipa_sim.cell import SCENE, Cell, CellConfig
from vipa_sim.scene import sample_layout

pytestmark = pytest.mark.sim

SECONDS, TICK = 10.0, 0.0133
TICKS_A_PICTURE, TICKS_A_POSE = 5, 2

Record = tuple[list[tuple[float, Array, Array]], list[tuple[float, np.ndarray]]]


def wander(cell: Cell) -> Record:
    """Let the arm go from place to place at up to 0.25 m/s; returns poses and pictures."""
    random = np.random.default_rng(4)
    target = cell.base_from_tip
    start = goal = target[:3, 3].copy()
    begun, duration, time = 0.0, 0.1, 0.0
    record: Record = ([], [])
    for tick in range(round(SECONDS / TICK)):
        if time >= begun + duration:
            start, begun = goal, time
            goal = np.array([random.uniform(0.4, 0.65), random.uniform(-0.2, 0.2), random.uniform(0.1, 0.35)])
            duration = 1.875 * float(np.linalg.norm(goal - start)) / 0.25
        share = (time - begun) / duration
        target[:3, 3] = start + share**3 * (10 - 15 * share + 6 * share**2) * (goal - start)
        cell.set_target(target)
        cell.step(TICK)
        time = cell.time
        if tick % TICKS_A_POSE == 0:
            record[0].append((time, cell.base_from_tip, cell.world_from_camera(SCENE)))
        if tick % TICKS_A_PICTURE == 0:
            record[1].append((time, cell.capture(SCENE).rgb))
    return record


@pytest.fixture(scope="module")
def record() -> Record:
    cell = Cell(CellConfig(160, 120))
    cell.reset(sample_layout(1, False))
    return wander(cell)


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.06])
def test_a_known_delay_is_recovered_within_some_milliseconds(record: Record, delay: float) -> None:
    estimator = DelayEstimator()
    for time, tip, eye in record[0]:
        estimator.pose(time, tip, eye)
    for time, picture in record[1]:
        estimator.picture(time + delay, picture)
    found = estimator.estimate()
    assert found is not None
    assert abs(found.delay - delay) < 0.01
    assert found.deviation < 0.012
    assert found.confidence > 0.5
