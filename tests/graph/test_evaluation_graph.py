"""The whole graph from the command line, driven by the scripted policy: evaluation, its results, its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from vipa_sim.evaluation import read_results
from vipa_sim.nodes.launched_graph import GraphError, LaunchedGraph, free_domain

pytestmark = pytest.mark.graph

LONGEST = 250.0


def evaluate(out: Path, domain: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["ros2", "run", "vipa_sim", "eval_cell", "--policy", "scripted", "--out", str(out)]
    command += ["--domain-id", str(domain), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)


def processes_in(domain: int) -> list[str]:
    """Command lines of this machine's processes in a ROS domain, but for this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            if f"ROS_DOMAIN_ID={domain}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended, or is not ours
    return found


def test_an_expert_succeeds_goes_elsewhere_when_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    domain = free_domain()
    first = evaluate(tmp_path, domain, "--n", "1", "--swaps", "1", "--seed", "2")
    assert first.returncode == 0, first.stderr
    *_, words, last = first.stdout.splitlines()
    assert words.startswith("success: 1/1  rate 1.000  95% CI [0.207, 1.000]")
    figures = json.loads(last)
    assert (figures["task"], figures["n"], figures["success"], figures["rate"]) == ("reach", 1, 1, 1.0)
    assert (figures["swapped_n"], figures["swapped_rate"]) == (1, 1.0)
    assert figures["median_error_mm"] < 10.0
    # The stream stays within the limit on jerk, 20 m/s^3, and an expert's reach is one smooth way.
    assert 1.0 < figures["jerk_rms"] < figures["jerk_p95"] < 20.0 * (1.0 + 1e-6)
    assert figures["tip_jerk_rms"] > 0.5  # of the measured tip: the servo adds its own, and steps where it comes late
    assert -2.5 < figures["spectral_arc_length"] < -1.2
    assert 0.0 < figures["gap_mm_p50"] <= figures["gap_mm_p95"] < 10.0
    assert processes_in(domain) == []
    results = read_results(tmp_path / "reach-seed2-scripted.jsonl")[1]
    assert [result.key for result in results] == [(0, False), (0, True)]
    assert results[0].target != results[1].target
    assert len(results[0].path) > 10
    assert (tmp_path / "reach-seed2-scripted.png").stat().st_size > 1000
    # All is measured: resuming starts no graph and says the same.
    again = evaluate(tmp_path, domain, "--n", "1", "--swaps", "1", "--seed", "2", "--resume")
    assert again.returncode == 0
    assert json.loads(again.stdout.splitlines()[-1])["success"] == 1


def test_an_interrupted_run_stops_its_graph_and_keeps_what_it_has(tmp_path: Path) -> None:
    domain = free_domain()
    command = ["ros2", "run", "vipa_sim", "eval_cell", "--policy", "scripted", "--out", str(tmp_path)]
    command += ["--domain-id", str(domain), "--n", "50"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    assert any("the graph's output goes to" in line for line in iter(process.stderr.readline, ""))
    os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=LONGEST)
    assert process.returncode in (130, -signal.SIGINT), complaint
    assert "Traceback" not in complaint
    assert processes_in(domain) == []


def test_a_launch_that_fails_is_told_with_its_log(tmp_path: Path) -> None:
    assert shutil.which("ros2") is not None
    with LaunchedGraph("vipa_bringup", "no_such.launch.py", [], tmp_path / "launch.log") as graph:
        assert graph._process is not None
        graph._process.wait(LONGEST)
        with pytest.raises(GraphError, match=r"no_such\.launch\.py"):
            graph.check()
