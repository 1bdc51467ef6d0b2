"""The scheduler's real-time class for a process that must be on time: the single place where it is asked for.

Guarded by tests/unit/test_scheduling.py.
"""

from __future__ import annotations

import os
from pathlib import Path

LOWEST, HIGHEST = 1, 99
_THREADS = Path("/proc/self/task")


def be_on_time(priority: int) -> str:
    """Put all threads of this process, and those they will start, into SCHED_FIFO; returns what was denied.

    Args:
        priority: 1 to 99. Above 50 it goes before the threads of ordinary interrupts.

    Raises ValueError for another priority.
    """
    if not LOWEST <= priority <= HIGHEST:
        raise ValueError(f"expected a real-time priority of {LOWEST} to {HIGHEST}, got {priority}")
    try:
        for thread in _THREADS.iterdir():
            try:
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(priority))
            except ProcessLookupError:
                continue  # it ended meanwhile
    except OSError as error:
        return f"no real-time scheduling ({error.strerror}): allow rtprio {priority} in limits.conf"
    return ""
