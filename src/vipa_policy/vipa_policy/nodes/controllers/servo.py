"""Setpoints for MoveIt Servo: as poses it tracks, or as twists it integrates.

Both are stamped with the setpoint's time, which Servo compares with its clock, and given in the base frame, which must
be the frame Servo plans in (the base of its kinematics solver); the tip frame must be the tip of that solver. Then the
linear part of a twist is the velocity of the tip itself, and the angular part turns about the tip, both along the axes
of the base frame, whatever ``apply_twist_commands_about_ee_frame`` says. Servo must take speeds
(``command_in_type: speed_units``). Guarded by tests/graph/test_controllers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from moveit_msgs.srv import ServoCommandType
from rclpy.node import Node

from vipa_policy.control.executor import Setpoint
from vipa_policy.control.twist import TwistSettings, TwistStream
from vipa_policy.geometry import Array
from vipa_policy.nodes.controllers.servo_link import COMMAND_QOS, ServoLink
from vipa_policy.nodes.conversions import pose_stamped, stamp_from_seconds, twist_stamped


class ServoPoseController:
    """Publishes every setpoint as a pose on ``pose_target_cmds``; Servo goes there at its own pace and stays."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        self._node = node
        self._base_frame: str = values["base_frame"]
        self._link = ServoLink(node, values, "pose_target_cmds", ServoCommandType.Request.POSE)
        self._publisher = node.create_publisher(PoseStamped, self._link.topic, COMMAND_QOS)

    def problem(self, now: float) -> str:
        """Say why Servo takes no poses at ``now`` (s)."""
        return self._link.problem(now)

    def send(self, setpoint: Setpoint) -> None:
        """Publish a pose, if Servo listens."""
        if self._link.sending(setpoint.stamp):
            stamp = stamp_from_seconds(setpoint.stamp)
            self._publisher.publish(pose_stamped(setpoint.base_from_tip, self._base_frame, stamp))

    def measured(self, base_from_tip: Array, stamp: float) -> None:
        """Nothing to correct: Servo closes the loop to a pose itself."""

    def rest(self) -> None:
        """Pause Servo, where it is to be."""
        self._link.rest()

    def values(self) -> Mapping[str, str]:
        """Pairs for the diagnostics."""
        return self._link.values()

    def destroy(self) -> None:
        """Let go of everything made on the node."""
        self._link.destroy()
        self._node.destroy_publisher(self._publisher)


class ServoTwistController:
    """Publishes the twist of every setpoint on ``delta_twist_cmds``, corrected by what the tip was measured to do."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        self._node = node
        self._base_frame: str = values["base_frame"]
        self._stream = TwistStream(
            TwistSettings(gain=values["servo_gain"], share=values["servo_correction"], lag=values["lead"])
        )
        self._link = ServoLink(node, values, "delta_twist_cmds", ServoCommandType.Request.TWIST)
        self._publisher = node.create_publisher(TwistStamped, self._link.topic, COMMAND_QOS)

    def problem(self, now: float) -> str:
        """Say why Servo takes no twists at ``now`` (s)."""
        return self._link.problem(now)

    def send(self, setpoint: Setpoint) -> None:
        """Publish a twist, if Servo listens."""
        if self._link.sending(setpoint.stamp):
            velocity, turn_rate = self._stream.twist(
                setpoint.stamp, setpoint.base_from_tip, setpoint.velocity, setpoint.turn_rate
            )
            stamp = stamp_from_seconds(setpoint.stamp)
            self._publisher.publish(twist_stamped(velocity, turn_rate, self._base_frame, stamp))

    def measured(self, base_from_tip: Array, stamp: float) -> None:
        """Take where the tip was measured to be: base_from_tip (4, 4) at ``stamp`` in s."""
        self._stream.measure(base_from_tip, stamp)

    def rest(self) -> None:
        """Pause Servo, where it is to be; without, it stands once the last twist, that of rest, is stale."""
        self._stream.restart()
        self._link.rest()

    def values(self) -> Mapping[str, str]:
        """Pairs for the diagnostics."""
        drift = ", ".join(f"{value:.4f}" for value in self._stream.drift.position)
        return {**self._link.values(), "drift from the plan (m)": drift}

    def destroy(self) -> None:
        """Let go of everything made on the node."""
        self._link.destroy()
        self._node.destroy_publisher(self._publisher)
