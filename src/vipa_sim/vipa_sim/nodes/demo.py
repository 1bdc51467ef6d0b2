"""The demonstration: three instructions on one layout that training never saw, filmed.

``ros2 run vipa_sim demo`` launches the graph itself, says each instruction once, and judges from the simulator's state.
Exits 0 only if the arm did what it was told each time. Prints one line per instruction, JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2

from vipa_msgs.msg import ExecutionState
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.experts import instruction
from vipa_sim.nodes.cell_client import CellClient, Trial
from vipa_sim.nodes.cell_session import cell_session
from vipa_sim.nodes.film import Film
from vipa_sim.nodes.launched_graph import GraphError, free_domain, use_domain, use_image_profile
from vipa_sim.overlay import Caption
from vipa_sim.video import VideoError, VideoWriter

INSTRUCTIONS = 3
TIME_LIMIT = 10.0
PICTURE_RATE = 15.0
ENLARGED = 3
# Pictures that show the outcome before the next instruction: a second and a half.
EPILOGUE = 22
STATES = {
    ExecutionState.IDLE: "idle",
    ExecutionState.FOLLOWING: "following",
    ExecutionState.RAMPING: "braking",
    ExecutionState.HOLDING: "holding",
}


class Demonstration:
    """Says the instructions and keeps the film's caption up to date."""

    def __init__(self, client: CellClient, film: Film) -> None:
        self._client = client
        self._film = film

    def run(self, seed: int) -> list[Trial]:
        """Try three blocks of a held-out layout, one after the other; returns the trials."""
        client = self._client
        client.stop()
        state = client.reset(seed, held_out=True)
        blocks = [item for item in state.objects if item.kind == "block"][:INSTRUCTIONS]
        self._film.rolling = True
        trials = []
        for number, block in enumerate(blocks, start=1):
            trials.append(self._try(number, instruction("reach", block.colour), block.name))
        self._film.rolling = False
        return trials

    def _try(self, number: int, words: str, target: str) -> Trial:
        client = self._client
        self._film.forget_intent()
        trial = client.start_trial("reach", target, "", TIME_LIMIT)
        client.watch = lambda: self._describe(number, words, trial)
        client.instruct(words)
        client.finish_trial(trial, TIME_LIMIT, words)
        verdict = "succeeded" if trial.succeeded else f"FAILED ({trial.refusal or 'out of time'})"
        elapsed = trial.status.elapsed if trial.status else 0.0
        print(f"'{words}': {verdict}, {1000.0 * trial.error:.1f} mm off, {elapsed:.1f} s", flush=True)
        client.watch_pictures(EPILOGUE)
        return trial

    def _describe(self, number: int, words: str, trial: Trial) -> None:
        status, execution = trial.status, self._client.execution
        facts = [f"{number} of {INSTRUCTIONS}"]
        if execution is not None:
            facts.append(f"arm {STATES.get(execution.state, '?')}")
        if status is not None:
            facts += [f"{status.elapsed:.1f} s", f"{1000.0 * status.distance:.0f} mm from the block asked for"]
        verdict = trial.succeeded if trial.finished else None
        self._film.caption = Caption(words, ("   ".join(facts),), verdict)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the command line's options; exits with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=3, help="of the held-out layout")
    parser.add_argument("--policy", choices=("vipa", "scripted"), default="vipa")
    parser.add_argument("--checkpoint", default="", help="folder; the launch file's default if left out")
    parser.add_argument("--device", default="", help="auto, cpu or cuda")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for demo.mp4, demo.png and demo.log")
    parser.add_argument("--domain-id", type=int, default=None, help="ROS domain; a free one if left out")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; returns 0 where all instructions succeeded, 1 otherwise, 130 where interrupted."""
    options = parse(arguments)
    lifetime = Lifetime()
    use_domain(free_domain() if options.domain_id is None else options.domain_id)
    use_image_profile()
    try:
        trials = _run(options, lifetime)
    except (GraphError, VideoError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 130 if lifetime.reason else 1
    succeeded = sum(trial.succeeded for trial in trials)
    errors = [round(1000.0 * trial.error, 1) for trial in trials]
    print(json.dumps({"instructions": len(trials), "succeeded": succeeded, "error_mm": errors}), flush=True)
    return 0 if succeeded == INSTRUCTIONS else 1


def _run(options: argparse.Namespace, lifetime: Lifetime) -> list[Trial]:
    launch = [f"policy:={options.policy}"] if options.policy != "vipa" else []
    if options.checkpoint:
        launch.append(f"checkpoint:={Path(options.checkpoint).resolve()}")
    if options.device:
        launch.append(f"device:={options.device}")
    log = options.out / "demo.log"
    print(f"demo: starting the graph; its output goes to {log}", file=sys.stderr)
    film_path = options.out / "demo.mp4"
    with cell_session("demo", launch, log, lifetime) as (node, client):
        film = Film(node)
        client.wait_until_ready()
        trials = Demonstration(client, film).run(options.seed)
    with VideoWriter(film_path, PICTURE_RATE) as writer:
        still = film.develop(writer, ENLARGED)
    if still is not None:
        cv2.imwrite(str(options.out / "demo.png"), still[..., ::-1])
    print(f"demo: {len(film.shots)} pictures in {film_path}", file=sys.stderr, flush=True)
    return trials


if __name__ == "__main__":
    sys.exit(main())
