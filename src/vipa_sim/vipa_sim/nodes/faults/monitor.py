"""Hears what the graph does while faults are injected; ``vipa_sim.faults.record`` keeps it."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from vipa_msgs.msg import CellState, DriverStatus, ExecutionState
from vipa_policy.nodes.conversions import matrix_from_pose, seconds_of
from vipa_policy.nodes.qos import LATCHED_QOS
from vipa_policy.nodes.reception import stamp_of
from vipa_sim.faults.record import Record
from vipa_sim.nodes.faults.relays import TARGET, Relays

DEEP_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)


class Monitor:
    """Fills a record with targets, the arm's state and the cell's truth.

    Args:
        node: to listen with.
        relays: that targets pass, and that know the true time.
        period: s between two setpoints.
    """

    def __init__(self, node: Node, relays: Relays, period: float) -> None:
        self.record = Record(relays.time, period)
        self.driver = int(DriverStatus.READY)
        """State of the driver, of DriverStatus."""
        self.foreign = 0
        """Targets without a stamp: those of another publisher."""
        relays[TARGET].watch = self._take_target
        self._subscriptions = [
            node.create_subscription(ExecutionState, "arm/execution_state", self._take_state, DEEP_QOS),
            node.create_subscription(DriverStatus, "driver/status", self._take_driver, LATCHED_QOS),
            node.create_subscription(CellState, "cell/state", self._take_truth, DEEP_QOS),
        ]

    def _take_target(self, serialised: bytes) -> None:
        stamp = stamp_of(serialised)
        if stamp == 0.0:
            self.foreign += 1
        else:
            self.record.take_setpoint(stamp, matrix_from_pose(deserialize_message(serialised, PoseStamped).pose))

    def _take_state(self, message: ExecutionState) -> None:
        self.record.take_moment(seconds_of(message.header.stamp), message.state, message.stopped, message.hold_reason)

    def _take_driver(self, message: DriverStatus) -> None:
        self.driver = int(message.state)

    def _take_truth(self, message: CellState) -> None:
        self.record.take_truth(seconds_of(message.header.stamp), matrix_from_pose(message.tip))
