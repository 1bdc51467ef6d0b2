"""When a node ends: the single place for signals and for nodes whose launcher has gone.

``ros2 launch`` passes Ctrl-C on, but stopped by SIGTERM or killed it leaves its nodes behind. So every node watches
its parent: a node that finds itself adopted by another process ends as if it had been asked to.
Guarded by tests/unit/test_lifetime.py.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Lifetime:
    """Tells whether this process should go on.

    Make it in the main thread before ``rclpy.init(signal_handler_options=SignalHandlerOptions.NO)``: the first SIGINT
    or SIGTERM ends the lifetime, further ones change nothing, so a shutdown is never cut short by the second Ctrl-C
    that reaches a launched node.
    """

    def __init__(self, signals: Sequence[signal.Signals] = SIGNALS, parent: Callable[[], int] = os.getppid) -> None:
        self._parent = parent
        self._born_of = parent()
        self._reason = ""
        self._before: dict[signal.Signals, Any] = {number: signal.signal(number, self._receive) for number in signals}

    @property
    def ended(self) -> bool:
        """Whether to shut down: hold, close what is open, and return."""
        if not self._reason and self._parent() != self._born_of:
            self._reason = "the process that started this one has gone"
        return bool(self._reason)

    @property
    def reason(self) -> str:
        """Why the lifetime ended, "" while it lasts."""
        return self._reason

    def end(self, reason: str) -> None:
        """End the lifetime from within; the first reason stays."""
        self._reason = self._reason or reason

    def restore(self) -> None:
        """Put the signal handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.end(f"received {signal.Signals(number).name}")
