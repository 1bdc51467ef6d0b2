"""What the grippers share that are simply told a width: the newest wanted is sent, what was lost is sent again.

Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.action import ActionClient
from rclpy.node import Node

from vipa_policy.control.gripper import GoalKeeper
from vipa_policy.nodes.grippers.goals import LOOK_PERIOD, Goals, Judge, serving_problem


class WidthClient:
    """One action that takes widths.

    Args:
        node: of the arm.
        action: type of the action.
        name: of the action.
        goal: makes a goal of a width in m.
        judge: tells from a result how the goal ended.
    """

    def __init__(self, node: Node, action: Any, name: str, goal: Callable[[float], Any], judge: Judge) -> None:
        self._node, self._name = node, name
        self._goal, self._judge = goal, judge
        self._client = ActionClient(node, action, name)
        self._keeper = GoalKeeper()
        self._goals = Goals(node, self._keeper.ended)
        self._trouble = serving_problem(node, name)
        self._timer = node.create_timer(LOOK_PERIOD, lambda: self._look(self._goals.now))

    def problem(self, now: float) -> str:
        """Say why no goal is taken at ``now`` (s), "" where one is."""
        return self._trouble

    def busy(self, now: float) -> bool:
        """Whether a goal is under way at ``now`` (s), or nobody is there to take one."""
        return self._goals.outstanding or bool(self._trouble)

    def send(self, width: float, now: float) -> None:
        """Send a goal: width in m between the fingers."""
        self._keeper.want(width)
        self._look(now)

    def destroy(self) -> None:
        """Let go of the action."""
        self._node.destroy_timer(self._timer)
        self._client.destroy()

    def _look(self, now: float) -> None:
        # Looked up here and not with every setpoint: it asks the whole graph.
        self._trouble = serving_problem(self._node, self._name)
        self._goals.look(now)
        if self._trouble or not self._client.server_is_ready():
            return
        width = self._keeper.next(now)
        if width is not None:
            self._goals.send(self._client, self._goal(width), self._judge, now)
