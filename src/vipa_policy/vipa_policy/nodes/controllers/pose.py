"""Pose targets of the tip as CRISP's Cartesian controllers take them: ``target_pose``, PoseStamped in the base frame.

Guarded by tests/graph/test_controllers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node

from vipa_policy.control.executor import Setpoint
from vipa_policy.geometry import Array
from vipa_policy.nodes.controllers.topics import sole_stream_problem
from vipa_policy.nodes.conversions import pose_stamped, stamp_from_seconds
from vipa_policy.nodes.qos import NEWEST_QOS

TOPIC = "target_pose"


class PoseController:
    """Publishes every setpoint as a pose; at rest the driver keeps the last one."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        self._node = node
        self._base_frame: str = values["base_frame"]
        self._publisher = node.create_publisher(PoseStamped, TOPIC, NEWEST_QOS)

    def problem(self, now: float) -> str:
        """Say who is missing or too many on the topic."""
        return sole_stream_problem(self._node, TOPIC)

    def send(self, setpoint: Setpoint) -> None:
        """Publish a pose."""
        stamp = stamp_from_seconds(setpoint.stamp)
        self._publisher.publish(pose_stamped(setpoint.base_from_tip, self._base_frame, stamp))

    def measured(self, base_from_tip: Array, stamp: float) -> None:
        """Nothing to correct: the driver closes the loop to a pose itself."""

    def rest(self) -> None:
        """Nothing to tell: a pose target does not run on."""

    def values(self) -> Mapping[str, str]:
        """Nothing to tell."""
        return {}

    def destroy(self) -> None:
        """Stop publishing."""
        self._node.destroy_publisher(self._publisher)
