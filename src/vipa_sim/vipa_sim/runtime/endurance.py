"""What `make soak` makes of what it saw: growth of memory, deadlines missed, holds. The single place for it. No ROS.

Guarded by tests/unit/test_runtime_endurance.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

Array = NDArray[np.float64]

PERIOD = 0.01  # s of the stream of setpoints
# Setpoints are as even as the clock that the simulator tells; a gap of two periods has room for one that never came.
MISSED_GAP = 1.95
ALLOWED_MISSED = 1e-3  # share of setpoints
# Neighbouring samples of a heap say the same twice, so the slope is taken through the medians of so many blocks.
BLOCKS = 30
LEAKING = 0.1  # MB a minute that a node surely grows by, to be called a leak


@dataclass(frozen=True)
class Growth:
    """How a node's memory moved, MB over the time that was measured.

    Attributes:
        growth: slope times time; the slope is the median of all slopes between blocks (Theil and Sen).
        low, high: 95 % interval of it.
        first, last: MB in the first and in the last block.
        minutes: that were measured.
    """

    growth: float
    low: float
    high: float
    first: float
    last: float
    minutes: float

    @property
    def leaks(self) -> bool:
        """Whether it surely grows by more than ``LEAKING``."""
        return self.low > LEAKING * self.minutes


def growth(minutes: Sequence[float], sizes: Sequence[float]) -> Growth | None:
    """Return the growth of samples (n,) in MB taken at ``minutes`` (n,), ascending; None from fewer than three."""
    times, values = np.asarray(minutes, dtype=float), np.asarray(sizes, dtype=float)
    if len(times) < 3:
        return None
    blocks = np.array_split(np.arange(len(times)), min(BLOCKS, len(times)))
    block_times = np.array([np.median(times[block]) for block in blocks])
    medians = np.array([np.median(values[block]) for block in blocks])
    span = float(times[-1] - times[0])
    slope, _, low, high = (float(value) for value in theilslopes(medians, block_times, 0.95))
    return Growth(slope * span, low * span, high * span, float(medians[0]), float(medians[-1]), span)


def missed(targets: Array, states: Array, streaming: NDArray[np.bool_], period: float = PERIOD) -> int:
    """Return how many setpoints were due and did not come.

    Args:
        targets: (n,) s, stamps of the setpoints that came, ascending.
        states: (m,) s, stamps of what the arm said of its state, ascending.
        streaming: (m,) whether it was to stream in that state.
        period: s.

    A gap counts where the arm's last state before it, and all that it told within it, were to stream.
    """
    gaps = np.diff(targets)
    count = 0
    for place in np.flatnonzero(gaps > MISSED_GAP * period):
        first = max(int(np.searchsorted(states, targets[place], side="right")) - 1, 0)
        last = int(np.searchsorted(states, targets[place + 1], side="left"))
        within = streaming[first:last]
        if len(within) and within.all():
            count += round(gaps[place] / period) - 1
    return count


@dataclass
class Watched:
    """Memory of nodes over time: minutes, and MB by node, anonymous and resident."""

    minutes: list[float] = field(default_factory=list)
    anonymous: dict[str, list[float]] = field(default_factory=dict)
    resident: dict[str, list[float]] = field(default_factory=dict)

    def add(self, minute: float, sizes: Mapping[str, tuple[float, float]]) -> None:
        """Take a sample of all nodes; a node that is new or gone has NaN elsewhere."""
        for name in {*self.anonymous, *sizes}:
            anonymous, resident = sizes.get(name, (np.nan, np.nan))
            for kept, value in ((self.anonymous, anonymous), (self.resident, resident)):
                kept.setdefault(name, [np.nan] * len(self.minutes)).append(value)
        self.minutes.append(minute)

    def growths(self, warm_up: float, kind: str = "anonymous") -> dict[str, Growth]:
        """Return the growth of each node from ``warm_up`` (minutes) on."""
        times = np.array(self.minutes)
        found = {}
        for name, values in getattr(self, kind).items():
            sizes = np.array(values)
            kept = (times >= warm_up) & np.isfinite(sizes)
            result = growth(times[kept].tolist(), sizes[kept].tolist())
            if result is not None:
                found[name] = result
        return found


def reasons_of(holds: Sequence[str]) -> dict[str, int]:
    """Return how often the arm held for which reason; reasons that differ in their figures are one."""
    no_digits = str.maketrans("0123456789", "##########")
    return dict(Counter(reason.translate(no_digits) for reason in holds).most_common())


def plot(watched: Watched, warm_up: float, path: Path) -> None:
    """Draw the memory of every node over time, one picture each, with the slope that was found."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = watched.growths(warm_up)
    names = sorted(watched.anonymous)
    figure, axes = pyplot.subplots(len(names), 1, figsize=(9, 2.0 * len(names) + 0.6), sharex=True, squeeze=False)
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.plot(watched.minutes, watched.anonymous[name], color="tab:blue", linewidth=1.0, label="anonymous")
        axis.set_ylabel(f"{name}, MB")
        axis.axvspan(0.0, warm_up, color="0.93")
        if name in found:
            told = found[name]
            axis.set_title(
                f"{told.growth:+.2f} MB in {told.minutes:.1f} min (95 %: {told.low:+.2f} to {told.high:+.2f})",
                fontsize=9,
                loc="right",
            )
    axes[-1, 0].set_xlabel("minutes; warm-up grey")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
