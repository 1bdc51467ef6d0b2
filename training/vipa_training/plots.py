"""Pictures of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot


def smooth(values: Sequence[float], window: int) -> np.ndarray:
    """Return the running mean over up to ``window`` values."""
    sums = np.cumsum(np.insert(np.asarray(values, dtype=float), 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def plot_losses(history: Sequence[dict[str, float]], path: Path) -> None:
    """Draw losses, pointing error and naming rate over the steps of a run."""
    steps = [row for row in history if "flow" in row]
    checks = [row for row in history if "validation_last_row_median" in row]
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4), constrained_layout=True)
    measured_errors = ("validation_pointing_median", "validation_pointing_p90", "validation_last_row_median")
    panels: tuple[tuple[str, tuple[str, ...], float, tuple[str, ...]], ...] = (
        ("loss", ("flow", "pointing"), 1.0, ()),
        ("pointing error / mm", ("pointing_error",), 1e3, measured_errors),
        ("named thing pointed at / %", ("named",), 1e2, ("validation_named",)),
    )
    for axis, (title, names, scale, measured) in zip(axes, panels, strict=True):
        for name in names:
            own = [row for row in steps if name in row]
            axis.plot([row["step"] for row in own], smooth([scale * row[name] for row in own], 50), label=name)
        for name in measured:
            own = [row for row in checks if name in row]
            axis.plot([row["step"] for row in own], [scale * row[name] for row in own], "o-", label=name)
        axis.set(xlabel="step", title=title)
        if "%" not in title:
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
