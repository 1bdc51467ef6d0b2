"""Goals of a Franka Hand as franka_gripper serves them: move to open, grasp with a force to close.

Which goal a width becomes, and what follows from how it ended, ``control.gripper.HandDecision`` decides from the
measured width. Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from franka_msgs.action import Grasp, Move
from franka_msgs.msg import GraspEpsilon
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from vipa_policy.control.gripper import HandDecision, HandGoal, HandSettings, Outcome
from vipa_policy.nodes.grippers.goals import LOOK_PERIOD, Goals, serving_problem

# franka_gripper tells its fingers' places 15 times a second, reliably; best effort hears it either way.
STATE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
STATE_TIMEOUT = 0.5  # s, beyond which the measured width says nothing about now


class FrankaHandClient:
    """Moves and grasps of ``<gripper_node>/move`` and ``<gripper_node>/grasp``, one goal at a time."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        self._node = node
        self._name: str = values["gripper_node"]
        self._decision = HandDecision(
            HandSettings(
                speed=values["gripper_speed"],
                force=values["gripper_force"],
                smallest=values["gripper_smallest"],
                release=values["gripper_release"],
                largest=values["gripper_largest"],
            )
        )
        self._goals = Goals(node, self._ended)
        self._actions = (f"{self._name}/move", f"{self._name}/grasp")
        self._move = ActionClient(node, Move, self._actions[0])
        self._grasp = ActionClient(node, Grasp, self._actions[1])
        self._heard = float("-inf")
        self._grasping = False
        self._unserved = serving_problem(node, *self._actions)
        self._subscription = node.create_subscription(
            JointState, f"{self._name}/joint_states", self._on_state, STATE_QOS
        )
        self._timer = node.create_timer(LOOK_PERIOD, lambda: self._look(self._goals.now))

    def problem(self, now: float) -> str:
        """Say why no goal is taken at ``now`` (s), "" where one is."""
        if self._unserved:
            return self._unserved
        if not self._measured(now):
            return f"no width of the hand on {self._name}/joint_states for more than {STATE_TIMEOUT} s"
        return ""

    def busy(self, now: float) -> bool:
        """Whether a goal is under way at ``now`` (s), or nobody is there to take one."""
        return self._goals.outstanding or bool(self.problem(now))

    def send(self, width: float, now: float) -> None:
        """Take a wanted width in m between the fingers; what goal it becomes, if any, is decided from the measured."""
        self._decision.want(width)
        self._look(now)

    def destroy(self) -> None:
        """Let go of everything made on the node."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)
        self._move.destroy()
        self._grasp.destroy()

    def _measured(self, now: float) -> bool:
        return now - self._heard <= STATE_TIMEOUT

    def _on_state(self, state: JointState) -> None:
        self._heard = self._goals.now
        if self._decision.measure(sum(state.position) if len(state.position) == 2 else None):
            self._node.get_logger().warning("what the hand held is gone: its fingers have closed")

    def _look(self, now: float) -> None:
        # Looked up here and not with every setpoint: it asks the whole graph.
        self._unserved = serving_problem(self._node, *self._actions)
        self._goals.look(now)
        if not self._measured(now):
            self._decision.measure(None)
        if self.problem(now) or not (self._move.server_is_ready() and self._grasp.server_is_ready()):
            return
        goal = self._decision.next(now)
        if goal is not None:
            self._send(goal, now)

    def _send(self, goal: HandGoal, now: float) -> None:
        self._grasping = goal.grasps
        if goal.grasps:
            epsilon = GraspEpsilon(inner=goal.inner, outer=goal.outer)
            message = Grasp.Goal(width=goal.width, epsilon=epsilon, speed=goal.speed, force=goal.force)
            self._goals.send(self._grasp, message, self._judge, now)
        else:
            self._goals.send(self._move, Move.Goal(width=goal.width, speed=goal.speed), self._judge, now)

    def _judge(self, result: Move.Result | Grasp.Result) -> Outcome:
        if result.success:
            return Outcome.REACHED
        missed = "the grasp found nothing to hold" if self._grasping else "the fingers did not get to their width"
        self._node.get_logger().warning(f"{missed}; franka_gripper says: {result.error or 'nothing'}")
        return Outcome.MISSED

    def _ended(self, outcome: Outcome, now: float) -> None:
        self._decision.ended(outcome, now)
