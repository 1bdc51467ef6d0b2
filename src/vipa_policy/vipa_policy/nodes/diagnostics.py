"""A node's health on ``diagnostics``: once a second, and at once when it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile

PERIOD = 1.0  # s of wall time: a stopped clock must not silence a node


class Diagnostics:
    """Publishes one DiagnosticStatus for a node.

    Args:
        node: whose health it is.
        values: returns key-value pairs to show beside the message.
    """

    def __init__(self, node: Node, values: Callable[[], Mapping[str, str]]) -> None:
        self._node = node
        self._values = values
        self._level, self._message = DiagnosticStatus.OK, "starting"
        self._publisher = node.create_publisher(DiagnosticArray, "diagnostics", QoSProfile(depth=10))
        self._timer = node.create_timer(PERIOD, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def report(self, level: bytes, message: str) -> None:
        """Set level (of DiagnosticStatus) and message; published at once where they are new."""
        if (level, message) != (self._level, self._message):
            self._level, self._message = level, message
            self._publish()

    def _publish(self) -> None:
        status = DiagnosticStatus(
            level=self._level,
            name=self._node.get_name(),
            message=self._message,
            hardware_id=self._node.get_namespace(),
            values=[KeyValue(key=key, value=value) for key, value in self._values().items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
