"""A subscription as a filter."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from message_filters.simple_filter import SimpleFilter


class Subscriber(SimpleFilter):
    """Subscribes and passes every message on.

    Args:
        args: node, message type, topic.
        kwargs: as for ``Node.create_subscription``; ``qos_profile`` defaults to 10.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.node: Node = args[0]
        self.topic: str = args[2]
        kwargs.setdefault("qos_profile", 10)
        self.sub = self.node.create_subscription(*args[1:], self.callback, **kwargs)

    def callback(self, msg: Any) -> None:
        """Pass a message on."""
        self.signalMessage(msg)

    def getTopic(self) -> str:  # noqa: N802 (message_filters' own name)
        """Return the topic's name as it was given."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        if key == "sub":  # only before the subscription was made
            raise AttributeError(key)
        return getattr(self.sub, key)
