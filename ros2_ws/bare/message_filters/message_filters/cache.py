"""A short memory of one topic."""

from __future__ import annotations

from collections import deque
from typing import Any

from rclpy.time import Time

from message_filters.simple_filter import SimpleFilter, stamp_of


class Cache(SimpleFilter):
    """Keeps the last ``cache_size`` messages of a filter, in the order of their arrival."""

    def __init__(self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self.cache_msgs: deque[Any] = deque(maxlen=cache_size)
        self.cache_times: deque[Time] = deque(maxlen=cache_size)
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:  # noqa: N802 (message_filters' own name)
        """Take messages from a filter."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Take a message and pass it on."""
        stamp = stamp_of(msg, self.allow_headerless, "message_filters_cache")
        if stamp is None:
            return
        self.cache_times.append(stamp)
        self.cache_msgs.append(msg)
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:  # noqa: N802
        """Return the messages with stamps from one to another, both included."""
        assert from_stamp <= to_stamp
        return [
            message
            for message, stamp in zip(self.cache_msgs, self.cache_times, strict=True)
            if from_stamp <= stamp <= to_stamp
        ]

    def getElemAfterTime(self, stamp: Time) -> Any:  # noqa: N802
        """Return the first message kept that is not older than a stamp, or None."""
        pairs = zip(self.cache_msgs, self.cache_times, strict=True)
        return next((message for message, time in pairs if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:  # noqa: N802
        """Return the last message kept that is not newer than a stamp, or None."""
        pairs = zip(reversed(self.cache_msgs), reversed(self.cache_times), strict=True)
        return next((message for message, time in pairs if time <= stamp), None)

    def getLastestTime(self) -> Time | None:  # noqa: N802 (spelt as in message_filters)
        """Return the stamp of the last message, or None."""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:  # noqa: N802
        """Return the stamp of the first message kept, or None."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:  # noqa: N802
        """Return the first message kept that is not older than the last stamp, or None."""
        latest = self.getLastestTime()
        return None if latest is None else self.getElemAfterTime(latest)
