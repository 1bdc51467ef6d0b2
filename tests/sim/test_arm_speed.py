"""An arm that follows chunks begun at its measured pose keeps their speed, whatever the delay of the predictions."""

from __future__ import annotations

import pytest

from vipa_policy.control.executor import Executor, Settings
from vipa_policy.control.limits import Limits
from vipa_policy.control.timeline import BaseChunk
from vipa_sim import experts
from vipa_sim.cell import Cell, CellConfig
from vipa_sim.judge import Judge, TrialStatus
from vipa_sim.scene import sample_layout

pytestmark = pytest.mark.sim

PERIOD = 1.0 / 15.0


@pytest.fixture(scope="module")
def cell() -> Cell:
    return Cell(CellConfig(image_width=32, image_height=24))


def reach(cell: Cell, delay: float, limit: float) -> TrialStatus:
    """Let the expert's chunks, each ``delay`` s old when it arrives, drive the simulated arm."""
    cell.reset(sample_layout(1, True))
    target = cell.layout.blocks[0].name
    executor = Executor(Limits(), Settings(), cell.base_from_tip, cell.time)
    judge = Judge("reach", target, None, limit)
    arriving: list[tuple[float, BaseChunk]] = []
    next_picture, identifier = cell.time, 0
    while not (status := judge.update(cell.snapshot())).finished:
        if cell.time >= next_picture - 1e-9:
            next_picture += PERIOD
            identifier += 1
            rows = experts.plan("reach", cell.snapshot(), target, None, PERIOD, 16)
            chunk = BaseChunk(identifier, cell.time, PERIOD, rows.base_from_tip, rows.gripper)
            arriving.append((cell.time + delay, chunk))
        while arriving and arriving[0][0] <= cell.time + 1e-9:
            executor.accept_chunk(arriving.pop(0)[1], cell.time)
        setpoint = executor.tick(cell.time)
        if setpoint is not None:
            cell.set_target(setpoint.base_from_tip)
        cell.step(0.012)
    return status


@pytest.mark.parametrize("delay", [0.01, 0.15])
def test_a_reach_takes_as_long_as_the_expert_means_it_to(cell: Cell, delay: float) -> None:
    status = reach(cell, delay, limit=5.0)
    assert status.succeeded
    assert status.distance < 0.005
