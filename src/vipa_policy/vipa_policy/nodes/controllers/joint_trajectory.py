"""Setpoints for ros2_control's joint_trajectory_controller: inverse kinematics, then short windows of joint positions.

What the controller does with trajectories on its topic decides what is sent (ros2_controllers, branch jazzy; see
docs/joint_trajectory.md):

* A new message replaces the running trajectory whole. Until its first point is due, the controller interpolates from
  the *measured* joints, which lag behind the commanded ones; between two points it interpolates between those. So every
  message begins with points that are already being executed: the new window continues the old one exactly, and where
  the joints are measured to be never enters.
* With a header stamp of 0 the controller would begin when the message happens to arrive: jitter would become
  motion. So messages are stamped: a setpoint is due ``joint_delay`` after its own stamp; past points are passed over.
* A trajectory that ends in the past is refused, with a line in the controller's log and nothing else. So the delay must
  be longer than a message takes, and what the controller executes is compared with what was sent.
* Positions only: it interpolates linearly, and an end with a velocity, which is refused, cannot happen. After the last
  point it stands there: a stream that ends is a hold.

Guarded by tests/graph/test_joint_trajectory.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from control_msgs.msg import JointTrajectoryControllerState
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vipa_policy.control.executor import Setpoint
from vipa_policy.control.joint_stream import JointStream, JointStreamSettings, SentJoints
from vipa_policy.control.kinematics import Kinematics
from vipa_policy.errors import KinematicsError
from vipa_policy.geometry import Array
from vipa_policy.nodes.controllers.topics import sole_stream_problem
from vipa_policy.nodes.conversions import NANOSECONDS, seconds_of, stamp_from_nanoseconds
from vipa_policy.nodes.robot_model import RobotModel

COMMAND_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
STATE_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# s for which what the controller executes may differ from what was sent, while the first message is on its way.
GRACE = 0.3
# s without a setpoint after which the next one begins a new stream from the measured joints.
LONGEST_GAP = 0.2


class JointTrajectoryController:
    """Publishes setpoints as windows of joint positions on ``<joint_controller>/joint_trajectory``."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        """Connect. Raises ValueError where the values of the parameters contradict each other."""
        self._node = node
        self._settings = JointStreamSettings(
            acceleration=values["joint_acceleration"],
            velocity_share=values["joint_velocity_share"],
            position_tolerance=values["joint_position_tolerance"],
            rotation_tolerance=values["joint_rotation_tolerance"],
        )
        self._timeout: float = values["joint_state_timeout"]
        self._error: float = values["joint_following_error"]
        self._delay: float = values["joint_delay"]
        self._period = 1.0 / values["rate"]
        name: str = values["joint_controller"]
        self._topic = f"{name}/joint_trajectory"
        self._state_topic = f"{name}/controller_state"
        self._robot = RobotModel(node, values["base_frame"], values["tip_frame"], self._timeout)
        self._sent = SentJoints(self._delay)
        self._stream: JointStream | None = None
        self._refusal = ""
        self._state = JointTrajectoryControllerState()
        self._state_stamp = self._begun = float("-inf")
        self._deviating_since: float | None = None
        self._deviation = ""
        self._publisher = node.create_publisher(JointTrajectory, self._topic, COMMAND_QOS)
        self._subscription = node.create_subscription(
            JointTrajectoryControllerState, self._state_topic, self._take_state, STATE_QOS
        )

    def problem(self, now: float) -> str:
        """Say who is missing, what is not known, what the controller does not do, or what the joints cannot."""
        return (
            sole_stream_problem(self._node, self._topic)
            or self._robot.problem(now)
            or self._state_problem(now)
            or self._refusal
            or self._deviation
            or self._joints_problem()
        )

    def send(self, setpoint: Setpoint) -> None:
        """Publish what is under way, up to the joints for a setpoint; nothing where the joints are not known."""
        kinematics, joints = self._robot.kinematics, self._robot.joints
        if kinematics is None or joints is None or setpoint.stamp - self._robot.stamp > self._timeout:
            return
        try:
            stream = self._current(kinematics, joints, setpoint.stamp)
            self._sent.add(stream.advance(setpoint.base_from_tip, setpoint.stamp))
            self._refusal = ""
        except (KinematicsError, ValueError) as error:
            self._stream, self._refusal = None, str(error)
            return
        self._publisher.publish(self._message(kinematics))

    def measured(self, base_from_tip: Array, stamp: float) -> None:
        """Nothing to correct: the controller closes the loop to its joints itself."""

    def rest(self) -> None:
        """Nothing to tell: the controller stands at the last point. The next stream starts from the measured joints."""
        self._stream, self._refusal, self._deviation, self._deviating_since = None, "", "", None
        self._sent.clear()

    def values(self) -> Mapping[str, str]:
        """Pairs for the diagnostics."""
        kinematics, joints = self._robot.kinematics, self._robot.joints
        if kinematics is None or joints is None:
            return {}
        margin = float(np.minimum(joints - kinematics.lower, kinematics.upper - joints).min())
        values = {
            "nearest joint limit (rad)": f"{margin:.3f}",
            "smallest singular value (m/rad)": f"{kinematics.smallest_singular_value(joints):.3f}",
        }
        if self._stream is not None:
            values["tip behind its plan (m)"] = f"{self._stream.last.position_error:.5f}"
        return values

    def destroy(self) -> None:
        """Let go of everything made on the node."""
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_publisher(self._publisher)
        self._robot.destroy()

    def _current(self, kinematics: Kinematics, joints: Array, stamp: float) -> JointStream:
        """Return the stream, a new one from the measured joints where there is none that goes on from where the arm is.

        Raises ValueError where the joints are measured beyond their limits.
        """
        stream = self._stream
        if stream is not None:
            last = stream.last
            moved_away = stream.at_rest and float(np.abs(joints - last.joints).max()) > self._error
            if not moved_away and 0.0 <= stamp - last.stamp <= LONGEST_GAP:
                return stream
        # A step before the setpoint, so that the first point is where the arm is.
        self._stream = JointStream(kinematics, self._settings, joints, stamp - self._period)
        self._sent.clear()
        self._sent.add(self._stream.last)
        self._begun, self._deviating_since, self._deviation = stamp, None, ""
        return self._stream

    def _message(self, kinematics: Kinematics) -> JointTrajectory:
        window = self._sent.window()
        begin = round(window[0][0] * NANOSECONDS)
        message = JointTrajectory(joint_names=list(kinematics.joint_names))
        message.header.stamp = stamp_from_nanoseconds(begin)
        for due, joints in window:
            seconds, rest = divmod(round(due * NANOSECONDS) - begin, NANOSECONDS)
            message.points.append(
                JointTrajectoryPoint(positions=joints.tolist(), time_from_start=Duration(sec=seconds, nanosec=rest))
            )
        return message

    def _take_state(self, message: JointTrajectoryControllerState) -> None:
        self._state, self._state_stamp = message, seconds_of(message.header.stamp)
        self._compare()

    def _joints_problem(self) -> str:
        if self._stream is not None:
            return self._stream.problem
        kinematics, joints = self._robot.kinematics, self._robot.joints
        return kinematics.outside(joints) if kinematics is not None and joints is not None else ""

    def _state_problem(self, now: float) -> str:
        topic = self._node.resolve_topic_name(self._state_topic)
        if self._state_stamp == float("-inf"):
            return f"nothing on {topic}: is the controller loaded and active?"
        age = now - self._state_stamp
        if abs(age) > self._timeout:
            return f"{topic} is {age:.2f} s old, expected at most {self._timeout} s: is the controller active?"
        kinematics = self._robot.kinematics
        if kinematics is not None and set(self._state.joint_names) != set(kinematics.joint_names):
            expected, told = ", ".join(kinematics.joint_names), ", ".join(self._state.joint_names)
            return f"the controller moves the joints {told}, expected {expected}"
        return ""

    def _compare(self) -> None:
        """Compare what the controller executes with what was sent to it: it does not say what it refuses."""
        kinematics = self._robot.kinematics
        if self._stream is None or kinematics is None or self._state_stamp < self._begun + GRACE:
            return
        wanted = self._sent.at(self._state_stamp)
        places = {name: index for index, name in enumerate(self._state.joint_names)}
        executed = np.asarray(self._state.reference.positions, dtype=float)
        if wanted is None or len(executed) != len(places) or not set(kinematics.joint_names) <= set(places):
            return
        error = np.abs(executed[[places[name] for name in kinematics.joint_names]] - wanted)
        if not float(error.max()) > self._error:
            self._deviating_since, self._deviation = None, ""
            return
        if self._deviating_since is None:
            self._deviating_since = self._state_stamp
        if self._state_stamp - self._deviating_since > self._delay:
            worst = int(np.argmax(error))
            self._deviation = (
                f"the controller executes something else than it was sent: {kinematics.joint_names[worst]} is "
                f"{error[worst]:.3f} rad off; does it refuse trajectories that come late (joint_delay, clocks), or "
                "hold after a violated tolerance? See its log"
            )
