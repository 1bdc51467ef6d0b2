"""Closed-loop evaluation in the simulated cell: ``ros2 run vipa_sim eval_cell --task reach --n 100``.

Launches the graph itself, in a domain of its own, and says words to it as anybody could. Every layout comes from the
held-out split. ``--seam all`` runs the three seam policies in turns on the same layouts, a few at a time, so that a
machine that gets slower slows all of them. Prints a progress bar and notes on stderr, the result on stdout, JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

from vipa_msgs.msg import CellState
from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.errors import DatasetError
from vipa_policy.nodes.controllers import KINDS as CONTROLLERS
from vipa_policy.nodes.grippers import KINDS as GRIPPERS
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim import evaluation
from vipa_sim.errands import Errand, choose_errands
from vipa_sim.evaluation import LAYOUTS_PER_SEED, TIME_LIMITS, ResultsFile, Settings, TrialResult
from vipa_sim.experts import TASKS
from vipa_sim.nodes.cell_client import CellClient, Trial, objects_of
from vipa_sim.nodes.cell_parameters import read_camera_pose
from vipa_sim.nodes.cell_session import cell_session
from vipa_sim.nodes.launched_graph import GraphError, free_domain, use_domain
from vipa_sim.smoothness import smoothness_of
from vipa_sim.statistics import wilson_interval

SCRIPTED = "scripted"
ALL = "all"
# Layouts that one seam policy is tried on before the next one's turn comes.
TURN = 5
# s between two setpoints of franka.yaml's arm.
SETPOINT_PERIOD = 0.01


class Evaluation:
    """Runs the trials of one evaluation against a graph that is up."""

    def __init__(self, client: CellClient, settings: Settings, results: ResultsFile) -> None:
        self._client = client
        self._settings = settings
        self._results = results
        self._last_words = ""
        self.factors: list[float] = []

    def run(self, indices: Sequence[int], swaps: int, progress: Callable[[TrialResult], None]) -> None:
        """Run what the results lack: first trials on the layouts, swaps on those below ``swaps``."""
        self._client.listen_to_targets()
        done = {result.key for result in self._results.results}
        for index in indices:
            if all(key in done for key in trials_of([index], swaps)):
                continue
            # A layout that was cut short is tried from its beginning; its first result stays.
            for result in self._try_layout(index, swap=index < swaps):
                if result.key not in done:
                    self._results.append(result)
                    progress(result)

    def _try_layout(self, index: int, swap: bool) -> list[TrialResult]:
        client, seed = self._client, self._settings.seed * LAYOUTS_PER_SEED + index
        client.stop()
        state = client.reset(seed, held_out=True)
        generator = np.random.default_rng([self._settings.seed, index, 4])
        first, second, *_ = choose_errands(self._settings.task, *objects_of(state), generator, self._last_words)
        results = [self._try_errand(first, state, index, False)]
        if swap:
            results.append(self._try_errand(second, client.state or state, index, True))
        self.factors.append(client.real_time_factor)
        return results

    def _try_errand(self, errand: Errand, state: CellState, index: int, swapped: bool) -> TrialResult:
        client, limit = self._client, TIME_LIMITS[errand.task]
        trial = client.start_trial(errand.task, errand.target, errand.destination, limit)
        client.instruct(errand.words)
        self._last_words = errand.words
        client.finish_trial(trial, limit, errand.words)
        grasp = next(item.grasp_point for item in state.objects if item.name == errand.target)
        status = trial.status
        smooth = smoothness_of(trial.stamps, [np.array(place) for place in trial.setpoints], SETPOINT_PERIOD, [], 1.0)
        return TrialResult(
            index=index,
            swapped=swapped,
            layout_seed=state.seed,
            instruction=errand.words,
            target=errand.target,
            succeeded=trial.succeeded,
            error=trial.error,
            elapsed=status.elapsed if status else 0.0,
            nearest=status.nearest if status else "",
            reason=explain(trial, errand),
            path=tuple(trial.path),
            target_point=(grasp.x, grasp.y),
            jerk_rms=smooth.jerk_rms,
            jerk_p95=smooth.jerk_p95,
            tip_jerk_rms=(status and status.tip_jerk_rms) or None,
            spectral_arc_length=(status and status.spectral_arc_length) or None,
            gaps=tuple(trial.gaps.values()),
        )


def trials_of(indices: Sequence[int], swaps: int) -> list[tuple[int, bool]]:
    """Return the keys of the trials on layouts: a first one each, a swap on those below ``swaps``."""
    return [(index, swapped) for index in indices for swapped in (False, True) if not swapped or index < swaps]


def explain(trial: Trial, errand: Errand) -> str:
    """Return why a trial failed, in words; "" on success."""
    if trial.succeeded:
        return ""
    if trial.refusal:
        return f"refused: {trial.refusal}"
    if trial.status is not None and trial.status.nearest != errand.target:
        return f"went to {trial.status.nearest}"
    return f"ended {1000.0 * trial.error:.0f} mm off"


def launch_arguments(options: argparse.Namespace, seam: str) -> list[str]:
    """Return the arguments of franka.launch.py for a run with a seam policy."""
    arguments = ["held_out:=true"]
    if options.policy == SCRIPTED:
        arguments.append(f"policy:={SCRIPTED}")
    if options.checkpoint:
        arguments.append(f"checkpoint:={Path(options.checkpoint).resolve()}")
    if options.camera:
        arguments.append(f"camera_pose:={options.camera}")
    if options.device:
        arguments.append(f"device:={options.device}")
    for name, value in (("seam", seam), ("controller", options.controller), ("gripper", options.gripper)):
        if value:
            arguments.append(f"{name}:={value}")
    return arguments


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the command line's options; exits with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="eval_cell", description=__doc__)
    parser.add_argument("--task", choices=TASKS, default="reach")
    parser.add_argument("--n", type=int, default=100, help="layouts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--swaps", type=int, default=30, help="layouts on which the words are swapped afterwards")
    parser.add_argument("--camera", default="", help='"x y z roll pitch yaw" of the camera in the world, m and rad')
    parser.add_argument("--checkpoint", default="", help="folder; the launch file's default if left out")
    parser.add_argument("--policy", choices=("vipa", SCRIPTED), default="vipa")
    parser.add_argument("--device", default="", help="auto, cpu or cuda")
    parser.add_argument("--seam", choices=(*SEAM_POLICIES, ALL), default="", help="how chunks are joined; all: each")
    parser.add_argument("--controller", choices=("", *CONTROLLERS), default="", help="what takes the arm's setpoints")
    parser.add_argument("--gripper", choices=("", *GRIPPERS), default="", help="what takes its gripper goals")
    parser.add_argument("--out", type=Path, default=Path("out/eval"), help="folder for results, plot and log")
    parser.add_argument("--resume", action="store_true", help="continue the run of the same settings")
    parser.add_argument("--domain-id", type=int, default=None, help="ROS domain; a free one if left out")
    options = parser.parse_args(arguments)
    if options.n < 1 or options.seed < 0 or not options.swaps >= 0:
        parser.error(f"expected --n of 1 or more, --seed and --swaps of 0 or more, got {options.n}, {options.seed}")
    if options.camera:
        try:
            options.camera = " ".join(f"{value:g}" for value in read_camera_pose(options.camera))
        except ValueError as error:
            parser.error(str(error))
    return options


class Run:
    """The trials of one seam policy: settings, results on disk, which of them are missing.

    Raises DatasetError where results to resume belong to other settings.
    """

    def __init__(self, options: argparse.Namespace, seam: str) -> None:
        name = f"{options.task}-seed{options.seed}-{options.policy}" + ("-camera" if options.camera else "")
        name += "".join(f"-{word}" for word in (seam, options.controller, options.gripper) if word)
        checkpoint = Path(options.checkpoint).name if options.checkpoint else options.policy
        self.seam = seam
        self.settings = Settings(
            options.task, options.seed, checkpoint, options.camera, seam, options.controller, options.gripper
        )
        self.results = ResultsFile(options.out / f"{name}.jsonl", self.settings, options.resume)
        self.log = options.out / f"{name}.log"
        self.picture = options.out / f"{name}.png"
        self.swaps = min(options.swaps, options.n)
        self.factors: list[float] = []

    def missing(self, indices: Sequence[int]) -> list[tuple[int, bool]]:
        """Return the trials on these layouts that are not done yet."""
        done = {result.key for result in self.results.results}
        return [key for key in trials_of(indices, self.swaps) if key not in done]

    def summary(self) -> dict[str, Any]:
        """Return the figures, and draw the picture."""
        evaluation.plot(self.settings, self.results.results, self.picture)
        factor = float(np.median(self.factors)) if self.factors else 0.0
        return {**evaluation.summarise(self.settings, self.results.results), "real_time_factor": round(factor, 3)}


def turns(runs: Sequence[Run], number: int) -> list[tuple[Run, range]]:
    """Return who is tried on which layouts, in order; several take turns, and each is the first one as often."""
    if len(runs) == 1:
        return [(runs[0], range(number))]
    blocks = [range(first, min(first + TURN, number)) for first in range(0, number, TURN)]
    return [
        (runs[(place + count) % len(runs)], block) for count, block in enumerate(blocks) for place in range(len(runs))
    ]


def main(arguments: list[str] | None = None) -> int:
    """Evaluate; returns 0 once measured, 1 where the graph failed, 130 where it was interrupted."""
    options = parse(arguments)
    try:
        runs = [Run(options, seam) for seam in (SEAM_POLICIES if options.seam == ALL else (options.seam,))]
    except DatasetError as error:
        print(f"eval_cell: {error}", file=sys.stderr)
        return 1
    lifetime = Lifetime()
    total = sum(len(run.missing(range(options.n))) for run in runs)
    try:
        if total:
            use_domain(free_domain() if options.domain_id is None else options.domain_id)
            with tqdm(total=total, unit="trial", file=sys.stderr) as bar:
                for run, indices in turns(runs, options.n):
                    if run.missing(indices):
                        _measure(options, run, indices, lifetime, bar)
    except GraphError as error:
        interrupted = bool(lifetime.reason)
        print(f"eval_cell: {error}", file=sys.stderr)
        kept = sum(len(run.results.results) for run in runs)
        if kept:
            print(f"eval_cell: {kept} trials are kept; continue with --resume", file=sys.stderr)
        return 130 if interrupted else 1
    finally:
        for run in runs:
            run.results.close()
    if options.seam == ALL:
        _compare(runs)
    else:
        _report(runs[0])
    return 0


def _measure(
    options: argparse.Namespace, run: Run, indices: Sequence[int], lifetime: Lifetime, bar: tqdm[NoReturn]
) -> None:
    """Run the trials on some layouts. Raises GraphError where the graph fails or Ctrl-C comes."""
    bar.write(f"eval_cell: the graph's output goes to {run.log}, results to {run.results.path}", file=sys.stderr)

    def progress(result: TrialResult) -> None:
        if not result.succeeded:
            bar.write(f"layout {result.index}: '{result.instruction}' {result.reason}", file=sys.stderr)
        first = [item.succeeded for item in run.results.results if not item.swapped]
        bar.set_postfix_str(f"{run.seam} {sum(first)}/{len(first)} succeeded".strip())
        bar.update()

    with cell_session("evaluation", launch_arguments(options, run.seam), run.log, lifetime) as (_, client):
        client.wait_until_ready()
        trials = Evaluation(client, run.settings, run.results)
        trials.run(indices, run.swaps, progress)
        run.factors += trials.factors


def _report(run: Run) -> None:
    summary = run.summary()
    low, high = wilson_interval(summary["success"], summary["n"])
    print(f"eval_cell: plot in {run.picture}", file=sys.stderr, flush=True)
    print(f"success: {summary['success']}/{summary['n']}  rate {summary['rate']:.3f}  95% CI [{low:.3f}, {high:.3f}]")
    print(json.dumps(summary), flush=True)


def _compare(runs: Sequence[Run]) -> None:
    """Print a table of the seam policies, then their figures as one line of JSON."""
    figures = {run.seam: run.summary() for run in runs}
    print(evaluation.seam_table(figures))
    print(json.dumps({**evaluation.seam_verdict(figures), "seams": figures}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
