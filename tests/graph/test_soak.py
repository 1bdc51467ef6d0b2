"""`make soak` in a few seconds: every figure is there and sane, the plot is drawn, Ctrl-C ends it."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import ManagedProcess

pytestmark = [pytest.mark.graph, pytest.mark.sim]


def test_ctrl_c_ends_it_with_every_figure_so_far(
    launch_process: Callable[..., ManagedProcess], graph_environment: dict[str, str], tmp_path: Path, repository: Path
) -> None:
    options = ["--minutes", "0.6", "--change", "1.5", "--policy", "scripted", "--out", str(tmp_path)]
    command = ["python", "-m", "vipa_sim.nodes.soak", *options, "--domain-id", graph_environment["ROS_DOMAIN_ID"]]
    process = launch_process(*command, working_directory=repository)
    # Of 0.6 minutes 9 s are warm-up: this is behind it, whatever the machine.
    process.wait_for_output(r"soak: 0\.[3-6] min: reach", 200.0)
    process.send_signal(signal.SIGINT)
    assert process.wait_for_exit(60.0) == 130
    figures = json.loads(process.output.splitlines()[-1])
    assert 0.2 < figures["minutes"] <= 0.6
    assert figures["chunks"] > 0
    assert figures["instructions"] > 1
    assert figures["setpoints"] > 20
    assert 0 <= figures["missed"] <= 6000
    assert {"cell", "arm", "policy"} <= set(figures["nodes"])
    assert abs(figures["memory_growth_mb"]) < 200.0
    assert all(10.0 < node["last"] < 2000.0 for node in figures["nodes"].values())
    assert (tmp_path / "memory.png").read_bytes()[1:4] == b"PNG"
