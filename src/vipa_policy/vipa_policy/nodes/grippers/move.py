"""Gripper goals of the simulated cell and of this project's own drivers: the action ``gripper/move``.

Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.node import Node
from rclpy.task import Future

from vipa_msgs.action import MoveGripper

# s: fingers take a second or two; a goal older than this was lost with its server.
LONGEST_GOAL = 5.0


class MoveGripperClient:
    """One outstanding goal on ``gripper/move``."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        self._node = node
        self._client = ActionClient(node, MoveGripper, "gripper/move")
        self._sent: float | None = None

    def busy(self, now: float) -> bool:
        """Whether a goal is under way at ``now`` (s), or nobody is there to take one."""
        if self._sent is None:
            return not self._client.server_is_ready()
        if now - self._sent > LONGEST_GOAL:
            self._node.get_logger().warning(f"no answer to a gripper goal for {LONGEST_GOAL} s; a new one may be sent")
            self._sent = None
        return self._sent is not None

    def send(self, width: float, now: float) -> None:
        """Send a goal: width in m between the fingers."""
        self._sent = now
        self._client.send_goal_async(MoveGripper.Goal(width=width)).add_done_callback(self._answered)

    def destroy(self) -> None:
        """Let go of the action."""
        self._client.destroy()

    def _answered(self, future: Future) -> None:
        handle: ClientGoalHandle | None = future.result()
        if handle is None or not handle.accepted:
            self._node.get_logger().warning("the gripper refused a goal; see the arm driver's log")
            self._sent = None
            return
        handle.get_result_async().add_done_callback(self._ended)

    def _ended(self, future: Future) -> None:
        self._sent = None
