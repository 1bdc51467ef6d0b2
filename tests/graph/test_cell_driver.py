"""The cell as a driver: status, wrench and faults on the topics and services that a real one has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, WrenchStamped
from graph.cell_graph import LATCHED, NodeProcess, Observer, stamps
from std_srvs.srv import Trigger

from vipa_msgs.msg import CellState, DriverStatus
from vipa_msgs.srv import InjectFault
from vipa_policy.nodes.conversions import matrix_from_pose, pose_stamped, seconds_of

pytestmark = [pytest.mark.graph, pytest.mark.sim]


def test_status_wrench_and_faults_of_the_simulated_driver(ros_domain_id: int, tmp_path: Path) -> None:
    small = {"image_width": 32, "image_height": 32, "noise": False}
    cell = NodeProcess("vipa_sim.nodes.cell_node", small, ros_domain_id, tmp_path / "log")
    try:
        with Observer(ros_domain_id) as observer:
            statuses = observer.listen(DriverStatus, "driver/status", LATCHED)
            wrenches = observer.listen(WrenchStamped, "driver/external_wrench")
            states = observer.listen(CellState, "cell/state")
            targets = observer.node.create_publisher(PoseStamped, "target_pose", 1)
            observer.wait(lambda: len(statuses) >= 2 and len(wrenches) >= 50 and len(states) >= 2, "the cell")
            assert {status.state for status in statuses} == {DriverStatus.READY}
            assert statuses[-1].hardware == "simulated"
            assert wrenches[-1].header.frame_id == "fr3_link0"
            assert np.median(np.diff(stamps(wrenches))) <= 10_000_000  # 100 Hz or more

            def inject(state: int, reason: str = "") -> None:
                assert observer.call(
                    InjectFault, "cell/inject_fault", InjectFault.Request(state=state, reason=reason)
                ).success
                observer.wait(lambda: statuses[-1].state == state, "the status")

            def moved(metres: float) -> float:
                """Send the arm aside for half a second; returns how far it went."""
                before = matrix_from_pose(states[-1].tip)
                goal = before.copy()
                goal[1, 3] += metres
                end = seconds_of(states[-1].header.stamp) + 0.5
                while seconds_of(states[-1].header.stamp) < end:
                    targets.publish(pose_stamped(goal, "fr3_link0", states[-1].header.stamp))
                    observer.executor.spin_once(timeout_sec=0.02)
                return float(np.linalg.norm(matrix_from_pose(states[-1].tip)[:3, 3] - before[:3, 3]))

            assert moved(0.02) > 0.015
            inject(DriverStatus.FAULT, "reflex: joint 4")
            assert statuses[-1].reason == "reflex: joint 4"
            assert moved(0.02) < 0.002
            assert observer.call(Trigger, "driver/recover", Trigger.Request()).success
            observer.wait(lambda: statuses[-1].state == DriverStatus.READY, "the recovery")
            inject(DriverStatus.UNAVAILABLE, "brakes closed")
            refused = observer.call(Trigger, "driver/recover", Trigger.Request())
            assert not refused.success
            assert "a person must act first: brakes closed" in refused.message
            inject(DriverStatus.READY)
            assert moved(-0.02) > 0.015
            bad = observer.call(InjectFault, "cell/inject_fault", InjectFault.Request(state=7))
            assert not bad.success
    finally:
        cell.stop()
