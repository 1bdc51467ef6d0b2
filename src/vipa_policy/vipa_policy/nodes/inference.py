"""Inference in a thread of its own: never in a callback, and only ever for the newest observation.

Guarded by tests/graph/test_policy_node.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs one piece of work again and again, whenever it was notified since the last run.

    Args:
        work: takes no arguments; must handle its own errors.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._condition = threading.Condition()
        self._due = False
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Ask for a run; asking again before it began changes nothing."""
        with self._condition:
            self._due = True
            self._condition.notify()

    @property
    def due(self) -> bool:
        """Whether a run was asked for that has not begun."""
        return self._due

    def end(self, timeout: float = 10.0) -> bool:
        """End after the run in progress, waiting at most ``timeout`` s for it; returns whether it ended."""
        with self._condition:
            self._ending = True
            self._condition.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._due or self._ending)
                if self._ending:
                    return
                self._due = False
            self._work()
