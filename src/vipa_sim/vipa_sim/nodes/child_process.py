"""Child processes: started with a log and in a session of their own, waited for, their last words read.

Guarded by tests/graph/test_evaluation_graph.py, tests/graph/test_fault_graph.py and tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def start_logged(
    command: Sequence[str], log: Path, append: bool = False, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process, its output in a file; Ctrl-C reaches whoever started it, who then ends it.

    ``environment`` takes the place of this process's. Raises OSError where it cannot be started.
    """
    with log.open("ab" if append else "wb") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=None if environment is None else dict(environment),
        )


def wait_or_kill(process: subprocess.Popen[bytes], patience: float) -> None:
    """Wait for a process's end; one that takes longer than ``patience`` (s) is killed."""
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log, none where there is none."""
    if not log.exists():
        return []
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
