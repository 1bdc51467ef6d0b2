"""How long things took lately: percentiles over a window, and how often a budget was passed.

The stages of a chunk are counted from stamps that policy and arm put on it (``STAGES``); all clocks are ROS time.
Guarded by tests/unit/test_control_latency.py.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

# Samples a window holds: half a minute of chunks at 15 Hz.
WINDOW = 450
STAGES: tuple[tuple[str, str, str], ...] = (
    ("capture to sync", "captured", "synchronised"),
    ("sync to infer", "synchronised", "inferred"),
    ("infer to publish", "inferred", "published"),
    ("publish to receive", "published", "received"),
    ("receive to transform", "received", "transformed"),
    ("transform to accept", "transformed", "accepted"),
    ("accept to setpoint", "accepted", "first setpoint"),
    ("capture to accept", "captured", "accepted"),
)
"""Name, first and last instant of every stage that is told."""
BUDGETED = "capture to accept"


class Summary(NamedTuple):
    """Percentiles in the unit of the samples, and how many samples they were taken over."""

    p50: float
    p95: float
    p99: float
    samples: int


class Window:
    """The last so many samples."""

    def __init__(self, size: int = WINDOW) -> None:
        self._samples: deque[float] = deque(maxlen=size)

    def add(self, sample: float) -> None:
        """Take a sample; one that is not finite is none."""
        if math.isfinite(sample):
            self._samples.append(sample)

    def summary(self) -> Summary:
        """Return the percentiles; zeros where there is no sample."""
        if not self._samples:
            return Summary(0.0, 0.0, 0.0, 0)
        p50, p95, p99 = np.percentile(np.array(self._samples), (50.0, 95.0, 99.0)).tolist()
        return Summary(p50, p95, p99, len(self._samples))


class Rate:
    """How often something happens a second, over the last so many times."""

    def __init__(self, size: int = 20) -> None:
        self._times: deque[float] = deque(maxlen=size)

    def add(self, now: float) -> None:
        """It happened at ``now`` (s). A clock that jumped back begins anew."""
        if self._times and now < self._times[-1]:
            self._times.clear()
        self._times.append(now)

    def value(self, now: float) -> float:
        """Return the rate in Hz at ``now`` (s); it falls where nothing has happened for longer than before."""
        if len(self._times) < 2:
            return 0.0
        intervals = len(self._times) - 1
        mean = (self._times[-1] - self._times[0]) / intervals
        # A silence longer than two intervals counts, however it may end.
        silence = now - self._times[-1]
        span = self._times[-1] - self._times[0] + (silence if silence > 2.0 * mean else 0.0)
        return intervals / span if span > 0.0 else 0.0


class ChunkLatencies:
    """Stages of the chunks lately, and how many passed the budget.

    Args:
        budget: s from capture to accept.
    """

    def __init__(self, budget: float) -> None:
        if not budget > 0.0:
            raise ValueError(f"expected a latency budget above 0 s, got {budget}")
        self._budget = budget
        self._windows = {name: Window() for name, _, _ in STAGES}
        self.over_budget = 0
        self.counted = 0

    def add(self, instants: Mapping[str, float]) -> None:
        """Take the instants (s) of one chunk, by the names in ``STAGES``; a stage with one missing is left out.

        Stages that end before they begin are clocks that differ, or instants that nobody filled in: left out, too.
        """
        for name, first, last in STAGES:
            begun, ended = instants.get(first, 0.0), instants.get(last, 0.0)
            if begun > 0.0 and ended >= begun:
                self._windows[name].add(ended - begun)
                if name == BUDGETED:
                    self.counted += 1
                    self.over_budget += ended - begun > self._budget

    def values(self) -> dict[str, str]:
        """Return p50, p95 and p99 in ms of every stage that has samples, and the count over budget."""
        told = {}
        for name, window in self._windows.items():
            summary = window.summary()
            if summary.samples:
                told[f"{name} (ms)"] = " ".join(f"{1000.0 * value:.1f}" for value in summary[:3])
        told["over budget"] = f"{self.over_budget} of {self.counted} chunks took more than {self._budget:g} s"
        return told
