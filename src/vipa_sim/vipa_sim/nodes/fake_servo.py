"""MoveIt Servo as controllers meet it: commands of one type at a time, a status with every cycle, a pause.

What is kept of the real node: names and types, the choice of commands by service, that a command older than 0.1 s halts
the arm, that the last status stays until the next command, that a paused Servo is silent. What is not: its planner,
collisions, joint limits. Guarded by tests/graph/test_controllers.py.
"""

from __future__ import annotations

import math

from geometry_msgs.msg import PoseStamped, TwistStamped
from moveit_msgs.msg import ServoStatus
from moveit_msgs.srv import ServoCommandType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool

from vipa_policy.nodes.conversions import nanoseconds_of
from vipa_sim.cell import BASE_FRAME, Cell
from vipa_sim.nodes.target_input import TargetError, read_target
from vipa_sim.pacing import NANOSECONDS
from vipa_sim.servo import ServoMotion

NAME = "servo_node"
PERIOD = 0.01  # s of a cycle
ROUNDING = 1e-6  # s
COMMAND_TIMEOUT = 0.1  # s
QOS = QoSProfile(depth=1)
COMMAND_TYPES = (
    ServoCommandType.Request.JOINT_JOG,
    ServoCommandType.Request.TWIST,
    ServoCommandType.Request.POSE,
)
MESSAGES = {
    ServoStatus.NO_WARNING: "No warnings",
    ServoStatus.INVALID: "Invalid",
    ServoStatus.HALT_FOR_SINGULARITY: "Very close to a singularity, emergency stop",
}


class FakeServo:
    """Takes ``servo_node/pose_target_cmds`` or ``servo_node/delta_twist_cmds``, whichever it was switched to."""

    def __init__(self, node: Node, cell: Cell) -> None:
        """Serve the arm of ``cell`` on ``node``."""
        self._node = node
        self._motion = ServoMotion(cell)
        self._type = ServoCommandType.Request.JOINT_JOG
        self._paused = self._moving = False
        self._command: PoseStamped | TwistStamped | None = None
        self._not_before_ns = 0
        self._next_cycle = 0.0
        self._code = ServoStatus.NO_WARNING
        self.accepted = 0
        self.refused = 0
        self._status = node.create_publisher(ServoStatus, f"{NAME}/status", QOS)
        self._entities = [
            node.create_subscription(PoseStamped, f"{NAME}/pose_target_cmds", self._receive, QOS),
            node.create_subscription(TwistStamped, f"{NAME}/delta_twist_cmds", self._receive, QOS),
            node.create_service(ServoCommandType, f"{NAME}/switch_command_type", self._switch),
            node.create_service(SetBool, f"{NAME}/pause_servo", self._pause),
        ]

    def update(self, now: float) -> None:
        """Run a cycle when one is due at simulated time ``now`` in s."""
        if self._paused or now < self._next_cycle - ROUNDING:
            return
        # Kept on its own beat: the cell's ticks are no whole number to a cycle, and each integrates a whole one.
        self._next_cycle = max(self._next_cycle + PERIOD, now)
        self._cycle(now)
        self._status.publish(ServoStatus(code=self._code, message=MESSAGES[self._code]))

    def restart(self, stamp_ns: int) -> None:
        """Forget all commands stamped before ``stamp_ns`` (ns); motion starts from where the arm is now."""
        self._not_before_ns, self._command, self._moving = stamp_ns, None, False

    def _cycle(self, now: float) -> None:
        command = self._command
        if command is None:
            return
        if now - nanoseconds_of(command.header.stamp) / NANOSECONDS >= COMMAND_TIMEOUT:
            self._command, self._moving = None, False
            return
        if not self._moving:
            self._motion.begin()
            self._moving = True
        try:
            reached = self._follow(command)
        except TargetError as refusal:
            self._node.get_logger().warning(f"command refused: {refusal}", throttle_duration_sec=1.0)
            self.refused += 1
            self._code, self._command = ServoStatus.INVALID, None
            return
        self._code = ServoStatus.NO_WARNING if reached else ServoStatus.HALT_FOR_SINGULARITY

    def _follow(self, command: PoseStamped | TwistStamped) -> bool:
        if isinstance(command, PoseStamped):
            return self._motion.approach(read_target(command, BASE_FRAME), PERIOD)
        linear, angular = command.twist.linear, command.twist.angular
        velocity, turn_rate = (linear.x, linear.y, linear.z), (angular.x, angular.y, angular.z)
        if command.header.frame_id != BASE_FRAME or not all(map(math.isfinite, (*velocity, *turn_rate))):
            raise TargetError(f"expected finite speeds in '{BASE_FRAME}', got {command}")
        return self._motion.twist(velocity, turn_rate, PERIOD)

    def _receive(self, command: PoseStamped | TwistStamped) -> None:
        wanted = {ServoCommandType.Request.POSE: PoseStamped, ServoCommandType.Request.TWIST: TwistStamped}
        if wanted.get(self._type) is not type(command):
            self.refused += 1
            self._node.get_logger().warning(
                f"a {type(command).__name__} came while commands of type {self._type} are expected; see "
                f"{NAME}/switch_command_type",
                throttle_duration_sec=1.0,
            )
        elif nanoseconds_of(command.header.stamp) >= self._not_before_ns:
            self.accepted += 1
            self._command = command

    def _switch(
        self, request: ServoCommandType.Request, response: ServoCommandType.Response
    ) -> ServoCommandType.Response:
        if request.command_type in COMMAND_TYPES:
            self._type, self._command = request.command_type, None
        response.success = self._type == request.command_type
        return response

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._paused = request.data
        self._command, self._moving = None, False
        response.success = True
        response.message = "Servoing disabled" if self._paused else "Servoing enabled"
        return response
