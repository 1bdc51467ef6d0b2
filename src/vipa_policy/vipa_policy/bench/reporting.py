"""How figures are told: rounded, as JSON can hold them, with the processor they were measured on.

Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

import math
import platform
from typing import Any


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def rounded(value: Any) -> Any:
    """Return a document with its floats rounded to four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return value


def without_nan(value: Any) -> Any:
    """Return a document with None in place of what was not measured: NaN is no JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    return value
