"""Gripper goals as ros2_control's gripper controllers take them: the action control_msgs/GripperCommand.

What they call a position differs: the gap, the travel of one finger, the angle of a joint; parameters say which.
Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from control_msgs.action import GripperCommand
from control_msgs.msg import GripperCommand as Command
from rclpy.node import Node

from vipa_policy.control.gripper import Convention, Outcome
from vipa_policy.nodes.grippers.width_client import WidthClient


def _outcome(result: GripperCommand.Result) -> Outcome:
    return Outcome.REACHED if result.reached_goal else Outcome.MISSED


class GripperCommandClient(WidthClient):
    """Widths as positions of a GripperCommand."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        convention = Convention(
            values["gripper_command_closed"], values["gripper_command_open"], values["gripper_largest"]
        )
        effort: float = values["gripper_force"]
        super().__init__(
            node,
            GripperCommand,
            values["gripper_command_action"],
            lambda width: GripperCommand.Goal(command=Command(position=convention.position(width), max_effort=effort)),
            _outcome,
        )
