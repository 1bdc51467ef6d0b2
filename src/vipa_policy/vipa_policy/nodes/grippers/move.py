"""Gripper goals of the simulated cell and of this project's own drivers: the action ``gripper/move``.

Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.node import Node

from vipa_msgs.action import MoveGripper
from vipa_policy.control.gripper import Outcome
from vipa_policy.nodes.grippers.width_client import WidthClient


def _outcome(result: MoveGripper.Result) -> Outcome:
    return Outcome.REACHED if result.reached else Outcome.MISSED


class MoveGripperClient(WidthClient):
    """Widths as goals of ``gripper/move``."""

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        super().__init__(node, MoveGripper, "gripper/move", lambda width: MoveGripper.Goal(width=width), _outcome)
