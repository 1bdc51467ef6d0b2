"""Events as rows of numbers: noted by a node while it runs, written when it ends, read by the measurement.

Guarded by tests/unit/test_runtime_figures.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

CHUNK_COLUMNS = ("id", "captured", "synchronised", "inferred", "published", "received", "accepted", "inference")
"""Moments in s of ROS time, inference in s of wall time; ``accepted`` is NaN for a chunk that was refused."""

SETPOINT_COLUMNS = ("handed", "steady", "tick")
"""When a setpoint was handed to the middleware, in s of ROS time and of the steady clock; s of processor time of the
timer callback before it, from which making it came."""


class Notebook:
    """Rows of numbers in one flat array: appending allocates nothing that the garbage collector looks at."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self._values = array("d")

    def note(self, *values: float) -> None:
        """Append a row. Raises ValueError where it has not one number a column."""
        if len(values) != len(self._columns):
            raise ValueError(f"expected {len(self._columns)} numbers, {', '.join(self._columns)}, got {len(values)}")
        self._values.extend(values)

    def table(self) -> Array:
        """Return the rows (n, columns)."""
        return np.array(self._values, dtype=np.float64).reshape(-1, len(self._columns))


@dataclass(frozen=True)
class Records:
    """What a node that executes chunks noted: chunks (n, 8) and setpoints (m, 3), columns as named above."""

    chunks: Array
    setpoints: Array

    @classmethod
    def empty(cls) -> Records:
        """Return records without a row."""
        return cls(np.zeros((0, len(CHUNK_COLUMNS))), np.zeros((0, len(SETPOINT_COLUMNS))))

    def save(self, path: Path) -> None:
        """Write them whole: a file that is there is complete."""
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, chunks=self.chunks, setpoints=self.setpoints)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Records:
        """Read them. Raises OSError where there are none."""
        with np.load(path) as stored:
            return cls(stored["chunks"], stored["setpoints"])

    def between(self, begin: float, end: float) -> Records:
        """Return what was captured, and what was streamed, from ``begin`` to ``end`` (s of ROS time)."""
        captured, handed = self.chunks[:, 1], self.setpoints[:, 0]
        return Records(
            self.chunks[(captured >= begin) & (captured < end)],
            self.setpoints[(handed >= begin) & (handed < end)],
        )
