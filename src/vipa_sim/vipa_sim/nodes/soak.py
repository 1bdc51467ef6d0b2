"""The launched graph for a long time: does memory grow, do deadlines slip? ``ros2 run vipa_sim soak --minutes 30``.

Words change all the time, the arm is stopped and the table laid anew in between. Prints a progress bar on stderr, a
table on stdout, JSON last, and draws the memory of every node. Ctrl-C ends with the figures so far.
See docs/runtime.md.
Guarded by tests/graph/test_soak.py.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from tqdm import tqdm

from vipa_msgs.msg import ActionChunk, ExecutionState
from vipa_policy.bench.reporting import rounded, without_nan
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.lifetime import Lifetime
from vipa_policy.nodes.reception import stamp_of
from vipa_sim.experts import instruction
from vipa_sim.nodes.cell_client import CellClient, objects_of
from vipa_sim.nodes.cell_session import cell_session
from vipa_sim.nodes.demo import use_image_profile
from vipa_sim.nodes.launched_graph import GraphError, free_domain, use_domain
from vipa_sim.runtime.endurance import ALLOWED_MISSED, Watched, missed, plot, reasons_of
from vipa_sim.runtime.processes import children, memory, session_members

CHANGE = 12.0  # s of wall time between two instructions
SAMPLES = 400  # of memory, at most one a second
WARM_UP, LONGEST_WARM_UP = 0.25, 2.0  # share of the time, minutes
# Deep and reliable: what is lost on the way here would be counted as never sent.
STREAM_QOS = QoSProfile(depth=500, reliability=ReliabilityPolicy.RELIABLE)
NAME = "__node:="


class Witness:
    """Hears the graph: stamps of setpoints, states and holds of the arm, chunks."""

    def __init__(self, node: Node) -> None:
        self.targets, self.states, self.streaming = array("d"), array("d"), array("b")
        self.holds: list[str] = []
        self.chunks = 0
        self.refused: dict[str, str] = {}
        self._following = False
        self._subscriptions = [
            node.create_subscription(PoseStamped, "target_pose", self._on_target, STREAM_QOS, raw=True),
            node.create_subscription(ActionChunk, "policy/chunk", self._on_chunk, STREAM_QOS, raw=True),
            node.create_subscription(ExecutionState, "arm/execution_state", self._on_state, STREAM_QOS),
            node.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, 10),
        ]

    def missed(self) -> int:
        """Return how many setpoints were due and did not come."""
        return missed(np.array(self.targets), np.array(self.states), np.array(self.streaming, dtype=bool))

    def _on_target(self, serialised: Any) -> None:
        self.targets.append(stamp_of(serialised))

    def _on_chunk(self, serialised: Any) -> None:
        self.chunks += 1

    def _on_state(self, message: ExecutionState) -> None:
        moving = message.state in (ExecutionState.FOLLOWING, ExecutionState.RAMPING)
        self.states.append(seconds_of(message.header.stamp))
        self.streaming.append(moving or (message.state == ExecutionState.HOLDING and not message.stopped))
        following = message.state == ExecutionState.FOLLOWING
        if self._following and not following:
            self.holds.append(message.hold_reason)
        self._following = following

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "arm":
                self.refused = {pair.key: pair.value for pair in status.values if "refus" in pair.key}


def nodes_of_children() -> dict[str, int]:
    """Return the process ids of all launched nodes below this process, by the node's name."""
    found = {}
    for child in children(os.getpid()):
        for pid, words in session_members(child).items():
            names = [word.removeprefix(NAME) for word in words if word.startswith(NAME)]
            if names:
                found[names[-1]] = pid
    return found


def errands(client: CellClient, seed: int) -> Iterator[str]:
    """Give an instruction at every step, and yield it: all blocks of a layout in turn, then a stop, the next layout."""
    while True:
        client.stop()
        blocks, _ = objects_of(client.reset(seed, held_out=False))
        for colour in blocks:
            words = instruction("reach", colour)
            client.instruct(words)
            yield words
        seed += 1


class Soak:
    """Lets the graph work and keeps what was seen."""

    def __init__(self, minutes: float, change: float = CHANGE) -> None:
        self.minutes, self._change = minutes, change
        self.watched = Watched()
        self.witness: Witness | None = None
        self.instructions = 0

    @property
    def warm_up(self) -> float:
        """Minutes that do not count."""
        return min(WARM_UP * self.minutes, LONGEST_WARM_UP)

    def run(self, node: Node, client: CellClient, seed: int, told: Callable[[float], None]) -> None:
        """Work for the time asked for; ``told`` hears the minutes. Raises GraphError where the graph ends."""
        client.wait_until_ready()
        self.witness = Witness(node)
        every = max(60.0 * self.minutes / SAMPLES, 1.0)
        nodes = nodes_of_children()
        begin, next_sample, next_words = time.monotonic(), 0.0, 0.0
        errand = errands(client, seed)
        while (passed := time.monotonic() - begin) < 60.0 * self.minutes:
            if passed >= next_words:
                words = next(errand)
                self.instructions += 1
                tqdm.write(f"soak: {passed / 60.0:.1f} min: {words}", file=sys.stderr)
                next_words = passed + self._change
            if passed >= next_sample:
                sizes = {name: size for name, pid in nodes.items() if (size := memory(pid)) is not None}
                self.watched.add(passed / 60.0, {name: (one.anonymous, one.resident) for name, one in sizes.items()})
                next_sample = passed + every
            told(passed / 60.0)
            client.wait_for(_reached(begin + min(next_sample, next_words, 60.0 * self.minutes)), "the next step", 60.0)

    def figures(self) -> dict[str, Any]:
        """Return the figures by their names in the JSON."""
        grown, resident = self.watched.growths(self.warm_up), self.watched.growths(self.warm_up, "resident")
        witness = self.witness
        lost = witness.missed() if witness else 0
        setpoints = len(witness.targets) if witness else 0
        return {
            "minutes": self.watched.minutes[-1] if self.watched.minutes else 0.0,
            "memory_growth_mb": sum(told.growth for told in grown.values()) if grown else math.nan,
            "missed": lost,
            "chunks": witness.chunks if witness else 0,
            "setpoints": setpoints,
            "missed_share": lost / setpoints if setpoints else 0.0,
            "warm_up_minutes": self.warm_up,
            "nodes": {
                name: {**vars(told), "resident_growth": resident[name].growth, "leaks": told.leaks}
                for name, told in grown.items()
            },
            "refused": witness.refused if witness else {},
            "instructions": self.instructions,
            "holds": reasons_of(witness.holds) if witness else {},
            "load": os.getloadavg()[0],
        }


def _reached(moment: float) -> Callable[[], bool]:
    return lambda: time.monotonic() >= moment


def complaints(figures: dict[str, Any]) -> list[str]:
    """Return what is not as it must be."""
    told = [
        f"{name} grew by {node['growth']:.1f} MB ({node['low']:.1f} to {node['high']:.1f})"
        for name, node in figures["nodes"].items()
        if node["leaks"]
    ]
    if figures["missed_share"] > ALLOWED_MISSED:
        told.append(f"{figures['missed']} setpoints were missed, more than {ALLOWED_MISSED:.1%} of them")
    if not figures["chunks"]:
        told.append("no chunk came")
    return told


def table(figures: dict[str, Any]) -> str:
    """Return what a reader wants first."""
    lines = [f"{'node':12s}{'MB':>9s}{'growth':>9s}{'95 %':>18s}{'resident':>10s}"]
    for name, node in sorted(figures["nodes"].items()):
        interval = f"{node['low']:+.2f} to {node['high']:+.2f}"
        lines.append(
            f"{name:12s}{node['last']:9.1f}{node['growth']:+9.2f}{interval:>18s}{node['resident_growth']:+10.2f}"
        )
    lines += [f"held {count} times: {reason}" for reason, count in figures["holds"].items()]
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options; exits with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of wall time (default: %(default)s)")
    parser.add_argument("--policy", choices=("vipa", "scripted"), default="vipa")
    parser.add_argument("--change", type=float, default=CHANGE, help="s between instructions (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first layout")
    parser.add_argument("--out", type=Path, default=Path("out/soak"), help="folder (default: %(default)s)")
    parser.add_argument("--domain-id", type=int, default=None, help="ROS domain; a free one if left out")
    options = parser.parse_args(arguments)
    if not options.minutes > 0.0:
        parser.error(f"expected more than 0 minutes, got {options.minutes}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak and print; returns 0, 1 where something is not as it must be, 130 where it was interrupted."""
    options = parse(arguments)
    lifetime = Lifetime()
    use_domain(free_domain() if options.domain_id is None else options.domain_id)
    use_image_profile()
    soak, status = Soak(options.minutes, options.change), 0
    launch = [f"policy:={options.policy}"] if options.policy != "vipa" else []
    bar_format = "{l_bar}{bar}| {elapsed}<{remaining}"
    with tqdm(total=options.minutes, mininterval=1.0, file=sys.stderr, bar_format=bar_format) as bar:

        def tell(minutes: float) -> None:
            bar.update(minutes - bar.n)

        try:
            with cell_session("soak", launch, options.out / "soak.log", lifetime) as (node, client):
                soak.run(node, client, options.seed, tell)
        except GraphError as error:
            status = 130 if lifetime.ended else 1
            print(f"\nsoak: {error}", file=sys.stderr)
    found = soak.figures()
    if found["nodes"]:
        plot(soak.watched, soak.warm_up, options.out / "memory.png")
    print(table(found))
    told = complaints(found)
    for complaint in told:
        print(f"soak: {complaint}", file=sys.stderr)
    print(json.dumps(rounded(without_nan(found))), flush=True)
    lifetime.restore()
    return status or (1 if told else 0)


if __name__ == "__main__":
    sys.exit(main())
