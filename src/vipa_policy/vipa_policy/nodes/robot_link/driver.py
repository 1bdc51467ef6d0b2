"""Drivers of this project (the simulated cell, the libfranka node): ``driver/status``, ``driver/recover``.

They set payload and thresholds themselves, from their own parameters. Guarded by tests/graph/test_robot_link.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from vipa_msgs.msg import DriverStatus
from vipa_policy.control.supervision import DriverState, Freshness
from vipa_policy.nodes.qos import LATCHED_QOS


class DriverLink:
    """Listens to a driver's status and asks it to recover."""

    wrench_topic = "driver/external_wrench"

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        self._node = node
        self._freshness = Freshness(values["driver_timeout"])
        self._state = DriverState.READY
        self._reason = ""
        self._subscription = node.create_subscription(DriverStatus, "driver/status", self._take, LATCHED_QOS)
        self._client = node.create_client(Trigger, "driver/recover")

    def silence(self, now: float) -> str:
        """Say since when the driver is silent."""
        return self._freshness.problem("driver/status", now)

    def state(self) -> tuple[DriverState, str]:
        """Return what the driver said last."""
        return self._state, self._reason

    def setup_problem(self, now: float) -> str:
        """Nothing is set from here."""
        return ""

    def recover(self, answered: Callable[[bool, str], None]) -> None:
        """Call ``driver/recover``."""
        if not self._client.service_is_ready():
            answered(False, "nobody serves driver/recover: is the driver running?")
            return

        def done(future: Future) -> None:
            response = future.result()
            answered(bool(response and response.success), response.message if response else "no answer")

        self._client.call_async(Trigger.Request()).add_done_callback(done)

    def destroy(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self._subscription)
        self._node.destroy_client(self._client)

    def _take(self, message: DriverStatus) -> None:
        self._freshness.heard(self._node.get_clock().now().nanoseconds * 1e-9)
        # A state from a newer driver that is not known here is none to move in.
        known = message.state in tuple(DriverState)
        self._state = DriverState(message.state) if known else DriverState.UNAVAILABLE
        self._reason = message.reason or ("" if self._state is DriverState.READY else f"state {message.state}")
