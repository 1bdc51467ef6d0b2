"""Closed-loop evaluation in the simulated cell: ``ros2 run vipa_sim eval_cell --task reach --n 100``.

Launches the graph itself, in a domain of its own, and says words to it as anybody could. Every layout comes from the
held-out split. Prints a progress bar and notes on stderr, the result on stdout, JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vipa_msgs.msg import CellState
from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.errors import DatasetError
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim import evaluation
from vipa_sim.errands import Errand, choose_errands
from vipa_sim.evaluation import ResultsFile, Settings, TrialResult
from vipa_sim.experts import TASKS
from vipa_sim.nodes.cell_client import CellClient, Trial, objects_of
from vipa_sim.nodes.cell_parameters import read_camera_pose
from vipa_sim.nodes.cell_session import cell_session
from vipa_sim.nodes.launched_graph import GraphError, free_domain, use_domain
from vipa_sim.statistics import wilson_interval

# s of simulated time a trial may take.
TIME_LIMITS = {"reach": 10.0, "pick": 15.0, "place": 25.0}
# Runs with neighbouring seeds share no layout.
LAYOUTS_PER_SEED = 100_000
SCRIPTED = "scripted"


class Evaluation:
    """Runs the trials of one evaluation against a graph that is up."""

    def __init__(self, client: CellClient, settings: Settings, results: ResultsFile) -> None:
        self._client = client
        self._settings = settings
        self._results = results
        self._last_words = ""
        self.factors: list[float] = []

    def run(self, trials: int, swaps: int, progress: Callable[[TrialResult], None]) -> None:
        """Run what the results lack: first trials on ``trials`` layouts, swaps on the first ``swaps`` of them."""
        done = {result.key for result in self._results.results}
        for index in range(trials):
            wanted = [(index, False)] + ([(index, True)] if index < swaps else [])
            if all(key in done for key in wanted):
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
        )


def explain(trial: Trial, errand: Errand) -> str:
    """Return why a trial failed, in words; "" on success."""
    if trial.succeeded:
        return ""
    if trial.refusal:
        return f"refused: {trial.refusal}"
    if trial.status is not None and trial.status.nearest != errand.target:
        return f"went to {trial.status.nearest}"
    return f"ended {1000.0 * trial.error:.0f} mm off"


def launch_arguments(options: argparse.Namespace) -> list[str]:
    """Return the arguments of franka.launch.py for a run."""
    arguments = ["held_out:=true"]
    if options.policy == SCRIPTED:
        arguments.append(f"policy:={SCRIPTED}")
    if options.checkpoint:
        arguments.append(f"checkpoint:={Path(options.checkpoint).resolve()}")
    if options.camera:
        arguments.append(f"camera_pose:={options.camera}")
    if options.device:
        arguments.append(f"device:={options.device}")
    if options.seam:
        arguments.append(f"seam:={options.seam}")
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
    parser.add_argument("--seam", choices=SEAM_POLICIES, default="", help="how chunks are joined")
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


def main(arguments: list[str] | None = None) -> int:
    """Evaluate; returns 0 once measured, 1 where the graph failed, 130 where it was interrupted."""
    options = parse(arguments)
    name = f"{options.task}-seed{options.seed}-{options.policy}" + ("-camera" if options.camera else "")
    name += f"-{options.seam}" if options.seam else ""
    checkpoint = Path(options.checkpoint).name if options.checkpoint else options.policy
    settings = Settings(options.task, options.seed, checkpoint, options.camera)
    try:
        results = ResultsFile(options.out / f"{name}.jsonl", settings, options.resume)
    except DatasetError as error:
        print(f"eval_cell: {error}", file=sys.stderr)
        return 1
    if _is_complete(results, options):
        results.close()
        _report(settings, results.results, 0.0, options.out / f"{name}.png")
        return 0
    lifetime = Lifetime()
    use_domain(free_domain() if options.domain_id is None else options.domain_id)
    try:
        factor = _measure(options, settings, results, options.out / f"{name}.log", lifetime)
    except GraphError as error:
        interrupted = bool(lifetime.reason)
        print(f"eval_cell: {error}", file=sys.stderr)
        if results.results:
            print(f"eval_cell: {len(results.results)} trials are kept; continue with --resume", file=sys.stderr)
        return 130 if interrupted else 1
    finally:
        results.close()
    _report(settings, results.results, factor, options.out / f"{name}.png")
    return 0


def _is_complete(results: ResultsFile, options: argparse.Namespace) -> bool:
    """Whether a resumed run has nothing left to try."""
    wanted = {(index, False) for index in range(options.n)} | {
        (index, True) for index in range(min(options.swaps, options.n))
    }
    return wanted <= {result.key for result in results.results}


def _measure(
    options: argparse.Namespace, settings: Settings, results: ResultsFile, log: Path, lifetime: Lifetime
) -> float:
    """Run all trials; returns the median real-time factor. Raises GraphError where the graph fails or Ctrl-C comes."""
    print(f"eval_cell: the graph's output goes to {log}, results to {results.path}", file=sys.stderr)
    swaps = min(options.swaps, options.n)
    with cell_session("evaluation", launch_arguments(options), log, lifetime) as (_, client):
        client.wait_until_ready()
        run = Evaluation(client, settings, results)
        with tqdm(total=options.n + swaps, initial=len(results.results), unit="trial", file=sys.stderr) as bar:

            def progress(result: TrialResult) -> None:
                if not result.succeeded:
                    bar.write(f"layout {result.index}: '{result.instruction}' {result.reason}", file=sys.stderr)
                first = [item.succeeded for item in results.results if not item.swapped]
                bar.set_postfix_str(f"{sum(first)}/{len(first)} succeeded")
                bar.update()

            run.run(options.n, swaps, progress)
        return float(np.median(run.factors)) if run.factors else 0.0


def _report(settings: Settings, results: list[TrialResult], factor: float, picture: Path) -> None:
    evaluation.plot(settings, results, picture)
    summary = evaluation.summarise(settings, results)
    low, high = wilson_interval(summary["success"], summary["n"])
    print(f"eval_cell: plot in {picture}", file=sys.stderr, flush=True)
    print(f"success: {summary['success']}/{summary['n']}  rate {summary['rate']:.3f}  95% CI [{low:.3f}, {high:.3f}]")
    print(json.dumps({**summary, "real_time_factor": round(factor, 3)}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
