"""What an arm driver tells besides motion: its status, the external wrench; and the faults that tests give it.

A driver with a fault, or one that is not available, stops the arm and takes no targets. ``driver/recover`` clears a
fault and moves nothing. Guarded by tests/graph/test_cell_driver.py.
"""

from __future__ import annotations

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Vector3, WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger

from vipa_msgs.msg import DriverStatus
from vipa_msgs.srv import InjectFault
from vipa_policy.nodes.qos import LATCHED_QOS
from vipa_sim.cell import BASE_FRAME, Cell
from vipa_sim.wrench import ContactWrench

WRENCH_QOS = QoSProfile(depth=10)
STATUS_PERIOD = 1.0  # s
WRENCH_RATE = 125.0  # Hz at most; every tick below
STATES = (DriverStatus.READY, DriverStatus.FAULT, DriverStatus.UNAVAILABLE)


class DriverServer:
    """Publishes ``driver/status`` and ``driver/external_wrench``, serves ``driver/recover`` and ``cell/inject_fault``.

    Args:
        node: the cell's.
        cell: whose hand is touched.
        tick: s of simulated time between two calls of ``update``.
    """

    def __init__(self, node: Node, cell: Cell, tick: float) -> None:
        self._node, self._cell = node, cell
        self._state, self._reason = DriverStatus.READY, ""
        self._told = float("-inf")
        self._stamp = Time()
        self._contacts = ContactWrench(cell.model, cell.data)
        self._every = max(1, round(1.0 / (WRENCH_RATE * tick)))
        self._ticks = 0
        self._status = node.create_publisher(DriverStatus, "driver/status", LATCHED_QOS)
        self._wrench = node.create_publisher(WrenchStamped, "driver/external_wrench", WRENCH_QOS)
        self._message = WrenchStamped()
        self._message.header.frame_id = BASE_FRAME
        self._services = [
            node.create_service(Trigger, "driver/recover", self._recover),
            node.create_service(InjectFault, "cell/inject_fault", self._inject),
        ]

    @property
    def ready(self) -> bool:
        """Whether the driver takes targets."""
        return bool(self._state == DriverStatus.READY)

    def update(self, now: float, stamp: Time) -> None:
        """Feel and tell, once a tick, at simulated time ``now`` in s."""
        self._stamp = stamp
        self._ticks += 1
        if self._ticks % self._every == 0:
            force, torque = self._contacts.measure()
            self._message.header.stamp = stamp
            self._message.wrench.force = Vector3(**dict(zip("xyz", force.tolist(), strict=True)))
            self._message.wrench.torque = Vector3(**dict(zip("xyz", torque.tolist(), strict=True)))
            self._wrench.publish(self._message)
        if now - self._told >= STATUS_PERIOD:
            self._told = now
            self._tell(stamp)

    def _tell(self, stamp: Time) -> None:
        message = DriverStatus(state=self._state, reason=self._reason, hardware="simulated")
        message.header.stamp = stamp
        self._status.publish(message)

    def _enter(self, state: int, reason: str) -> None:
        self._state, self._reason = state, reason
        # Where it is now: what it was on the way to is forgotten.
        self._cell.set_target(self._cell.base_from_tip)
        self._tell(self._stamp)

    def _recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._state == DriverStatus.UNAVAILABLE:
            response.message = f"a person must act first: {self._reason}"
            return response
        response.success = True
        response.message = "there was no fault" if self.ready else f"cleared: {self._reason}"
        self._enter(DriverStatus.READY, "")
        return response

    def _inject(self, request: InjectFault.Request, response: InjectFault.Response) -> InjectFault.Response:
        if request.state not in STATES:
            response.message = f"expected a state of {', '.join(map(str, STATES))} (DriverStatus), got {request.state}"
            return response
        ready = request.state == DriverStatus.READY
        self._enter(request.state, "" if ready else request.reason or "injected for a test")
        response.success, response.message = True, "ready" if ready else self._reason
        self._node.get_logger().warning(f"driver status injected: {response.message}")
        return response
