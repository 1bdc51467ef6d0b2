"""A picture of the cell for people: layouts, camera views, depth, and the experts at work.

python -m vipa_sim.contact_sheet --out out/contact.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vipa_sim.camera import CameraConfig
from vipa_sim.cell import SCENE, WRIST, WRIST_POSE, Cell, CellConfig
from vipa_sim.experts import TASKS, instruction
from vipa_sim.judge import TrialStatus
from vipa_sim.rehearsal import rehearse
from vipa_sim.scene import sample_layout

FARTHEST = 1.5
"""m, red in the depth pictures; black where nothing was measured."""
MOMENTS = (1.2, 2.4, 3.6, 7.0)
"""s into a task; the last picture is of its end where that comes before."""


def colour_depth(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return depth (height, width) in m as a coloured picture (height, width, 3), RGB."""
    grey = (np.clip(depth / FARTHEST, 0.0, 1.0) * 255.0).astype(np.uint8)
    picture = np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)[..., ::-1]).copy()
    picture[depth == 0.0] = 0
    return picture


def label(picture: NDArray[np.uint8], words: str) -> NDArray[np.uint8]:
    """Return the picture with words in its corner."""
    labelled = np.ascontiguousarray(picture)
    for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(labelled, words, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, width, cv2.LINE_AA)
    return labelled


def show_layouts(cell: Cell, seeds: Sequence[int]) -> NDArray[np.uint8]:
    """Return two rows: what the scene camera sees of layouts at their start, in colour and in depth."""
    columns = []
    for seed in seeds:
        held_out = seed % 2 == 1
        cell.reset(sample_layout(seed, held_out))
        view = cell.capture(SCENE)
        words = f"layout {seed}{' held out' if held_out else ''}"
        columns.append(np.vstack([label(view.rgb, words), colour_depth(view.measured_depth)]))
    return np.hstack(columns)


def show_task(cell: Cell, task: str, seed: int) -> NDArray[np.uint8]:
    """Return a row: an expert carries a task out in physics, seen at several moments."""
    layout = sample_layout(seed, False)
    cell.reset(layout)
    target, bowl = layout.blocks[0], layout.bowls[0]
    words = instruction(task, target.colour, bowl.colour)
    moments = list(MOMENTS)
    pictures: list[NDArray[np.uint8]] = []

    def watch(status: TrialStatus) -> None:
        if moments and (status.elapsed >= moments[0] or status.finished):
            pictures.append(label(cell.capture(SCENE).rgb, f"{words}: {status.elapsed:.1f} s"))
            moments.pop(0)

    rehearse(cell, task, target.name, bowl.name, watch=watch)
    pictures.append(label(cell.capture(WRIST).rgb, "wrist camera, at the end"))
    while len(pictures) <= len(MOMENTS):
        pictures.insert(-1, np.zeros_like(pictures[0]))
    return np.hstack(pictures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description="Draw layouts, depth and the experts at work on one sheet.")
    parser.add_argument("--out", type=Path, default=Path("out/contact.png"), help="where to write the picture")
    parser.add_argument("--seed", type=int, default=0, help="first layout")
    parser.add_argument("--pretty", action="store_true", help="shadows and smooth edges; slow")
    options = parser.parse_args(arguments)
    cell = Cell(CellConfig(wrist_camera=CameraConfig(WRIST_POSE, 70.0), pretty=options.pretty))
    rows = [show_layouts(cell, range(options.seed, options.seed + len(MOMENTS) + 1))]
    rows += [show_task(cell, task, options.seed + index) for index, task in enumerate(TASKS)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(options.out), np.vstack(rows)[..., ::-1]):
        raise OSError(f"could not write {options.out}; expected a folder that may be written and a name like out/a.png")
    print(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
