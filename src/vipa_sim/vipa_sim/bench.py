"""How long the cell takes for what it does.

python -m vipa_sim.bench [--width 640 --height 480]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import numpy as np

from vipa_sim.camera import NoiseConfig, add_noise
from vipa_sim.cell import SCENE, Cell, CellConfig
from vipa_sim.experts import grasp_pose, plan

REPEATS = 40


def milliseconds(action: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the smallest time of an action in ms."""
    action()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times)), float(np.min(times))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is JSON, ms as [median, smallest]."""
    parser = argparse.ArgumentParser(description="Measure drawing, noise, physics and planning of the cell.")
    parser.add_argument("--width", type=int, default=320, help="px")
    parser.add_argument("--height", type=int, default=240, help="px")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    cell = Cell(CellConfig(image_width=options.width, image_height=options.height))
    build = time.perf_counter() - start
    rgb, depth = cell.render(SCENE)
    block = cell.objects()[0]
    state = cell.snapshot()
    goals = [grasp_pose(item) for item in cell.objects() if item.kind == "block"]
    turn = iter(range(10**6))

    def drive() -> None:
        # A new target every 10 ms, as the arm node sends them.
        goal = goals[next(turn) // 20 % len(goals)]
        for _ in range(10):
            cell.set_target(goal)
            cell.step(0.01)

    figures = {
        "draw_ms": milliseconds(lambda: cell.render(SCENE)),
        "noise_ms": milliseconds(lambda: add_noise(rgb, depth, NoiseConfig(), 0, SCENE, 0)),
        "capture_ms": milliseconds(lambda: cell.capture(SCENE)),
        "physics_of_100_ms_ms": milliseconds(drive),
        "plan_of_16_rows_ms": milliseconds(lambda: plan("reach", state, block.name, None, 1.0 / 15.0, 16)),
    }
    for name, (median, smallest) in figures.items():
        print(f"{name:24s} median {median:7.2f}  smallest {smallest:7.2f}")
    rounded = {name: [round(value, 3) for value in pair] for name, pair in figures.items()}
    print(json.dumps({"width": options.width, "height": options.height, "build_s": round(build, 2), **rounded}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
