"""The gripper as this project's own drivers offer it: an action that moves to a width.

A goal ends when the width is reached, or when the fingers have stopped on something. Guarded by
tests/graph/test_cell_node.py.
"""

from __future__ import annotations

import math

from rclpy.action import GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from vipa_msgs.action import MoveGripper
from vipa_sim.cell import MAXIMUM_WIDTH, Cell
from vipa_sim.nodes.finger_goals import FingerGoal, FingerGoals, serve


class GripperServer:
    """Serves ``gripper/move``."""

    def __init__(self, node: Node, cell: Cell) -> None:
        """Serve the gripper of ``cell`` on ``node``."""
        self._node = node
        self._cell = cell
        self._goals = FingerGoals(cell)
        self._server = serve(node, MoveGripper, "gripper/move", self._judge_goal, self._begin)

    def update(self, now: float) -> None:
        """Follow the goal at simulated time ``now`` in s."""
        self._goals.update(now)

    def abort(self) -> None:
        """End a running goal because something else took its place."""
        self._goals.abort()

    def _judge_goal(self, request: MoveGripper.Goal) -> GoalResponse:
        values = (request.width, request.speed, request.force)
        fits = all(math.isfinite(value) for value in values) and 0.0 <= request.width <= MAXIMUM_WIDTH
        if fits and request.speed >= 0.0 and request.force >= 0.0:
            return GoalResponse.ACCEPT
        self._node.get_logger().error(
            f"gripper goal refused: expected a width of 0 to {MAXIMUM_WIDTH} m and a speed and force of 0 or more, "
            f"got {request.width} m, {request.speed} m/s, {request.force} N",
            throttle_duration_sec=1.0,
        )
        return GoalResponse.REJECT

    def _begin(self, goal: ServerGoalHandle) -> None:
        request = goal.request
        followed = FingerGoal(goal, self._result, lambda: MoveGripper.Feedback(width=self._cell.gripper_width))
        self._goals.begin(followed, request.width, request.speed, request.force)

    def _result(self, settled: bool) -> tuple[MoveGripper.Result, bool]:
        reached = settled and self._cell.gripper_reached
        stalled = settled and not reached
        return MoveGripper.Result(reached=reached, stalled=stalled, width=self._cell.gripper_width), settled
