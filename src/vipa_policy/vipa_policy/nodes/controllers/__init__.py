"""What the arm node streams setpoints to: one small interface, one module per kind of arm driver.

A kind turns setpoints into what its driver takes and says when that driver is not there; limits, timing and holds are
the arm node's. Guarded by tests/graph/test_controllers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rclpy.node import Node

from vipa_policy.control.executor import Setpoint
from vipa_policy.geometry import Array
from vipa_policy.nodes.controllers.joint_trajectory import JointTrajectoryController
from vipa_policy.nodes.controllers.pose import PoseController
from vipa_policy.nodes.controllers.servo import ServoPoseController, ServoTwistController
from vipa_policy.nodes.kinds import Kinds, make


class ArmController(Protocol):
    """Takes setpoints of the tip in the base frame to one kind of arm driver."""

    def problem(self, now: float) -> str:
        """Say why the driver takes no setpoints at ``now`` (s), "" where it does."""

    def send(self, setpoint: Setpoint) -> None:
        """Hand a setpoint to the driver."""

    def measured(self, base_from_tip: Array, stamp: float) -> None:
        """Take where the tip was measured to be: base_from_tip (4, 4) at ``stamp`` in s."""

    def rest(self) -> None:
        """Nothing follows for now: a driver that goes on with what it was last told is told to stand."""

    def values(self) -> Mapping[str, str]:
        """Pairs for the diagnostics."""

    def destroy(self) -> None:
        """Let go of everything made on the node."""


KINDS: Kinds[ArmController] = {
    "pose": PoseController,
    "servo_pose": ServoPoseController,
    "servo_twist": ServoTwistController,
    "joint_trajectory": JointTrajectoryController,
}
"""By the value of the parameter ``controller``."""


def make_controller(node: Node, values: Mapping[str, Any]) -> ArmController:
    """Return the controller that the parameter ``controller`` names. Raises ValueError where there is none."""
    return make(KINDS, "controller", node, values)
