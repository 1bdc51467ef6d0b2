"""ROS domains, each locked by a file for whoever was given it: the single place for it. No ROS.

Guarded by tests/unit/test_domains.py and tests/unit/test_support.py.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO


def lock_domain(domain: int) -> IO[str] | None:
    """Lock a domain until the file that is returned is closed; None where somebody on this machine has it."""
    folder = Path(tempfile.gettempdir()) / f"vipa-domains-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    lock = (folder / str(domain)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
