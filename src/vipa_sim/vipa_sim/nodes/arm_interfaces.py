"""Which drivers of arm and gripper the cell stands in for: the place where its parameters choose.

Each kind takes commands through the interface that the real driver has, and drives the same simulated arm or fingers.
Guarded by tests/graph/test_controllers.py and tests/graph/test_grippers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from rclpy.node import Node

from vipa_sim.cell import Cell
from vipa_sim.nodes.cell_parameters import CellParameters
from vipa_sim.nodes.fake_franka_gripper import FakeFrankaGripper
from vipa_sim.nodes.fake_gripper_controller import FakeGripperController
from vipa_sim.nodes.fake_joint_trajectory import FakeJointTrajectory
from vipa_sim.nodes.fake_servo import FakeServo
from vipa_sim.nodes.gripper_server import GripperServer
from vipa_sim.nodes.target_input import TargetInput


class ArmInterface(Protocol):
    """Takes commands for the arm and aims it, once a tick."""

    accepted: int
    refused: int

    def update(self, now: float) -> None:
        """Aim the arm at simulated time ``now`` in s by what came."""

    def restart(self, stamp_ns: int) -> None:
        """Forget all commands stamped before ``stamp_ns`` (ns): the arm was put at rest elsewhere."""


class GripperInterface(Protocol):
    """Takes goals for the fingers and follows them, once a tick."""

    def update(self, now: float) -> None:
        """Follow the goal at simulated time ``now`` in s."""

    def abort(self) -> None:
        """End a running goal because something else took its place."""


ARM_INTERFACES: Mapping[str, Callable[[Node, Cell, CellParameters], ArmInterface]] = {
    "pose": lambda node, cell, values: TargetInput(node, cell, values.largest_jump),
    "servo": lambda node, cell, values: FakeServo(node, cell),
    "joint_trajectory": lambda node, cell, values: FakeJointTrajectory(node, cell),
}
"""By the value of the parameter ``arm_interface``."""

GRIPPER_INTERFACES: Mapping[str, Callable[[Node, Cell], GripperInterface]] = {
    "move": GripperServer,
    "franka": FakeFrankaGripper,
    "gripper_command": FakeGripperController,
}
"""By the value of the parameter ``gripper_interface``."""


def make_interfaces(node: Node, cell: Cell, values: CellParameters) -> tuple[ArmInterface, GripperInterface]:
    """Return the interfaces that the parameters name; ``cell_parameters.CHOICES`` has their names."""
    arm = ARM_INTERFACES[values.arm_interface](node, cell, values)
    return arm, GRIPPER_INTERFACES[values.gripper_interface](node, cell)
