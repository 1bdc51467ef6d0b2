"""Child processes of a measurement: started with a log each, waited for, ended by Ctrl-C's signal, timed by /proc.

Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from vipa_sim.nodes.child_process import last_lines, start_logged, wait_or_kill
from vipa_sim.nodes.launched_graph import GraphError
from vipa_sim.runtime.processes import processor_time

ENDING = 20.0  # s


class Troupe:
    """Named processes; whatever still runs when it is left is ended."""

    def __init__(self, logs: Path, check: Callable[[], None]) -> None:
        """Keep logs in a folder; ``check`` raises where waiting has become pointless."""
        logs.mkdir(parents=True, exist_ok=True)
        self._logs, self._check = logs, check
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Troupe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(*self._running)

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process."""
        self._running[name] = start_logged(command, self._log(name))

    def start_module(self, name: str, module: str, *arguments: str) -> None:
        """Start a Python module."""
        self.start(name, [sys.executable, "-m", module, *arguments])

    def wait_for(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Wait, looking at it ten times a second. Raises GraphError after ``timeout`` s or where a process ended."""
        deadline = time.monotonic() + timeout
        while not condition():
            self._check()
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise GraphError(self._ended(name, process.returncode))
            if time.monotonic() > deadline:
                logs = "; ".join(f"{name}: {self._tail(name)}" for name in self._running)
                raise GraphError(f"waited {timeout:g} s in vain for {what}; the logs end: {logs}")
            time.sleep(0.1)

    def wait_for_end(self, name: str, timeout: float) -> None:
        """Wait for a process that ends by itself. Raises GraphError where it fails or does not."""
        process = self._running.pop(name)
        try:
            self.wait_for(lambda: process.poll() is not None, f"the end of {name}", timeout)
        finally:
            wait_or_kill(process, ENDING)
        if process.returncode != 0:
            raise GraphError(self._ended(name, process.returncode))

    def processor_times(self) -> dict[str, float]:
        """Return the s of processor time that each process has had."""
        return {name: processor_time(process.pid) for name, process in self._running.items()}

    def end(self, *names: str) -> None:
        """Ask processes to end, all at once, and wait for them."""
        ending = [self._running.pop(name) for name in names]
        for process in ending:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in ending:
            wait_or_kill(process, ENDING)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _tail(self, name: str) -> str:
        return " | ".join(last_lines(self._log(name), 5))

    def _ended(self, name: str, status: int) -> str:
        return f"{name} ended with status {status}; {self._log(name)} ends: {self._tail(name)}"
