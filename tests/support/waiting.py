"""Bounded waits: tests wait for a condition, never for a stretch of time."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], timeout: float, description: str, interval: float = 0.02) -> None:
    """Return as soon as ``condition()`` is true; AssertionError naming ``description`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for: {description}")
        time.sleep(interval)
