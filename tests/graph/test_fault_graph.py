"""Faults in running processes, by the command that `make faults` runs: judged, interrupted, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from graph.test_evaluation_graph import processes_in

from vipa_sim.nodes.launched_graph import free_domain

pytestmark = pytest.mark.graph

LONGEST = 200.0
FIRST, SECOND = "policy_hangs", "arm_killed"


def start(out: Path, domain: int, *arguments: str) -> subprocess.Popen[str]:
    command = ["ros2", "run", "vipa_sim", "faults", "--policy", "scripted", "--out", str(out)]
    command += ["--domain-id", str(domain), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_a_run_that_is_interrupted_goes_on_and_tells_all_in_the_end(tmp_path: Path) -> None:
    domain = free_domain()
    chosen = ("--fault", f"{FIRST},{SECOND}")
    interrupted = start(tmp_path, domain, *chosen)
    assert interrupted.stderr is not None
    told = ""
    while f"{FIRST}: " not in told:
        line = interrupted.stderr.readline()
        assert line, told
        told += line
    os.killpg(interrupted.pid, signal.SIGINT)
    _, complaint = interrupted.communicate(timeout=LONGEST)
    assert interrupted.returncode in (130, -signal.SIGINT), complaint
    assert "Traceback" not in complaint
    assert processes_in(domain) == []

    whole = start(tmp_path, domain, *chosen)
    output, complaint = whole.communicate(timeout=LONGEST)
    assert f"{FIRST}: " not in complaint  # it was measured before
    figures = json.loads(output.splitlines()[-1])
    assert whole.returncode == 0, output
    assert (figures["faults"], figures["as_required"], figures["unsafe"], figures["recovered"]) == (2, 2, 0, 2)
    hanging, killed = figures["table"]
    assert "no new chunk for" in hanging["reason"]
    assert 0.0 < hanging["begun_s"] < 0.4
    assert killed["rest_s"] < 0.6
    assert output.splitlines()[0].startswith("fault ")
    assert (tmp_path / f"{FIRST}+{SECOND}.png").stat().st_size > 5000
    assert processes_in(domain) == []


def test_an_unknown_fault_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    refused = start(tmp_path, 0, "--fault", "earthquake")
    _, complaint = refused.communicate(timeout=LONGEST)
    assert refused.returncode == 2
    assert "expected a fault of camera_dies" in complaint
