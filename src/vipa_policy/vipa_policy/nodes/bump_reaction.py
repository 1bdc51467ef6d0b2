"""What is done to the arm when a camera is not where it must be: slowed down, stopped, or left alone.

Guarded by tests/graph/test_calibrated_camera_node.py.
"""

from __future__ import annotations

from rclpy.node import Node

from vipa_msgs.srv import SetSpeed, Stop

STOP, SLOW, REPORT = "stop", "slow", "report"
REACTIONS = (STOP, SLOW, REPORT)
AGAIN = 2.0  # s between two calls while the reason lasts: an arm that was resumed or started anew hears it again


class BumpReaction:
    """Calls the arm node, again and again as long as a reason lasts. Never waits for an answer.

    Args:
        node: to call from; its name stands as the one who wants the arm slow.
        reaction: one of ``REACTIONS``.
        speed: factor on the arm's pace, for "slow".
    """

    def __init__(self, node: Node, reaction: str, speed: float) -> None:
        self._node = node
        self._reaction = reaction
        self._speed = speed
        self._slowed = False
        self._called = float("-inf")
        self._stop = node.create_client(Stop, "arm/stop_because")
        self._slow = node.create_client(SetSpeed, "arm/set_speed")

    def destroy(self) -> None:
        """Let go of the clients. What was asked of the arm stays asked."""
        self._node.destroy_client(self._stop)
        self._node.destroy_client(self._slow)

    def bumped(self, reason: str, now: float) -> None:
        """React to a camera that was bumped; ``now`` (s) is of a clock that never stands still."""
        self._react(self._reaction, reason, now)

    def misplaced(self, reason: str, now: float) -> None:
        """React to a camera whose place in TF is contested: half the frames lie, so slow is no help."""
        self._react(REPORT if self._reaction == REPORT else STOP, reason, now)

    def in_place(self) -> None:
        """Let the arm go at its own pace again, where this node had slowed it down. A stop stays latched."""
        if self._slowed and self._slow.service_is_ready():
            self._slowed = False
            self._called = float("-inf")
            self._slow.call_async(SetSpeed.Request(source=self._node.get_name(), factor=1.0, reason=""))

    def _react(self, reaction: str, reason: str, now: float) -> None:
        if now - self._called < AGAIN:
            return
        self._called = now
        self._node.get_logger().error(reason)
        if reaction == REPORT:
            return
        client = self._stop if reaction == STOP else self._slow
        if not client.service_is_ready():
            self._node.get_logger().warning(f"nobody serves {client.srv_name}: the arm could not be told")
        elif reaction == STOP:
            self._stop.call_async(Stop.Request(reason=reason))
        else:
            self._slowed = True
            request = SetSpeed.Request(source=self._node.get_name(), factor=self._speed, reason=reason)
            self._slow.call_async(request)
