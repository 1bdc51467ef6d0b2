"""Experts: they succeed in physics, obey their limits, sweep nothing aside, and depend on the state alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from vipa_policy import geometry
from vipa_sim.cell import Cell
from vipa_sim.experts import (
    ANGULAR_SPEED,
    OPEN,
    SPEED,
    TASKS,
    grasp_pose,
    instruction,
    parse_instruction,
    plan,
)
from vipa_sim.rehearsal import rehearse
from vipa_sim.scene import BOWLS, COLOURS, pointing_down, sample_layout

pytestmark = pytest.mark.sim
PERIOD = 1.0 / 15.0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("seed", range(4))
def test_experts_succeed_in_physics(cell: Cell, task: str, seed: int) -> None:
    layout = sample_layout(100 + seed, seed % 2 == 0)
    cell.reset(layout)
    status = rehearse(cell, task, layout.blocks[seed % 3].name, layout.bowls[-1].name)
    assert status.succeeded, status
    if task == "reach":
        others = {item.name: item.grasp_point for item in cell.objects() if item.kind == "block"}
        for block in layout.blocks:
            assert np.linalg.norm(others[block.name][:2] - (block.x, block.y)) < 0.005, "a block was pushed"


def test_reach_ends_at_the_grasp_point_and_stays(cell: Cell) -> None:
    target = cell.objects()[2]
    rows = plan("reach", cell.snapshot(), target.name, None, PERIOD, 150)
    assert np.allclose(rows.base_from_tip[-1], grasp_pose(target), atol=1e-3)
    assert np.allclose(rows.base_from_tip[-20:], rows.base_from_tip[-1], atol=2e-3)
    assert np.all(rows.gripper == OPEN)


@pytest.mark.parametrize("task", TASKS)
def test_plans_obey_their_limits_from_anywhere(cell: Cell, task: str) -> None:
    random = np.random.default_rng(3)
    state = cell.snapshot()
    bowl = next(item.name for item in state.objects if item.kind == "bowl")
    for _ in range(15):
        x, y, z = random.uniform((0.30, -0.25, 0.015), (0.78, 0.25, 0.40))
        tip = pointing_down(x, y, z, float(random.uniform(-0.8, 0.8)))
        start = replace(state, base_from_tip=tip, gripper_width=float(random.uniform(0.0, 0.08)))
        target = state.objects[int(random.integers(3))].name
        rows = plan(task, start, target, bowl, PERIOD, 40)
        path = np.concatenate([tip[None], rows.base_from_tip])
        steps = np.abs(np.diff(path[:, :3, 3], axis=0)) / PERIOD
        assert steps.max() <= SPEED + 1e-9
        turns = [geometry.rotation_angle(first, second) for first, second in itertools.pairwise(path)]
        assert max(turns) / PERIOD <= ANGULAR_SPEED + 1e-6
        assert np.all((rows.gripper >= 0.0) & (rows.gripper <= OPEN))
        assert all(geometry.is_rotation(pose) for pose in rows.base_from_tip)


def test_tip_is_never_low_far_from_its_goal(cell: Cell) -> None:
    state = cell.snapshot()
    target, other = state.objects[0], state.objects[1]
    # Around another block, low: it must rise before it goes sideways.
    start = replace(state, base_from_tip=grasp_pose(other))
    rows = plan("reach", start, target.name, None, PERIOD, 120)
    offset = rows.base_from_tip[:, :3, 3] - target.grasp_point
    distance = np.linalg.norm(offset[:, :2], axis=1)
    from_other = np.linalg.norm(rows.base_from_tip[:, :2, 3] - other.grasp_point[:2], axis=1)
    between = (distance > 0.03) & (from_other > 0.01)
    assert between.any()
    assert offset[between, 2].min() > 0.04


def test_plan_is_a_function_of_the_state_alone(cell: Cell) -> None:
    """A plan and the tail of an earlier plan agree where the arm does as it is told."""
    state = cell.snapshot()
    bowl = next(item.name for item in state.objects if item.kind == "bowl")
    for task in TASKS:
        long = plan(task, state, state.objects[0].name, bowl, PERIOD, 30)
        again = plan(task, state, state.objects[0].name, bowl, PERIOD, 30)
        assert np.array_equal(long.base_from_tip, again.base_from_tip)
        later = replace(state, base_from_tip=long.base_from_tip[9])
        tail = plan(task, later, state.objects[0].name, bowl, PERIOD, 20)
        assert np.allclose(tail.base_from_tip, long.base_from_tip[10:], atol=1e-9)
        assert np.array_equal(tail.gripper, long.gripper[10:])


def test_closed_fingers_do_not_come_down_on_a_block(cell: Cell) -> None:
    state = cell.snapshot()
    target = state.objects[0]
    above = grasp_pose(target)
    above[2, 3] += 0.08
    start = replace(state, base_from_tip=above, gripper_width=0.0)
    first = plan("pick", start, target.name, None, PERIOD, 1)
    assert first.gripper[0] == OPEN
    assert first.base_from_tip[0, 2, 3] >= above[2, 3]


def test_instructions_and_their_inverse() -> None:
    for colour in COLOURS:
        for task in ("reach", "pick"):
            words = parse_instruction(instruction(task, colour))
            assert (words.task, words.colour, words.bowl) == (task, colour, None)
        for bowl in BOWLS:
            words = parse_instruction(instruction("place", colour, bowl))
            assert (words.task, words.colour, words.bowl) == ("place", colour, bowl)
    for nonsense in ("", "reach the pink block", "reach the red block now", "put the red block in the red bowl"):
        with pytest.raises(ValueError, match="expected words like"):
            parse_instruction(nonsense)
    with pytest.raises(ValueError, match="expected a task"):
        instruction("throw", "red")
    with pytest.raises(ValueError, match="colour of a bowl"):
        instruction("place", "red")


def test_unknown_task_and_target_are_refused(cell: Cell) -> None:
    with pytest.raises(ValueError, match="expected a task"):
        plan("throw", cell.snapshot(), "red_block", None, PERIOD, 1)
    with pytest.raises(KeyError, match="pink_block"):
        plan("reach", cell.snapshot(), "pink_block", None, PERIOD, 1)
