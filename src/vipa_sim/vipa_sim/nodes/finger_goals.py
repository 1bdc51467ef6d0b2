"""Goals of the fingers, one at a time, whatever action they came by: the single place where one is followed and ended.

A new goal preempts the one before. A goal ends when the fingers stand, when it is cancelled, or when something else
takes its place. Guarded by tests/graph/test_cell_node.py and tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node

from vipa_sim.cell import Cell

# s for which the fingers must stand before a goal counts as over: a block between them is squeezed and springs back.
SETTLED = 0.1
FEEDBACK_PERIOD = 0.1


@dataclass(frozen=True)
class FingerGoal:
    """A goal under way.

    Attributes:
        handle: of the action server.
        result: makes the result, told whether the fingers came to stand, and whether the goal succeeded.
        feedback: makes the feedback.
    """

    handle: ServerGoalHandle
    result: Callable[[bool], tuple[Any, bool]]
    feedback: Callable[[], Any]


class FingerGoals:
    """Follows the running goal from within the cell's loop: nothing here waits."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._goal: FingerGoal | None = None
        self._still_since: float | None = None
        self._next_feedback = 0.0

    def begin(self, goal: FingerGoal, width: float, speed: float, force: float) -> None:
        """Send the fingers to a width (m) at a speed (m/s) with a force (N), 0 for the defaults."""
        self.abort()
        self._goal, self._still_since = goal, None
        self._cell.set_gripper(width, speed, force)

    def update(self, now: float) -> None:
        """Follow the goal at simulated time ``now`` in s."""
        goal = self._goal
        if goal is None:
            return
        if goal.handle.is_cancel_requested:
            self._cell.set_gripper(self._cell.gripper_width)
            self._end(goal, goal.handle.canceled, settled=False)
        elif self._cell.gripper_moving:
            self._still_since = None
        elif self._still_since is None:
            self._still_since = now
        elif now - self._still_since >= SETTLED:
            self._end(goal, None, settled=True)
        if self._goal is not None and now >= self._next_feedback:
            self._next_feedback = now + FEEDBACK_PERIOD
            goal.handle.publish_feedback(goal.feedback())

    def abort(self) -> None:
        """End a running goal because something else took its place."""
        if self._goal is not None:
            self._end(self._goal, self._goal.handle.abort, settled=False)

    def _end(self, goal: FingerGoal, transition: Callable[[], None] | None, settled: bool) -> None:
        """Hand the result to the executor; the goal was left unexecuted until now so that nothing waits for it."""
        result, success = goal.result(settled)
        end = transition or (goal.handle.succeed if success else goal.handle.abort)

        def execute(_: ServerGoalHandle) -> Any:
            end()
            return result

        self._goal = None
        goal.handle.execute(execute)


def serve(
    node: Node,
    action: Any,
    name: str,
    judge: Callable[[Any], GoalResponse],
    begin: Callable[[ServerGoalHandle], None],
) -> ActionServer:
    """Serve an action whose accepted goals are handed to ``begin`` and end by ``FingerGoals``."""
    return ActionServer(
        node,
        action,
        name,
        execute_callback=lambda goal: action.Result(),
        goal_callback=judge,
        handle_accepted_callback=begin,
        cancel_callback=lambda goal: CancelResponse.ACCEPT,
    )
