"""What the arm node watches: one look asks every guard of ``control.supervision.ARMING_GUARDS`` how it is.

The single place where guards are fed. What follows from them is decided in ``arm.supervision``.
Guarded by tests/graph/test_supervision.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from geometry_msgs.msg import WrenchStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool

from vipa_policy.control.contact import ContactGuard, ContactLimits
from vipa_policy.control.latency import Rate
from vipa_policy.control.supervision import Board, DriverState, Freshness
from vipa_policy.nodes.arm.posture_guard import PostureGuard
from vipa_policy.nodes.arm.tip import MeasuredTip
from vipa_policy.nodes.controllers import ArmController
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.robot_link import RobotLink

# Matches publishers of either reliability; only the newest counts.
NEWEST_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
DRIVER_STATUS = ("required", "optional", "off")


def contact_limits(values: Mapping[str, Any]) -> ContactLimits:
    """Return the contact guard's limits of parameter values."""
    return ContactLimits(values["contact_force"], values["contact_torque"], values["contact_filter"])


class Watch:
    """All guards of the arm.

    Args:
        node: to listen on.
        values: of its parameters.
        tip, controller, link: what is watched besides topics.
        touched: called with the reason when the wrench says that the arm has hit something.

    Raises ValueError on values that make no sense.
    """

    def __init__(
        self,
        node: Node,
        values: Mapping[str, Any],
        tip: MeasuredTip,
        controller: ArmController,
        link: RobotLink,
        touched: Callable[[str], None],
    ) -> None:
        if values["driver_status"] not in DRIVER_STATUS:
            raise ValueError(f"expected driver_status of {', '.join(DRIVER_STATUS)}, got {values['driver_status']!r}")
        self._node = node
        self._tip, self._controller, self._link, self._touched = tip, controller, link, touched
        self._driver_status: str = values["driver_status"]
        self._driver_heard = False
        self.board = Board()
        self.posture = PostureGuard(node, values)
        self.contact = ContactGuard(contact_limits(values))
        self.wrench_rate = Rate()
        self._wrench = Freshness(values["wrench_timeout"])
        self._deadman = Freshness(values["deadman_timeout"]) if values["deadman_timeout"] > 0.0 else None
        self._pressed = False
        self._subscriptions = []
        if self._deadman is not None:
            self._subscriptions.append(node.create_subscription(Bool, "deadman", self._take_deadman, NEWEST_QOS))
        if self.contact.limits.on:
            self._subscriptions.append(
                node.create_subscription(WrenchStamped, link.wrench_topic, self._take_wrench, NEWEST_QOS)
            )

    def look(self, now: float, homing: bool = False) -> None:
        """Ask all guards at ``now`` (s); homing: the arm is on its way home, which may lead out of a bad posture."""
        self._set("tip", self._tip.look(now), now, named=True)
        self._set("driver", self._driver_problem(now), now)
        self._set("setup", self._link.setup_problem(now), now)
        self._set("controller", self._controller.problem(now), now)
        self._set("deadman", self._deadman_problem(now), now)
        self._set("posture", self.posture.look(now, homing), now)
        self._set("wrench", self._wrench.problem("the external wrench", now) if self.contact.limits.on else "", now)

    def driver(self) -> tuple[DriverState, str]:
        """Return the driver's state and its reason; ready where it is not watched."""
        return self._link.state() if self._driver_status != "off" else (DriverState.READY, "")

    def destroy(self) -> None:
        """Stop listening."""
        self.posture.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _set(self, name: str, problem: str, now: float, named: bool = False) -> None:
        self.board.set(name, problem if named or not problem else f"{name}: {problem}", now)

    def _driver_problem(self, now: float) -> str:
        if self._driver_status == "off":
            return ""
        state, reason = self._link.state()
        if state is not DriverState.READY:
            return f"{state.name.lower()}, {reason}"
        silence = self._link.silence(now)
        self._driver_heard = self._driver_heard or not silence
        if self._driver_status == "optional" and not self._driver_heard:
            return ""
        return silence

    def _deadman_problem(self, now: float) -> str:
        if self._deadman is None:
            return ""
        return self._deadman.problem("the operator's switch", now) or ("" if self._pressed else "let go of")

    @property
    def _now(self) -> float:
        return self._node.get_clock().now().nanoseconds * 1e-9

    def _take_deadman(self, message: Bool) -> None:
        assert self._deadman is not None
        self._deadman.heard(self._now)
        self._pressed = message.data
        self.board.set("deadman", "" if self._pressed else "deadman: let go of", self._now)

    def _take_wrench(self, message: WrenchStamped) -> None:
        force, torque = message.wrench.force, message.wrench.torque
        taken = self.contact.take(
            (force.x, force.y, force.z), (torque.x, torque.y, torque.z), seconds_of(message.header.stamp)
        )
        if not taken:
            return
        self._wrench.heard(self._now)
        self.wrench_rate.add(self._now)
        if reason := self.contact.contact():
            self._touched(reason)
