"""The experts carried out in physics, without a graph: what the cell and the experts are good for together.

python -m vipa_sim.rehearsal --task pick --number 40
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

import numpy as np

from vipa_sim.cell import Cell, CellConfig
from vipa_sim.experts import TASKS, plan
from vipa_sim.judge import Judge, TrialStatus
from vipa_sim.scene import sample_layout

CONTROL_PERIOD = 1.0 / 15.0
TIME_LIMIT = 15.0


def rehearse(
    cell: Cell,
    task: str,
    target: str,
    bowl: str | None,
    time_limit: float = TIME_LIMIT,
    watch: Callable[[TrialStatus], None] | None = None,
) -> TrialStatus:
    """Carry an expert out from the cell's present state, planning anew at every control period, and judge it.

    Args:
        cell: in a layout that holds target and bowl.
        task: "reach", "pick" or "place".
        target: name of a block.
        bowl: name of a bowl, for "place".
        time_limit: s of simulated time.
        watch: called after every control period, for pictures.
    """
    judge = Judge(task, target, bowl if task == "place" else None, time_limit)
    status = judge.update(cell.snapshot())
    commanded = cell.gripper_goal
    while not status.finished:
        rows = plan(task, cell.snapshot(), target, bowl, CONTROL_PERIOD, 1)
        if rows.gripper[0] != commanded:
            commanded = float(rows.gripper[0])
            cell.set_gripper(commanded)
        cell.set_target(rows.base_from_tip[0])
        cell.step(CONTROL_PERIOD)
        status = judge.update(cell.snapshot())
        if watch is not None:
            watch(status)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse a task on many layouts, half of them held out, and print how it went."""
    parser = argparse.ArgumentParser(description="Let a scripted expert do its task in physics on many layouts.")
    parser.add_argument("--task", choices=TASKS, default="reach", help="what to do")
    parser.add_argument("--number", type=int, default=20, help="layouts")
    parser.add_argument("--seed", type=int, default=0, help="first layout")
    options = parser.parse_args(arguments)
    cell = Cell(CellConfig())
    results = []
    for seed in range(options.seed, options.seed + options.number):
        layout = sample_layout(seed, held_out=seed % 2 == 1)
        cell.reset(layout)
        target, bowl = layout.blocks[seed % len(layout.blocks)].name, layout.bowls[-1].name
        results.append(rehearse(cell, options.task, target, bowl))
        if not results[-1].succeeded:
            print(f"layout {seed}{' held out' if layout.held_out else ''}: {results[-1]}")
    succeeded = sum(result.succeeded for result in results)
    elapsed = float(np.median([result.elapsed for result in results]))
    print(f"{options.task}: {succeeded}/{options.number}, median {elapsed:.1f} s")
    print(
        json.dumps(
            {"task": options.task, "n": options.number, "success": succeeded, "median_elapsed_s": round(elapsed, 3)}
        )
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
