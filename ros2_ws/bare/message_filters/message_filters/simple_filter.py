"""The base of all filters, and how they tell a message's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import ROSClock
from rclpy.logging import get_logger
from rclpy.time import Time


class SimpleFilter:
    """Calls what is registered with every message it puts out."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:  # noqa: N802 (message_filters' own name)
        """Have ``cb(*messages, *args)`` called on every output; returns the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:  # noqa: N802 (message_filters' own name)
        """Call everything registered."""
        for callback, args in list(self.callbacks.values()):
            callback(*msg, *args)


def stamp_of(message: Any, allow_headerless: bool, logger_name: str) -> Time | None:
    """Return a message's stamp: its header's, or now where it has none and that is allowed, or None after a warning."""
    header = getattr(message, "header", None)
    stamp = getattr(header, "stamp", None)
    if stamp is not None:
        return stamp if isinstance(stamp, Time) else Time.from_msg(stamp)
    if allow_headerless:
        return ROSClock().now()
    get_logger(logger_name).warning(
        f"expected messages with a header's stamp, got {type(message).__name__} without one and dropped it; "
        "pass allow_headerless=True to have it stamped on arrival"
    )
    return None
