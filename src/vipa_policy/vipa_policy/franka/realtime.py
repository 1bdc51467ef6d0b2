"""What keeps a process on time: the scheduler's real-time class, memory that is not swapped, no garbage collection.

Guarded by tests/unit/test_franka_link.py.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

from vipa_policy.scheduling import be_on_time

KERNEL = Path("/sys/kernel/realtime")
PRIORITY = 80  # of SCHED_FIFO: above ordinary interrupts' threads (50), below the kernel's own watchdogs (99)
_CURRENT_AND_FUTURE = 1 | 2  # of mlockall


def kernel_is_realtime(file: Path = KERNEL) -> bool:
    """Whether this is a PREEMPT_RT kernel."""
    try:
        return file.read_text().strip() == "1"
    except OSError:
        return False


def prepare() -> list[str]:
    """Make this process as punctual as it may be; returns what was denied, in words.

    From here on garbage is not collected: only for a loop that makes none that refers to itself.
    """
    denied = []
    if reason := be_on_time(PRIORITY):
        denied.append(reason)
    if ctypes.CDLL(None, use_errno=True).mlockall(_CURRENT_AND_FUTURE) != 0:
        denied.append(f"memory may be swapped ({os.strerror(ctypes.get_errno())}): allow memlock in limits.conf")
    gc.collect()
    gc.freeze()
    gc.disable()
    return denied
