"""What must hold before a simulated cell may speak: the loopback only, and nobody else driving an arm.

Guarded by tests/graph/test_cell_refusals.py.
"""

from __future__ import annotations

import os
import time

from rclpy.executors import Executor
from rclpy.node import Node

# Discovery on the loopback took up to 2.5 s where it was measured.
DISCOVERY = 3.0
# What rclpy calls the node of a publisher that was discovered before the node itself.
NAMELESS = "_NODE_NAME_UNKNOWN_"


def stay_on_loopback() -> str:
    """Restrict this process to the loopback; must run before ``rclpy.init``.

    Simulated joint states and transforms on a robot's network would be taken for the robot's own. So the cell does not
    rely on whoever starts it. Returns a sentence where it overrode a setting, "" otherwise.
    """
    asked = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    peers = os.environ.pop("ROS_STATIC_PEERS", "")
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    overrides = []
    if asked not in ("", "LOCALHOST"):
        overrides.append(f"ROS_AUTOMATIC_DISCOVERY_RANGE={asked}")
    if peers:
        overrides.append(f"ROS_STATIC_PEERS={peers}")
    if not overrides:
        return ""
    return f"the simulated cell stays on the loopback: {' and '.join(overrides)} ignored"


def find_rival(node: Node, executor: Executor, since: float, topic: str = "joint_states") -> str:
    """Return the name of a node that already publishes ``topic``; "" where none has shown up.

    Must run before ``node`` publishes the topic itself.

    Args:
        node: the cell.
        executor: that serves it.
        since: when the node came to be, time.monotonic(); waits until ``DISCOVERY`` s after it.
        topic: to look for.
    """
    resolved = node.resolve_topic_name(topic)
    rival = ""
    while True:
        for info in node.get_publishers_info_by_topic(resolved):
            rival = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            if info.node_name != NAMELESS:
                return rival
        remaining = since + DISCOVERY - time.monotonic()
        if remaining <= 0.0:
            return rival
        executor.spin_once(timeout_sec=min(remaining, 0.1))
