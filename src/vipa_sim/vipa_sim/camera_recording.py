"""The simulated cell as a recording that the RealSense node plays: the real driver's path without a camera.

python -m vipa_sim.camera_recording --out out/cell.db3 --seconds 3
ros2 launch vipa_bringup realsense.launch.py recording:=out/cell.db3
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vipa_policy.camera.recording import RecordedCamera, RecordedLens, RecordingWriter
from vipa_sim.camera import depth_to_millimetres
from vipa_sim.cell import SCENE, Cell, CellConfig
from vipa_sim.experts import grasp_pose
from vipa_sim.scene import sample_layout

NANOSECONDS = 1_000_000_000
HOVER = 0.10  # m above a block that the hand goes to


def frames(cell: Cell, number: int, rate: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint16]]]:
    """Return rgb (height, width, 3) and depth (height, width) in mm of an arm that goes from block to block."""
    goals = [grasp_pose(item) for item in cell.objects() if item.kind == "block"]
    for goal in goals:
        goal[2, 3] += HOVER
    drawn = []
    for index in range(number):
        cell.set_target(goals[index // rate % len(goals)])
        cell.step(1.0 / rate)
        # The stamp seeds the sensor's noise: without it, a still picture would pass for a frozen stream.
        view = cell.capture(SCENE, stamp_ns=round(cell.time * NANOSECONDS))
        drawn.append((view.rgb, depth_to_millimetres(view.measured_depth)))
    return drawn


def record(path: Path, seconds: float, width: int, height: int, rate: int, seed: int) -> int:
    """Write a recording of the cell; returns the number of frames. Raises CameraError where it cannot be written."""
    cell = Cell(CellConfig(image_width=width, image_height=height))
    try:
        cell.reset(sample_layout(seed, False))
        lens = RecordedLens(width, height, cell.intrinsics(SCENE))
        drawn = frames(cell, math.ceil(seconds * rate), rate)
    finally:
        cell.close()
    # Drawn beforehand: a recording plays as fast as it was written.
    with RecordingWriter(path, RecordedCamera(lens, lens, rate=rate, name="Simulated RGB-D camera"), True) as writer:
        for index, (rgb, depth) in enumerate(drawn):
            writer.write(rgb, depth, 1.0 + index / rate, index + 1)
    return len(drawn)


def main(arguments: Sequence[str] | None = None) -> int:
    """Record; the last line is JSON."""
    parser = argparse.ArgumentParser(description="Record the simulated cell as if by a RealSense camera.")
    parser.add_argument("--out", type=Path, required=True, help="new .db3 file")
    parser.add_argument("--seconds", type=float, default=3.0, help="s")
    parser.add_argument("--width", type=int, default=320, help="px")
    parser.add_argument("--height", type=int, default=240, help="px")
    parser.add_argument("--rate", type=int, default=15, help="Hz")
    parser.add_argument("--seed", type=int, default=0, help="of the layout")
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    number = record(options.out, options.seconds, options.width, options.height, options.rate, options.seed)
    print(json.dumps({"path": str(options.out), "frames": number}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
