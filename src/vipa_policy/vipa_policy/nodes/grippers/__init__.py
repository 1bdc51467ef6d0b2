"""What the arm node sends gripper goals to: one small interface, one module per kind of gripper driver.

A gripper takes goals, not a stream: when a wanted width becomes one, ``control.gripper`` decides.
Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rclpy.node import Node

from vipa_policy.nodes.grippers.franka_hand import FrankaHandClient
from vipa_policy.nodes.grippers.gripper_command import GripperCommandClient
from vipa_policy.nodes.grippers.move import MoveGripperClient
from vipa_policy.nodes.kinds import Kinds, make


class Gripper(Protocol):
    """Sends goals to one kind of gripper driver, one at a time."""

    def problem(self, now: float) -> str:
        """Say why no goal is taken at ``now`` (s), "" where one is."""

    def busy(self, now: float) -> bool:
        """Whether a goal is under way at ``now`` (s), or nobody is there to take one."""

    def send(self, width: float, now: float) -> None:
        """Send a goal: width in m between the fingers."""

    def destroy(self) -> None:
        """Let go of everything made on the node."""


KINDS: Kinds[Gripper] = {
    "move": MoveGripperClient,
    "franka_hand": FrankaHandClient,
    "gripper_command": GripperCommandClient,
}
"""By the value of the parameter ``gripper``."""


def make_gripper(node: Node, values: Mapping[str, Any]) -> Gripper:
    """Return the gripper that the parameter ``gripper`` names. Raises ValueError where there is none."""
    return make(KINDS, "gripper", node, values)
