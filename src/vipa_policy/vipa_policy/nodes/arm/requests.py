"""The services of the arm node, and the topic that stops it: names and types in one place.

Guarded by tests/graph/test_supervision.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Empty
from std_srvs.srv import Trigger

from vipa_msgs.srv import SetSpeed, Stop
from vipa_policy.control.speed import SpeedOverride
from vipa_policy.control.supervision import Answer

EMERGENCY_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Requests:
    """Serves what people and programs ask of the arm.

    Args:
        node: to serve on.
        triggers: what to do by the service's name, for services without arguments.
        stop: stops the arm for a reason.
        emergency_stop: what the topic ``emergency_stop`` does.
        speed: who wants the arm slower; ``changed`` is called when that changes.
    """

    def __init__(
        self,
        node: Node,
        triggers: Mapping[str, Callable[[], Answer]],
        stop: Callable[[str], Answer],
        emergency_stop: Callable[[str], Answer],
        speed: SpeedOverride,
        changed: Callable[[], None],
    ) -> None:
        self._node = node
        self._stop, self._speed, self._changed = stop, speed, changed
        self._services: list[Any] = [
            node.create_service(Trigger, name, self._answering(act)) for name, act in triggers.items()
        ]
        self._services += [
            node.create_service(Stop, "arm/stop_because", self._on_stop),
            node.create_service(SetSpeed, "arm/set_speed", self._on_speed),
        ]
        self._emergency_stop = emergency_stop
        self._subscription = node.create_subscription(Empty, "emergency_stop", self._on_emergency, EMERGENCY_QOS)

    def destroy(self) -> None:
        """Stop serving."""
        for service in self._services:
            self._node.destroy_service(service)
        self._node.destroy_subscription(self._subscription)

    def _on_emergency(self, message: Empty) -> None:
        self._emergency_stop("the topic emergency_stop")

    def _answering(self, act: Callable[[], Answer]) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = (result := act()).success, result.message
            return response

        return answer

    def _on_stop(self, request: Stop.Request, response: Stop.Response) -> Stop.Response:
        reason = " ".join(request.reason.split())
        # Without a reason it stops all the same: who calls it wants that first.
        answer = self._stop(reason or "arm/stop_because, without a reason")
        response.success, response.message = answer.success, answer.message
        return response

    def _on_speed(self, request: SetSpeed.Request, response: SetSpeed.Response) -> SetSpeed.Response:
        try:
            changed = self._speed.set(request.source, request.factor, request.reason)
        except ValueError as error:
            response.message, response.speed = str(error), self._speed.factor
            return response
        if changed:
            self._changed()
        response.success, response.speed = True, self._speed.factor
        response.message = f"the arm goes at {self._speed.factor:g} of its pace"
        return response
