"""How exactly a camera is calibrated in the simulated cell: ``ros2 run vipa_sim eval_calibration``.

Every placement of the camera is calibrated from 15 poses of the arm, with rendered, noisy pictures, and compared with
the simulator's truth. Prints a progress bar on stderr, the result on stdout, JSON last; leaves a sheet of pictures with
the corners found, and a line of JSON per placement. No ROS.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vipa_policy.calibration.board import draw
from vipa_policy.calibration.hand_eye import Mode
from vipa_sim.calibration_trials import CalibrationCell, Trial, calibrate
from vipa_sim.contact_sheet import label

SHEET_PLACEMENTS = 3
SHEET_COLUMNS = 4
SHEET_SCALE = 0.5


def summarise(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the figures of trials: 95th percentile and median of the errors, in mm and degrees."""
    figures: dict[str, Any] = {}
    for name, values, unit in (
        ("translation_mm", [trial.translation for trial in trials], 1000.0),
        ("rotation_deg", [trial.rotation for trial in trials], math.degrees(1.0)),
        ("closed_form_translation_mm", [trial.closed_form_translation for trial in trials], 1000.0),
        ("closed_form_rotation_deg", [trial.closed_form_rotation for trial in trials], math.degrees(1.0)),
        ("held_out_px", [trial.held_out.reprojection for trial in trials], 1.0),
    ):
        figures[f"{name}_p95"] = round(unit * float(np.percentile(values, 95.0)), 4)
        figures[f"{name}_median"] = round(unit * float(np.median(values)), 4)
    return figures


def report(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the line of JSON: all trials together, then each mode."""
    together = summarise(trials)
    result: dict[str, Any] = {
        "translation_mm_p95": together["translation_mm_p95"],
        "rotation_deg_p95": together["rotation_deg_p95"],
        "placements": len(trials),
    }
    for mode in Mode:
        chosen = [trial for trial in trials if trial.mode is mode]
        if chosen:
            result[mode.value] = {"placements": len(chosen), **summarise(chosen)}
    return result


def sheet(trials: Sequence[Trial]) -> NDArray[np.uint8]:
    """Return pictures (height, width, 3) RGB of some placements, a row each, with the corners found."""
    rows = []
    for trial in trials:
        step = max(1, len(trial.shots) // SHEET_COLUMNS)
        pictures = []
        for shot in trial.shots[::step][:SHEET_COLUMNS]:
            whole = draw(shot.rgb, shot.view)
            drawn = cv2.resize(whole, None, fx=SHEET_SCALE, fy=SHEET_SCALE, interpolation=cv2.INTER_AREA)
            words = f"{trial.mode} {trial.index}: {len(shot.view.ids)} corners, {1000.0 * trial.translation:.2f} mm"
            pictures.append(label(np.asarray(drawn, dtype=np.uint8), words))
        rows.append(np.hstack(pictures))
    return np.vstack(rows)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options; exits with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="eval_calibration", description=__doc__)
    parser.add_argument("--placements", type=int, default=20, help="of the camera, for each mode")
    parser.add_argument("--poses", type=int, default=15, help="of the arm, for each placement")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=1280, help="px")
    parser.add_argument("--height", type=int, default=720, help="px")
    parser.add_argument("--out", type=Path, default=Path("out/calibration"), help="folder for lines and pictures")
    options = parser.parse_args(arguments)
    if options.placements < 1 or options.poses < 5 or options.seed < 0:
        parser.error(
            "expected --placements of 1 or more, --poses of 5 or more, --seed of 0 or more, got "
            f"{options.placements}, {options.poses}, {options.seed}"
        )
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; returns 0 once measured."""
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    trials: list[Trial] = []
    shown: list[Trial] = []
    lines = (options.out / "trials.jsonl").open("w", encoding="utf-8")
    with lines, tqdm(total=len(Mode) * options.placements, unit="placement", file=sys.stderr) as bar:
        for mode in Mode:
            cell = CalibrationCell(mode, (options.width, options.height))
            for index in range(options.placements):
                trial = calibrate(cell, index, options.seed, options.poses)
                if index < SHEET_PLACEMENTS:
                    shown.append(trial)
                # Fifteen pictures of each would fill the memory.
                trials.append(replace(trial, shots=()))
                lines.write(json.dumps({"mode": mode.value, "index": index, **summarise([trial])}) + "\n")
                lines.flush()
                worst = max(item.translation for item in trials)
                bar.set_postfix_str(f"worst {1000.0 * worst:.2f} mm")
                bar.update()
            cell.close()
    picture = options.out / "contact.png"
    if not cv2.imwrite(str(picture), sheet(shown)[..., ::-1]):
        raise OSError(f"could not write {picture}; expected a folder that may be written")
    print(f"eval_calibration: pictures in {picture}, a line per placement in {lines.name}", file=sys.stderr, flush=True)
    print(json.dumps(report(trials)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
