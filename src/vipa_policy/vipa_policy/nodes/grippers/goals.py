"""One outstanding goal of an action, whatever becomes of it: answered, refused, forgotten, or its server gone.

The single place where the grippers talk to action servers. Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from rclpy.node import Node
from rclpy.task import Future

from vipa_policy.control.gripper import Outcome

LOOK_PERIOD = 0.05  # s, between two looks at what waits or was lost
# s: fingers take a second or two; a goal older than this was lost with its server.
LONGEST_GOAL = 5.0

Judge = Callable[[Any], Outcome]
"""Tells from an action's result, of a goal that ended as succeeded or aborted, how it ended."""


def serving_problem(node: Node, *names: str) -> str:
    """Say which of some actions nobody serves, or more than one, "" where each has its server.

    Two servers both answer to a goal, and rclpy's client ends its process at the second answer.
    """
    for name in names:
        full = node.resolve_service_name(name)
        servers = node.count_services(f"{full}/_action/send_goal")
        if servers == 0:
            return f"nobody serves {full}: is the gripper's driver running?"
        if servers > 1:
            return f"{servers} drivers serve {full}: stop all but one"
    return ""


class Goals:
    """Sends goals, one at a time, and tells how each ended.

    Args:
        node: of the arm.
        ended: called with the outcome and the time in s, once a goal.
    """

    def __init__(self, node: Node, ended: Callable[[Outcome, float], None]) -> None:
        self._node = node
        self._ended = ended
        self._client: ActionClient | None = None
        self._judge: Judge = lambda result: Outcome.REACHED
        self._sent = 0.0
        # Answers to a goal that was given up must not be taken for those to a later one.
        self._number = 0

    @property
    def outstanding(self) -> bool:
        """Whether a goal was sent and has not ended."""
        return self._client is not None

    @property
    def now(self) -> float:
        """The node's ROS clock in s."""
        return float(self._node.get_clock().now().nanoseconds * 1e-9)

    def send(self, client: ActionClient, goal: Any, judge: Judge, now: float) -> None:
        """Send a goal at ``now`` (s); none may be outstanding."""
        self._client, self._judge, self._sent = client, judge, now
        self._number += 1
        number = self._number
        client.send_goal_async(goal).add_done_callback(lambda future: self._answered(future, number))

    def look(self, now: float) -> None:
        """Give up at ``now`` (s) a goal that nobody will answer."""
        if self._client is None:
            return
        if not self._client.server_is_ready():
            self._lose("the gripper's driver went away during a goal", now)
        elif not 0.0 <= now - self._sent <= LONGEST_GOAL:
            self._lose(f"no answer to a gripper goal for {LONGEST_GOAL} s", now)

    def _lose(self, why: str, now: float) -> None:
        self._node.get_logger().warning(f"{why}; it is sent again if it is still wanted", throttle_duration_sec=1.0)
        self._end(Outcome.LOST, now)

    def _end(self, outcome: Outcome, now: float) -> None:
        self._client = None
        self._number += 1
        self._ended(outcome, now)

    def _answered(self, future: Future, number: int) -> None:
        handle: ClientGoalHandle | None = future.result()
        if number != self._number:
            return
        if handle is None or not handle.accepted:
            self._lose("the gripper's driver refused a goal; see its log", self.now)
            return
        handle.get_result_async().add_done_callback(lambda result: self._finished(result, number))

    def _finished(self, future: Future, number: int) -> None:
        if number != self._number:
            return
        answer = future.result()
        if answer is None or answer.status not in (GoalStatus.STATUS_SUCCEEDED, GoalStatus.STATUS_ABORTED):
            self._lose("a gripper goal was cancelled by somebody else", self.now)
        else:
            self._end(self._judge(answer.result), self.now)
