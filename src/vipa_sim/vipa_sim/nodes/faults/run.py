"""Fault injection on the running graph: ``ros2 run vipa_sim faults``, or ``make faults FAULT=name``.

Starts cell, policy and arm node, each in a process of its own and in a domain of its own, sets the arm in motion, and
injects the faults of ``vipa_sim.faults.table`` one after the other. An unfinished run goes on where it was interrupted.
Prints a progress bar and notes on stderr, the table on stdout, JSON last.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.faults.judge import Outcome
from vipa_sim.faults.report import plot, table
from vipa_sim.faults.results import OutcomesFile, fingerprint, summarise
from vipa_sim.faults.table import FAULTS, Fault, find
from vipa_sim.nodes.cell_client import CellClient
from vipa_sim.nodes.faults.course import Course, arm_limits
from vipa_sim.nodes.faults.injections import Stage
from vipa_sim.nodes.faults.monitor import Monitor
from vipa_sim.nodes.faults.processes import FaultGraph
from vipa_sim.nodes.faults.relays import Relays
from vipa_sim.nodes.launched_graph import GraphError, free_domain, use_domain, use_image_profile

# Layouts between two starts of the graph.
LAYOUTS = 1000
# Times that a graph which failed is started anew.
STARTS = 3


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the command line's options; exits with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--fault", default="", help="names with commas between; all of them if left out")
    parser.add_argument("--policy", choices=("vipa", "scripted"), default="vipa")
    parser.add_argument("--factor", type=float, default=0.5, help="simulated seconds a second, 0.05 to 2")
    parser.add_argument("--seed", type=int, default=0, help="of the first layout")
    parser.add_argument("--out", type=Path, default=Path("out/faults"), help="folder for results, plot and logs")
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever an unfinished run left")
    parser.add_argument("--domain-id", type=int, default=None, help="ROS domain; a free one if left out")
    options = parser.parse_args(arguments)
    try:
        options.chosen = [find(name.strip()) for name in options.fault.split(",") if name.strip()] or list(FAULTS)
    except ValueError as error:
        parser.error(str(error))
    if not 0.05 <= options.factor <= 2.0 or options.seed < 0:
        parser.error(f"expected --factor in [0.05, 2] and --seed of 0 or more, got {options.factor}, {options.seed}")
    return options


@contextmanager
def stage_of(options: argparse.Namespace, lifetime: Lifetime) -> Iterator[tuple[Stage, Course]]:
    """Start the graph and all that watches it; everything is stopped at exit. Raises GraphError where it fails."""
    with FaultGraph(options.out / "log", options.factor, options.policy) as graph:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = rclpy.create_node("faults")
        executor = EventsExecutor()
        executor.add_node(node)

        def check() -> None:
            if lifetime.ended:
                raise GraphError(lifetime.reason)
            graph.cell.check()

        try:
            client = CellClient(node, executor, check)
            relays = Relays(node)
            client.wait_until_ready()
            limits, period = arm_limits(node, client)
            monitor = Monitor(node, relays, period)
            stage = Stage(node, graph, relays, monitor, client, options.out / "log")
            yield stage, Course(stage, limits, options.seed * LAYOUTS)
        finally:
            executor.remove_node(node)
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown()


def inject(
    faults: list[Fault], options: argparse.Namespace, lifetime: Lifetime, keep: Callable[[Outcome], None]
) -> None:
    """Inject faults and keep the outcome of each; a graph that fails is started anew, and its fault counts as failed.

    Raises GraphError where the graph cannot be started, or Ctrl-C comes.
    """
    left = list(faults)
    starts = 0
    while left:
        starts += 1
        with stage_of(options, lifetime) as (_, course):
            while left:
                try:
                    outcome = course.run(left[0])
                except GraphError as error:
                    if lifetime.ended or starts >= STARTS:
                        raise
                    keep(Outcome(left.pop(0).name, as_required=False, shortfalls=(str(error),)))
                    break
                keep(outcome)
                left.pop(0)


def main(arguments: list[str] | None = None) -> int:
    """Inject; returns 0 where all came to the required end, 1 where not, 130 where interrupted."""
    options = parse(arguments)
    chosen: list[Fault] = options.chosen
    names = [fault.name for fault in chosen]
    name = "+".join(names) if options.fault else "results"
    key = f"{fingerprint()} {options.policy} seed {options.seed}"
    results = OutcomesFile(options.out / f"{name}.jsonl", key, names, options.fresh)
    lifetime = Lifetime()
    use_domain(free_domain() if options.domain_id is None else options.domain_id)
    use_image_profile()
    print(f"faults: logs in {options.out / 'log'}, outcomes in {results.path}", file=sys.stderr)
    done = {outcome.fault for outcome in results.outcomes}
    try:
        with tqdm(total=len(chosen), initial=len(done), unit="fault", file=sys.stderr) as bar:

            def keep(outcome: Outcome) -> None:
                results.append(outcome)
                verdict = "UNSAFE" if outcome.unsafe else "as required" if outcome.as_required else "NOT as required"
                bar.write(f"{outcome.fault}: {verdict}", file=sys.stderr)
                bar.update()

            inject([fault for fault in chosen if fault.name not in done], options, lifetime, keep)
    except GraphError as error:
        print(f"faults: {error}", file=sys.stderr)
        if results.outcomes:
            print(f"faults: {len(results.outcomes)} outcomes are kept; the same command goes on", file=sys.stderr)
        return 130 if lifetime.ended else 1
    finally:
        results.close()
        lifetime.restore()
    return _report(results.outcomes, names, options.out / f"{name}.png")


def _report(outcomes: list[Outcome], names: list[str], picture: Path) -> int:
    """Tell and draw what was found; returns the exit status."""
    outcomes = sorted(outcomes, key=lambda outcome: names.index(outcome.fault))
    plot(outcomes, picture)
    print(table(outcomes))
    print(f"faults: plot in {picture}", file=sys.stderr, flush=True)
    print(json.dumps(summarise(outcomes)), flush=True)
    return 0 if all(outcome.as_required for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
