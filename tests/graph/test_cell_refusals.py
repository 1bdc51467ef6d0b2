"""When the cell does not start, or stays on the loopback against its environment."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from graph.cell_graph import PATIENCE, NodeProcess, Observer
from sensor_msgs.msg import JointState

from vipa_msgs.msg import CellState
from vipa_sim.nodes.launched_graph import free_domain

pytestmark = pytest.mark.graph

CELL = "vipa_sim.nodes.cell_node"
SMALL = {"image_width": 64, "image_height": 48}


def test_refuses_where_joint_states_are_published(tmp_path: Path) -> None:
    domain = free_domain()
    with Observer(domain) as observer:
        observer.node.create_publisher(JointState, "joint_states", 10)
        cell = NodeProcess(CELL, SMALL, domain, tmp_path / "cell.log")
        assert cell.process.wait(PATIENCE) != 0
        assert "/joint_states is already published by /observer" in cell.text()
        assert "Traceback" not in cell.text()


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [("camera_pose", "up there", "six finite numbers"), ("image_width", 7, "image_width")],
)
def test_refuses_parameters_out_of_range(tmp_path: Path, parameter: str, value: object, words: str) -> None:
    cell = NodeProcess(CELL, {**SMALL, parameter: value}, free_domain(), tmp_path / "cell.log")
    assert cell.process.wait(PATIENCE) != 0
    assert words in cell.text()
    assert "Traceback" not in cell.text()


def test_stays_on_the_loopback_whatever_the_environment_says(tmp_path: Path) -> None:
    domain = free_domain()
    asked = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "ROS_STATIC_PEERS": "192.0.2.1"}
    cell = NodeProcess(CELL, SMALL, domain, tmp_path / "cell.log", asked)
    try:
        with Observer(domain) as observer:
            states = observer.listen(CellState, "cell/state")
            observer.wait(lambda: bool(states), f"the cell; it said: {cell.text()}")
        assert "stays on the loopback" in cell.text()
        assert "192.0.2.1" in cell.text()
    finally:
        assert cell.stop(signal.SIGTERM) == 0
