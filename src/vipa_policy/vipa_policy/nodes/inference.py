"""Work in a thread of its own: never in a callback, and only ever on what is newest.

Guarded by tests/graph/test_policy_node.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs one piece of work again and again, whenever it was notified since the last run.

    Args:
        work: takes no arguments; must handle its own errors.
        name: of the thread.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._condition = threading.Condition()
        self._due = False
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Ask for a run; asking again before it began changes nothing."""
        with self._condition:
            self._due = True
            self._condition.notify()

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
