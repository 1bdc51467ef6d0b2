"""What the nodes add to the model's own time, beside the plain pipeline: ``ros2 run vipa_sim bench_runtime``.

One set of messages, one checkpoint, one machine. Sides take turns (ours, plain, plain with a thread of its own, and
back again), each turn with processes of its own: camera, driver, and the side's nodes. At last a camera that moves.
Prints a progress bar on stderr, a table on stdout, JSON last. See docs/runtime.md.
Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ament_index_python.packages import get_package_prefix
from tqdm import tqdm

from vipa_policy.bench.control import Replanning, stream
from vipa_policy.bench.reporting import processor, rounded, without_nan
from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.nodes.demo import use_image_profile
from vipa_sim.nodes.launched_graph import GraphError, free_domain, use_domain
from vipa_sim.nodes.runtime.troupe import Troupe
from vipa_sim.runtime.figures import Tally, percentile
from vipa_sim.runtime.records import Records

HERE = "vipa_sim.nodes.runtime"
STARTING = 180.0  # s: loading a checkpoint on a busy machine takes the longest
WARM_UP = 3.0  # s after the first chunk that do not count
OURS, PLAIN, THREADED = "ours", "plain", "plain_threads"
ORDER = (OURS, PLAIN, THREADED, THREADED, PLAIN, OURS)
SETPOINT_CHUNKS = 100
PARTS = ("synchronised", "prepared", "handed", "travelled", "placed")


@dataclass
class Result:
    """What was measured so far."""

    sides: dict[str, Tally]
    processor_seconds: dict[str, dict[str, float]]
    moving: dict[str, list[float]]
    setpoint_us: float = math.nan

    @classmethod
    def empty(cls) -> Result:
        """Return a result before anything was measured."""
        sides = (OURS, PLAIN, THREADED)
        return cls({side: Tally() for side in sides}, {side: {} for side in sides}, {"capture": [], "latest": []})


class Bench:
    """Runs turns of the sides and keeps what they showed."""

    def __init__(self, options: argparse.Namespace, folder: Path, lifetime: Lifetime, bar: tqdm[Any]) -> None:
        self._options, self._folder, self._lifetime, self._bar = options, folder, lifetime, bar
        self.result = Result.empty()

    def run(self, order: Sequence[str]) -> None:
        """Take all turns, then the moving camera. Raises GraphError where something fails or the lifetime ends."""
        self.result.setpoint_us = library_time()
        for number, side in enumerate(order):
            self._turn(number, side, self._options.seconds / order.count(side))
        self._moving_camera()

    def _turn(self, number: int, side: str, seconds: float) -> None:
        self._bar.set_description(side)
        records = self._folder / f"{number}_{side}.npz"
        with Troupe(self._options.logs / f"{number}_{side}", self._check) as troupe:
            troupe.start_module("camera", f"{HERE}.camera_replay")
            troupe.start_module("driver", f"{HERE}.fake_driver")
            sides_own = self._start_ours(troupe, records) if side == OURS else self._start_plain(troupe, records, side)
            troupe.wait_for(records.with_suffix(".started").exists, f"the first chunk of {side}", STARTING)
            begin, spent = self._measure(troupe, seconds)
            end = time.time()
            troupe.end(*sides_own)
        measured = Records.load(records).between(begin, end)
        self.result.sides[side].add(measured, end - begin)
        total = self.result.processor_seconds[side]
        for name, value in spent.items():
            total[name] = total.get(name, 0.0) + value

    def _start_ours(self, troupe: Troupe, records: Path) -> list[str]:
        executable = Path(get_package_prefix("vipa_policy")) / "lib" / "vipa_policy" / "policy_node"
        checkpoint = ["-p", f"checkpoint:={self._options.checkpoint}", "-p", "threads:=1", "-p", "device:=cpu"]
        troupe.start("policy", [str(executable), "--ros-args", *checkpoint])
        self._start_arm(troupe, records)
        return ["policy", "arm"]

    def _start_arm(self, troupe: Troupe, records: Path) -> None:
        troupe.start_module(
            "arm",
            f"{HERE}.observed_arm",
            "--records",
            str(records),
            "--ros-args",
            "-p",
            "armed_at_start:=true",
            "-p",
            "realtime_priority:=10",  # as franka.yaml has it
        )

    def _start_plain(self, troupe: Troupe, records: Path, side: str) -> list[str]:
        threads = ["--threads"] if side == THREADED else []
        arguments = ["--records", str(records), "--checkpoint", self._options.checkpoint, *threads]
        troupe.start_module("plain", f"{HERE}.plain_pipeline", *arguments)
        return ["plain"]

    def _measure(self, troupe: Troupe, seconds: float) -> tuple[float, dict[str, float]]:
        """Let it run; returns when it began in s of ROS time, and the s of processor time each process had."""
        self._pass(troupe, WARM_UP, counted=False)
        begin, before = time.time(), troupe.processor_times()
        try:
            self._pass(troupe, seconds, counted=True)
        except GraphError:
            if not self._lifetime.ended:  # what was measured until Ctrl-C counts
                raise
        after = troupe.processor_times()
        return begin, {name: after[name] - before[name] for name in before}

    def _pass(self, troupe: Troupe, seconds: float, counted: bool) -> None:
        begin, shown = time.monotonic(), 0.0

        def over() -> bool:
            nonlocal shown
            passed = min(time.monotonic() - begin, seconds)
            if counted:
                self._bar.update(passed - shown)
                shown = passed
            return passed >= seconds

        troupe.wait_for(over, "the end of a turn", seconds + STARTING)

    def _moving_camera(self) -> None:
        self._bar.set_description("moving camera")
        errors, records = self._folder / "moving.json", self._folder / "moving.npz"
        with Troupe(self._options.logs / "moving_camera", self._check) as troupe:
            troupe.start_module("driver", f"{HERE}.fake_driver")
            self._start_arm(troupe, records)
            arguments = ["--records", str(errors), "--chunks", str(self._options.moving_chunks)]
            troupe.start_module("moving_camera", f"{HERE}.moving_camera", *arguments)
            troupe.wait_for_end("moving_camera", STARTING + self._options.moving_chunks)
        self.result.moving = json.loads(errors.read_text())

    def _check(self) -> None:
        if self._lifetime.ended:
            raise GraphError(self._lifetime.reason)


def library_time() -> float:
    """Return the median us that the library takes for a setpoint, measured in this process."""
    stream(Replanning(chunks=20))  # what is only done once is not a setpoint's cost
    return 1e6 * float(np.median(stream(Replanning(speed=0.19, spin=0.2, chunks=SETPOINT_CHUNKS)).ticks))


def figures(result: Result) -> dict[str, Any]:
    """Return the figures by their names in the JSON; NaN where nothing was measured."""
    ours, plain, threaded = (result.sides[side] for side in (OURS, PLAIN, THREADED))
    capture, latest = (np.array(result.moving[name]) for name in ("capture", "latest"))
    return {
        "overhead_ms_p50": ours.percentile("overhead", 50),
        "overhead_ms_p99": ours.percentile("overhead", 99),
        "jitter_ms_p99": ours.percentile("jitter", 99),
        "setpoint_us": result.setpoint_us,
        "plain_overhead_ms_p99": plain.percentile("overhead", 99),
        "plain_jitter_ms_p99": plain.percentile("jitter", 99),
        "moving_camera_error_mm": percentile(capture, 100),
        "latest_tf_error_mm": percentile(latest, 100),
        "moving_camera_error_mm_p50": percentile(capture, 50),
        "latest_tf_error_mm_p50": percentile(latest, 50),
        "plain_overhead_ms_p50": plain.percentile("overhead", 50),
        "plain_threads_overhead_ms_p50": threaded.percentile("overhead", 50),
        "plain_threads_overhead_ms_p99": threaded.percentile("overhead", 99),
        "plain_threads_jitter_ms_p99": threaded.percentile("jitter", 99),
        **{
            f"{key}_ms_{word}": ours.percentile(name, share)
            for key, name in (("wait", "wait"), ("busy", "busy"), ("inference", "inference"), ("grid", "grid"))
            for word, share in (("p50", 50), ("p99", 99))
        },
        "parts_ms_p50": {name: ours.percentile(name, 50) for name in PARTS},
        "parts_ms_p99": {name: ours.percentile(name, 99) for name in PARTS},
        "tick_us_p50": ours.percentile("tick", 50),
        "jitter_ms_p50": ours.percentile("jitter", 50),
        **{
            name: {side: getattr(tally, name) for side, tally in result.sides.items()}
            for name in ("chunks", "refused", "setpoints", "missed", "seconds")
        },
        "processor_share": {
            side: {name: spent / tally.seconds for name, spent in result.processor_seconds[side].items()}
            for side, tally in result.sides.items()
            if tally.seconds > 0.0
        },
        "load": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
    }


def table(result: Result) -> str:
    """Return what a reader wants first."""
    lines = [f"{'':24s}{'ours':>10s}{'plain':>10s}{'+ thread':>10s}"]
    rows = (
        ("overhead p50, ms", "overhead", 50),
        ("overhead p99, ms", "overhead", 99),
        ("wait for the tick, ms", "wait", 50),
        ("model still busy, ms", "busy", 50),
        ("model p50, ms", "inference", 50),
        ("jitter p50, ms", "jitter", 50),
        ("jitter p99, ms", "jitter", 99),
        ("off the grid p99, ms", "grid", 99),
    )
    for label, name, share in rows:
        values = "".join(f"{tally.percentile(name, share):10.2f}" for tally in result.sides.values())
        lines.append(f"{label:24s}{values}")
    errors = (percentile(np.array(result.moving[name]), 100) for name in ("capture", "latest"))
    lines.append("moving camera: {:.4f} mm off with TF at the image's stamp, {:.1f} mm with the latest".format(*errors))
    for label, name in (("chunks", "chunks"), ("setpoints", "setpoints"), ("setpoints missed", "missed")):
        lines.append(f"{label:24s}" + "".join(f"{getattr(tally, name):10d}" for tally in result.sides.values()))
    for side, spent in result.processor_seconds.items():
        seconds = result.sides[side].seconds
        if seconds > 0.0:
            shares = ", ".join(f"{name} {100.0 * value / seconds:.0f} %" for name, value in spent.items())
            lines.append(f"processor, {side}: {shares} of a core")
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options; exits with status 2 on nonsense."""
    parser = argparse.ArgumentParser(prog="bench_runtime", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each side (default: %(default)s)")
    parser.add_argument("--moving-chunks", type=int, default=100, help="of the moving camera (default: %(default)s)")
    parser.add_argument("--checkpoint", default="vipa-tiny", help="folder or name (default: %(default)s)")
    parser.add_argument("--sides", default=",".join(ORDER), help="turns in their order (default: %(default)s)")
    parser.add_argument("--logs", type=Path, default=Path("out/bench_runtime"), help="folder (default: %(default)s)")
    parser.add_argument("--save", type=Path, help="folder for the figures as runtime.json")
    parser.add_argument("--domain-id", type=int, default=None, help="ROS domain; a free one if left out")
    options = parser.parse_args(arguments)
    options.order = [side for side in options.sides.split(",") if side]
    if not set(options.order) <= set(ORDER) or not options.seconds > 0.0:
        parser.error(f"expected more than 0 seconds and turns of {OURS}, {PLAIN}, {THREADED}, got {options.sides!r}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0, 1 where it failed, 130 where it was interrupted: figures so far are printed."""
    options = parse(arguments)
    lifetime = Lifetime()
    use_domain(free_domain() if options.domain_id is None else options.domain_id)
    use_image_profile()
    os.environ["OMP_NUM_THREADS"] = "1"  # for every process alike
    status = 0
    total = options.seconds * len(set(options.order))
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=total, mininterval=1.0, file=sys.stderr, bar_format="{l_bar}{bar}| {elapsed}<{remaining}") as bar,
    ):
        bench = Bench(options, Path(folder), lifetime, bar)
        try:
            bench.run(options.order)
        except GraphError as error:
            status = 130 if lifetime.ended else 1
            print(f"\nbench_runtime: {error}", file=sys.stderr)
    print(table(bench.result))
    found = without_nan(rounded(figures(bench.result)))
    print(json.dumps(found), flush=True)
    if options.save is not None and status == 0:
        options.save.mkdir(parents=True, exist_ok=True)
        (options.save / "runtime.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    lifetime.restore()
    return status


if __name__ == "__main__":
    sys.exit(main())
