"""The gripper as ros2_control's gripper controllers offer it: positions, here the gap in m, by GripperCommand.

Kept of the real ones: that fingers which stop short abort the goal as stalled. Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

import math

from control_msgs.action import GripperCommand
from rclpy.action import GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from vipa_sim.cell import Cell
from vipa_sim.nodes.finger_goals import FingerGoal, FingerGoals, serve

NAME = "gripper_controller/gripper_cmd"


class FakeGripperController:
    """Serves ``gripper_controller/gripper_cmd``."""

    def __init__(self, node: Node, cell: Cell) -> None:
        """Serve the gripper of ``cell`` on ``node``."""
        self._cell = cell
        self._goals = FingerGoals(cell)
        self._server = serve(node, GripperCommand, NAME, self._judge, self._begin)

    def update(self, now: float) -> None:
        """Follow the goal at simulated time ``now`` in s."""
        self._goals.update(now)

    def abort(self) -> None:
        """End a running goal because something else took its place."""
        self._goals.abort()

    @staticmethod
    def _judge(request: GripperCommand.Goal) -> GoalResponse:
        command = request.command
        fits = math.isfinite(command.position) and math.isfinite(command.max_effort)
        return GoalResponse.ACCEPT if fits else GoalResponse.REJECT

    def _begin(self, handle: ServerGoalHandle) -> None:
        command = handle.request.command
        goal = FingerGoal(handle, self._result, lambda: GripperCommand.Feedback(position=self._cell.gripper_width))
        self._goals.begin(goal, command.position, 0.0, max(command.max_effort, 0.0))

    def _result(self, settled: bool) -> tuple[GripperCommand.Result, bool]:
        reached = settled and self._cell.gripper_reached
        stalled = settled and not reached
        return GripperCommand.Result(position=self._cell.gripper_width, reached_goal=reached, stalled=stalled), reached
