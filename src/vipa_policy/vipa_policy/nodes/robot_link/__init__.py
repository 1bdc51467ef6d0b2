"""What the arm's driver tells besides motion, and is told: state, recovery, payload and thresholds, external wrench.

One small interface, one module per kind of driver; what follows from it is the arm node's.
Guarded by tests/graph/test_robot_link.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rclpy.node import Node

from vipa_policy.control.supervision import DriverState
from vipa_policy.nodes.kinds import Kinds, make
from vipa_policy.nodes.robot_link.driver import DriverLink
from vipa_policy.nodes.robot_link.franka_ros2 import FrankaLink


class RobotLink(Protocol):
    """The driver of one kind of arm, apart from its motion."""

    @property
    def wrench_topic(self) -> str:
        """Where the external wrench on the tip is published (geometry_msgs/WrenchStamped)."""

    def silence(self, now: float) -> str:
        """Say since when nothing is heard of the driver at ``now`` (s), "" where it is heard."""

    def state(self) -> tuple[DriverState, str]:
        """Return the newest state that was heard, and its reason; ready where none ever was."""

    def setup_problem(self, now: float) -> str:
        """Say why payload and thresholds are not set at ``now`` (s), "" where they are; sets them where it can."""

    def recover(self, answered: Callable[[bool, str], None]) -> None:
        """Ask the driver to clear its fault; ``answered`` is called with whether it did, and what it said."""

    def destroy(self) -> None:
        """Let go of everything made on the node."""


KINDS: Kinds[RobotLink] = {"driver": DriverLink, "franka_ros2": FrankaLink}
"""By the value of the parameter ``robot_link``."""


def make_robot_link(node: Node, values: Mapping[str, Any]) -> RobotLink:
    """Return the link that the parameter ``robot_link`` names. Raises ValueError where there is none."""
    return make(KINDS, "robot_link", node, values)
