"""`make soak` in a few seconds: every figure is there and sane, the plot is drawn, Ctrl-C ends it."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import ManagedProcess

pytestmark = [pytest.mark.graph, pytest.mark.sim]


@pytest.fixture
def soak(
    launch_process: Callable[..., ManagedProcess], graph_environment: dict[str, str], tmp_path: Path, repository: Path
) -> Callable[..., ManagedProcess]:
    domain = graph_environment["ROS_DOMAIN_ID"]
    options = ["--policy", "scripted", "--out", str(tmp_path), "--domain-id", domain]

    def start(minutes: float) -> ManagedProcess:
        command = ["python", "-m", "vipa_sim.nodes.soak", "--minutes", str(minutes), *options]
        return launch_process(*command, working_directory=repository)

    return start


def test_every_figure_comes_of_a_short_run(soak: Callable[..., ManagedProcess], tmp_path: Path) -> None:
    process = soak(0.1)
    # 1 where the machine was too busy for its deadlines: how fast it is proves nothing here.
    assert process.wait_for_exit(240.0) in (0, 1), process.output[-4000:]
    figures = json.loads(process.output.splitlines()[-1])
    assert 0.05 < figures["minutes"] <= 0.2
    assert figures["chunks"] > 0
    assert figures["setpoints"] > 20
    assert 0 <= figures["missed"] <= 600
    assert {"cell", "arm", "policy"} <= set(figures["nodes"])
    assert abs(figures["memory_growth_mb"]) < 200.0
    assert all(10.0 < node["last"] < 2000.0 for node in figures["nodes"].values())
    assert (tmp_path / "memory.png").read_bytes()[1:4] == b"PNG"


def test_ctrl_c_ends_it_with_the_figures_so_far(soak: Callable[..., ManagedProcess]) -> None:
    process = soak(30.0)
    process.wait_for_output("soak: the graph is up", 200.0)
    process.send_signal(signal.SIGINT)
    assert process.wait_for_exit(60.0) == 130
    figures = json.loads(process.output.splitlines()[-1])
    assert figures["minutes"] < 5.0
    assert {"memory_growth_mb", "missed", "chunks"} <= set(figures)
