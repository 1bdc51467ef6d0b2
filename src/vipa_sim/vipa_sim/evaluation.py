"""Results of closed-loop trials: written line by line, read back to resume, summed up and drawn. No ROS.

A results file holds one JSON object per line: first the settings of the run, then a trial each. A line cut short by a
kill is dropped on reading. Guarded by tests/unit/test_evaluation.py.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vipa_policy.errors import DatasetError
from vipa_sim.json_lines import JsonLines
from vipa_sim.statistics import wilson_interval

# s of simulated time a trial may take.
TIME_LIMITS = {"reach": 10.0, "pick": 15.0, "place": 25.0}
# Runs with neighbouring seeds share no layout.
LAYOUTS_PER_SEED = 100_000
# Figures of ``smoothness`` that trials carry; the median over trials is told.
SMOOTHNESS = ("jerk_rms", "jerk_p95", "tip_jerk_rms", "spectral_arc_length")


@dataclass(frozen=True)
class Settings:
    """What a run measures; two runs with equal settings may be continued one by the other.

    Attributes:
        task: "reach", "pick" or "place".
        seed: of the run.
        policy: which policy drives: a checkpoint's name, or "scripted".
        camera: pose of the camera as given, "" for the default.
        seam: how chunks are joined, "" for the parameter file's way.
        controller: what takes the arm's setpoints, "" for the launch file's choice.
        gripper: what takes its gripper goals, the same.
    """

    task: str
    seed: int
    policy: str
    camera: str = ""
    seam: str = ""
    controller: str = ""
    gripper: str = ""


@dataclass(frozen=True)
class TrialResult:
    """One judged trial.

    Attributes:
        index: of the layout within the run.
        swapped: whether the instruction was swapped to another block of a layout that had been tried before.
        layout_seed: of the layout.
        instruction: the words published.
        target: name of the object asked for.
        succeeded: as judged from the simulator's state.
        error: m, distance of the tool centre to the grasp point at the end of the trial.
        elapsed: s of simulated time.
        nearest: name of the block nearest to the tool centre at the end.
        reason: why it failed, in words; "" on success.
        path: (x, y) in m of the tool centre over the trial.
        target_point: (x, y) in m of the grasp point at the start.
        jerk_rms, jerk_p95, tip_jerk_rms, spectral_arc_length: see ``smoothness``; None where not measured.
        gaps: m, at each seam: what the new chunk and the motion before were apart.
    """

    index: int
    swapped: bool
    layout_seed: int
    instruction: str
    target: str
    succeeded: bool
    error: float
    elapsed: float
    nearest: str
    reason: str = ""
    path: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    target_point: tuple[float, float] = (0.0, 0.0)
    jerk_rms: float | None = None
    jerk_p95: float | None = None
    tip_jerk_rms: float | None = None
    spectral_arc_length: float | None = None
    gaps: tuple[float, ...] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[int, bool]:
        """What a trial is identified by within a run."""
        return self.index, self.swapped


class ResultsFile:
    """Appends results as they come; every line is on disk before the next trial begins."""

    def __init__(self, path: Path, settings: Settings, resume: bool) -> None:
        """Open ``path``; with ``resume`` keep what is in it, else start anew.

        Raises DatasetError where the file to resume belongs to a run with other settings.
        """
        self.path = path
        self.results: list[TrialResult] = []
        if resume and path.exists():
            found, self.results = read_results(path)
            if found != settings:
                raise DatasetError(
                    f"{path} was measured with {found}, this run is {settings}; resume with the same settings, or "
                    "leave --resume out to start anew"
                )
        kept = [{"trial": dataclasses.asdict(result)} for result in self.results]
        self._lines = JsonLines(path, [{"settings": dataclasses.asdict(settings)}, *kept])

    def append(self, result: TrialResult) -> None:
        """Keep one more result."""
        self.results.append(result)
        self._lines.append({"trial": dataclasses.asdict(result)})

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


def read_results(path: Path) -> tuple[Settings, list[TrialResult]]:
    """Return the settings and trials of a results file. Raises DatasetError where it is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        settings = Settings(**json.loads(lines[0])["settings"])
    except (OSError, IndexError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise DatasetError(f"expected results of an evaluation in {path}: {error}") from error
    results = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            values = json.loads(line)["trial"]
            values["path"] = tuple((float(x), float(y)) for x, y in values["path"])
            values["target_point"] = tuple(values["target_point"])
            values["gaps"] = tuple(values.get("gaps", ()))
            results.append(TrialResult(**values))
        except (KeyError, TypeError, ValueError) as error:
            if number < len(lines):
                raise DatasetError(f"line {number} of {path} is no trial: {error}") from error
    return settings, results


def summarise(settings: Settings, results: Sequence[TrialResult]) -> dict[str, Any]:
    """Return the figures of a run as plain JSON types; rates of what was not tried are None."""
    first = [result for result in results if not result.swapped]
    swapped = [result for result in results if result.swapped]
    successes = sum(result.succeeded for result in first)
    swap_successes = sum(result.succeeded for result in swapped)
    low, high = wilson_interval(successes, len(first))
    gaps = [1000.0 * gap for result in first for gap in result.gaps]
    swap_low, swap_high = wilson_interval(swap_successes, len(swapped))
    return {
        "task": settings.task,
        "n": len(first),
        "success": successes,
        "rate": _rounded(successes / len(first) if first else None),
        "ci95": [_rounded(low), _rounded(high)],
        "swapped_n": len(swapped),
        "swapped_rate": _rounded(swap_successes / len(swapped) if swapped else None),
        "swapped_ci95": [_rounded(swap_low), _rounded(swap_high)],
        "median_error_mm": _rounded(_median([1000.0 * result.error for result in first])),
        "median_time_s": _rounded(_median([result.elapsed for result in first if result.succeeded])),
        **{name: _rounded(_median([getattr(result, name) for result in first])) for name in SMOOTHNESS},
        "gap_mm_p50": _rounded(_percentile(gaps, 50)),
        "gap_mm_p95": _rounded(_percentile(gaps, 95)),
        "policy": settings.policy,
        "seed": settings.seed,
    }


# Columns of the table that compares seam policies: heading, figure, how it is written.
COLUMNS = (
    ("time s", "median_time_s", "{:.2f}"),
    ("off mm", "median_error_mm", "{:.1f}"),
    ("jerk rms", "jerk_rms", "{:.2f}"),
    ("jerk p95", "jerk_p95", "{:.2f}"),
    ("tip jerk rms", "tip_jerk_rms", "{:.2f}"),
    ("arc length", "spectral_arc_length", "{:.2f}"),
    ("gap p50 mm", "gap_mm_p50", "{:.1f}"),
    ("gap p95 mm", "gap_mm_p95", "{:.1f}"),
)


def seam_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the summaries of seam policies as a Markdown table, a line each."""
    lines = [
        "| seam | reached | 95 % interval | " + " | ".join(heading for heading, *_ in COLUMNS) + " |",
        "|---" * (3 + len(COLUMNS)) + "|",
    ]
    for seam, found in figures.items():
        low, high = found["ci95"]
        cells = [seam, f"{found['success']} of {found['n']}", f"{100.0 * low:.1f} to {100.0 * high:.1f} %"]
        cells += [form.format(found[name]) if found[name] is not None else "" for _, name, form in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def seam_verdict(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Return whether in-painting is worth it: ``rtc`` as successful as ``replace`` at least, and with less jerk."""
    rtc, replace = figures["rtc"], figures["replace"]
    known = rtc["jerk_rms"] is not None and replace["jerk_rms"] is not None
    return {
        "rtc_as_successful": rtc["success"] * replace["n"] >= replace["success"] * rtc["n"],
        "rtc_less_jerk": bool(known and rtc["jerk_rms"] < replace["jerk_rms"]),
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _percentile(values: list[float], share: float) -> float | None:
    return float(np.percentile(values, share)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def plot(settings: Settings, results: Sequence[TrialResult], path: Path) -> None:
    """Draw the tool's paths seen from above and the spread of the errors into a PNG at ``path``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    above, spread = figure.subplots(1, 2)
    for succeeded, colour, label in ((True, "tab:green", "succeeded"), (False, "tab:red", "failed")):
        chosen = [result for result in results if result.succeeded is succeeded]
        for number, result in enumerate(chosen):
            line = np.array(result.path).reshape(-1, 2)
            above.plot(line[:, 1], line[:, 0], color=colour, alpha=0.35, linewidth=1.0)
            above.plot(
                *result.target_point[::-1], "s", color=colour, markersize=4, label=label if number == 0 else None
            )
    above.set(title="tool centre from above, squares: targets", xlabel="y in m", ylabel="x in m", aspect="equal")
    above.invert_xaxis()
    for swapped, label in ((False, "first instruction"), (True, "after a swap")):
        errors = np.sort([1000.0 * result.error for result in results if result.swapped is swapped])
        if len(errors):
            spread.step(errors, np.arange(1, len(errors) + 1) / len(errors), where="post", label=label)
    spread.axvline(20.0, color="grey", linestyle=":", label="20 mm")
    spread.set(title=f"{settings.task}: error at the end", xlabel="mm", ylabel="share of trials", ylim=(0.0, 1.02))
    spread.set_xscale("symlog", linthresh=10.0)
    spread.set_xlim(left=0.0)
    for axes in (above, spread):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", fontsize="small")
        axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
