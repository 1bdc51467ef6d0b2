"""The hand as franka_gripper offers it: move, grasp and homing as actions, the fingers as joint states.

Kept of the real node: names and types, that every goal is accepted, that a goal which failed is aborted with
``success`` false, that a grasp closes until something stops the fingers and succeeds where they stop within epsilon of
the width asked for. Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from franka_msgs.action import Grasp, Homing, Move
from rclpy.action import GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from vipa_policy.nodes.conversions import stamp_from_seconds
from vipa_sim.cell import JOINT_NAMES, MAXIMUM_WIDTH, Cell
from vipa_sim.nodes.finger_goals import FingerGoal, FingerGoals, serve

NAME = "franka_gripper"
STATE_PERIOD = 1.0 / 15.0  # s; franka_gripper_node.yaml has 15 Hz


class FakeFrankaGripper:
    """Serves ``franka_gripper/move``, ``/grasp`` and ``/homing``."""

    def __init__(self, node: Node, cell: Cell) -> None:
        """Serve the gripper of ``cell`` on ``node``."""
        self._cell = cell
        self._goals = FingerGoals(cell)
        self._next_state = 0.0
        self._states = node.create_publisher(JointState, f"{NAME}/joint_states", QoSProfile(depth=1))
        self._servers = [
            serve(node, action, f"{NAME}/{name}", lambda request: GoalResponse.ACCEPT, begin)
            for action, name, begin in (
                (Move, "move", self._move),
                (Grasp, "grasp", self._grasp),
                (Homing, "homing", self._home),
            )
        ]

    def update(self, now: float) -> None:
        """Follow the goal, and tell the fingers' places, at simulated time ``now`` in s."""
        self._goals.update(now)
        if now >= self._next_state:
            self._next_state = now + STATE_PERIOD
            state = JointState(name=list(JOINT_NAMES[-2:]), position=[0.5 * self._cell.gripper_width] * 2)
            state.header.stamp = stamp_from_seconds(now)
            self._states.publish(state)

    def abort(self) -> None:
        """End a running goal because something else took its place."""
        self._goals.abort()

    def _move(self, handle: ServerGoalHandle) -> None:
        request = handle.request
        self._begin(handle, Move, lambda: self._cell.gripper_reached, request.width, request.speed)

    def _grasp(self, handle: ServerGoalHandle) -> None:
        request = handle.request
        least, most = request.width - request.epsilon.inner, request.width + request.epsilon.outer
        self._begin(handle, Grasp, lambda: least <= self._cell.gripper_width <= most, 0.0, request.speed, request.force)

    def _home(self, handle: ServerGoalHandle) -> None:
        self._begin(handle, Homing, lambda: self._cell.gripper_reached, MAXIMUM_WIDTH)

    def _begin(
        self,
        handle: ServerGoalHandle,
        action: Any,
        succeeded: Callable[[], bool],
        width: float,
        speed: float = 0.0,
        force: float = 0.0,
    ) -> None:
        def result(settled: bool) -> tuple[Any, bool]:
            success = settled and succeeded()
            return action.Result(success=success, error="" if settled else "the command was preempted"), success

        goal = FingerGoal(handle, result, lambda: action.Feedback(current_width=self._cell.gripper_width))
        self._goals.begin(goal, width, max(speed, 0.0), max(force, 0.0))
