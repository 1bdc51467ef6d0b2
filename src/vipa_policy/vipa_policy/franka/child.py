"""The parent's side of a process of an arm: it starts it, hears it, and notices when it is gone.

Guarded by tests/unit/test_franka_link.py and tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from vipa_policy.franka.frames import Note
from vipa_policy.franka.link import Link, pair

# s of wall time that a process may take to end by itself: a stop, and what the arm still answers.
ENDING = 3.0


class Child:
    """A process of this package, running until ``end`` or its own death.

    Args:
        module: to run, with a ``main`` that takes the descriptor of its link.
        settings: sent as its first note.
    """

    def __init__(self, module: str, settings: Mapping[str, Any]) -> None:
        ours, theirs = pair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Threads of numerical libraries would compete with the loop, and do not survive a fork.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self.link = Link(ours)
        self.link.send(Note("settings", dict(settings)))

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def gone(self) -> str:
        """Why there is no process any more, "" while there is one."""
        code = self._process.poll()
        if code is not None:
            return f"the driver's process ended with status {code}"
        return "the driver's process has closed its link" if self.link.closed else ""

    def end(self, patience: float = ENDING) -> bool:
        """Ask the process to end, by closing the link; returns whether it did within ``patience`` s, else kills it."""
        self.link.close()
        try:
            self._process.wait(patience)
            return True
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
