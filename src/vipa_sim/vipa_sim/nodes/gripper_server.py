"""The gripper as an arm driver offers it: an action that moves to a width, one goal at a time.

A new goal preempts the one before. A goal ends when the width is reached, when the fingers have stopped on something,
or when it is cancelled. Guarded by tests/graph/test_cell_node.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from vipa_msgs.action import MoveGripper
from vipa_sim.cell import MAXIMUM_WIDTH, Cell

# s for which the fingers must stand before a goal counts as over: a block between them is squeezed and springs back.
SETTLED = 0.1
FEEDBACK_PERIOD = 0.1


class GripperServer:
    """Serves ``gripper/move`` from within the cell's loop: nothing here waits."""

    def __init__(self, node: Node, cell: Cell) -> None:
        """Serve the gripper of ``cell`` on ``node``."""
        self._node = node
        self._cell = cell
        self._goal: ServerGoalHandle | None = None
        self._still_since: float | None = None
        self._next_feedback = 0.0
        self._server = ActionServer(
            node,
            MoveGripper,
            "gripper/move",
            execute_callback=lambda goal: MoveGripper.Result(),
            goal_callback=self._judge_goal,
            handle_accepted_callback=self._begin,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
        )

    def destroy(self) -> None:
        """Stop serving."""
        self._server.destroy()

    def update(self, now: float) -> None:
        """Follow the goal at simulated time ``now`` in s."""
        goal = self._goal
        if goal is None:
            return
        if goal.is_cancel_requested:
            self._cell.set_gripper(self._cell.gripper_width)
            self._end(goal, goal.canceled, settled=False)
        elif self._cell.gripper_moving:
            self._still_since = None
        elif self._still_since is None:
            self._still_since = now
        elif now - self._still_since >= SETTLED:
            self._end(goal, goal.succeed, settled=True)
        if self._goal is not None and now >= self._next_feedback:
            self._next_feedback = now + FEEDBACK_PERIOD
            goal.publish_feedback(MoveGripper.Feedback(width=self._cell.gripper_width))

    def abort(self) -> None:
        """End a running goal because something else took its place."""
        if self._goal is not None:
            self._end(self._goal, self._goal.abort, settled=False)

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
        self.abort()
        self._goal, self._still_since = goal, None
        self._cell.set_gripper(goal.request.width, goal.request.speed, goal.request.force)

    def _end(self, goal: ServerGoalHandle, transition: Callable[[], None], settled: bool) -> None:
        """Hand the result to the executor; the goal was left unexecuted until now so that nothing waits for it."""
        reached = settled and self._cell.gripper_reached
        result = MoveGripper.Result(reached=reached, stalled=settled and not reached, width=self._cell.gripper_width)

        def execute(_: ServerGoalHandle) -> MoveGripper.Result:
            transition()
            return result

        self._goal = None
        goal.execute(execute)
