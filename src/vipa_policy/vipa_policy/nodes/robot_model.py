"""The arm's joints as a node hears of them: the robot's description, and what the joints were measured to do.

The single place where ``robot_description`` and ``joint_states`` become kinematics and arrays of the arm's joints. For
the watch on the posture (``control.posture``) and for kinds of controller that command joints.
Guarded by tests/graph/test_joint_trajectory.py.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from vipa_policy.control.kinematics import Kinematics
from vipa_policy.errors import KinematicsError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import seconds_of

# As robot_state_publisher offers it: once, for whoever comes later, too.
DESCRIPTION_QOS = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
# Matches publishers of either reliability; only the newest counts.
STATES_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class RobotModel:
    """Kinematics and measured joints of the chain from ``base_frame`` to ``tip_frame``.

    Args:
        node: to listen on.
        base_frame, tip_frame: of the chain.
        timeout: s, oldest joint state that says something about now.
        measured: called with every measurement: angles (n,) in rad, velocities (n,) in rad/s and their stamp in s.
    """

    def __init__(
        self,
        node: Node,
        base_frame: str,
        tip_frame: str,
        timeout: float,
        measured: Callable[[Array, Array, float], None] | None = None,
    ) -> None:
        self._node = node
        self._base_frame, self._tip_frame, self._timeout = base_frame, tip_frame, timeout
        self._measured = measured
        self._text = ""
        self._refusal = ""
        self._state_refusal = ""
        self.kinematics: Kinematics | None = None
        """Of the newest description that will do; None before the first."""
        self.joints: Array | None = None
        """(n,) in rad, the newest measurement; None before the first."""
        self.velocities: Array | None = None
        """(n,) in rad/s, the same; zeros where the driver tells none."""
        self.stamp = float("-inf")
        """s, of the newest measurement."""
        self._entities = [
            node.create_subscription(String, "robot_description", self._take_description, DESCRIPTION_QOS),
            node.create_subscription(JointState, "joint_states", self._take_states, STATES_QOS),
        ]

    def problem(self, now: float) -> str:
        """Say why nothing is known of the joints at ``now`` (s), "" where all is."""
        description = self._node.resolve_topic_name("robot_description")
        states = self._node.resolve_topic_name("joint_states")
        if self._refusal:
            return f"{description} cannot be used: {self._refusal}"
        if self.kinematics is None:
            return f"no robot description on {description}: is robot_state_publisher running?"
        if self._state_refusal:
            return f"{states} cannot be used: {self._state_refusal}"
        if self.joints is None:
            return f"no joint states on {states} yet"
        age = now - self.stamp
        if abs(age) > self._timeout:
            return f"joint states on {states} are {age:.2f} s old, expected at most {self._timeout} s"
        return ""

    def destroy(self) -> None:
        """Stop listening."""
        for entity in self._entities:
            self._node.destroy_subscription(entity)

    def _take_description(self, message: String) -> None:
        """Take a description, unless it is the one that is known; a new one makes the joints unknown."""
        if message.data == self._text:
            return
        self._text = message.data
        self.kinematics = self.joints = self.velocities = None
        try:
            self.kinematics = Kinematics(message.data, self._base_frame, self._tip_frame)
            self._refusal = ""
        except KinematicsError as error:
            self._refusal = str(error)
            self._node.get_logger().error(f"robot description refused: {error}")

    def _take_states(self, message: JointState) -> None:
        """Take the arm's joints out of a message; other messages on the topic, of a gripper, pass by."""
        if self.kinematics is None:
            return
        places = {name: index for index, name in enumerate(message.name)}
        names = self.kinematics.joint_names
        present = [name in places for name in names]
        if not any(present):
            return
        if not all(present):
            missing = [name for name, there in zip(names, present, strict=True) if not there]
            self._state_refusal = f"expected all joints of the arm in one message, {', '.join(missing)} are missing"
            return
        order = [places[name] for name in names]
        positions = np.asarray(message.position, dtype=float)
        velocities = np.asarray(message.velocity if message.velocity else np.zeros(len(message.name)), dtype=float)
        if len(positions) != len(message.name) or len(velocities) != len(message.name):
            self._state_refusal = f"expected a position for each of {len(message.name)} names, got {len(positions)}"
            return
        joints, speeds = positions[order], velocities[order]
        if not (np.all(np.isfinite(joints)) and np.all(np.isfinite(speeds))):
            self._state_refusal = f"expected finite joint angles and velocities, got {joints} and {speeds}"
            return
        self._state_refusal = ""
        self.joints, self.velocities, self.stamp = joints, speeds, seconds_of(message.header.stamp)
        if self._measured is not None:
            self._measured(joints, speeds, self.stamp)
