"""What a run of faults came to, as a table to read and a picture to look at."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from vipa_sim.faults.judge import BEFORE, Outcome
from vipa_sim.faults.table import find

COLUMNS = 4
LINE = "{:<19} {:<20} {:<9} {:>8} {:>8} {:>9} {:>9} {:>9}  {}"
LONGEST_REASON = 70
SILENCE = 0.15  # s


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as lines of text, what was not as required below each."""
    head = LINE.format("fault", "required", "", "begun s", "rest s", "went mm", "off mm", "again s", "reason")
    lines = [head, "-" * len(head)]
    for outcome in outcomes:
        verdict = "UNSAFE" if outcome.unsafe else "as req." if outcome.as_required else "NOT SO"
        reason = textwrap.shorten(outcome.reason, LONGEST_REASON, placeholder=" ...")
        figures = (
            _text(outcome.begun, 2),
            _text(outcome.rest, 2),
            _text(1000.0 * outcome.travel, 0),
            _text(1000.0 * outcome.deviation, 1),
            _text(outcome.recovery, 2),
        )
        lines.append(LINE.format(outcome.fault, str(find(outcome.fault).end), verdict, *figures, reason))
        lines += [f"    {complaint}" for complaint in (*outcome.unsafe, *outcome.shortfalls)]
    return "\n".join(lines)


def _text(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw the commanded speed over time, the fault at 0, a panel a fault, into a PNG at ``path``."""
    from matplotlib.figure import Figure

    rows = max(math.ceil(len(outcomes) / COLUMNS), 1)
    columns = min(max(len(outcomes), 1), COLUMNS)
    figure = Figure(figsize=(3.6 * columns, 2.3 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, outcome in zip(panels, outcomes, strict=False):
        stamps, speeds = outcome.trace
        # A silence is no line.
        silent = {later for sooner, later in pairwise(stamps) if later - sooner > SILENCE}
        drawn = [math.nan if stamp in silent else speed for stamp, speed in zip(stamps, speeds, strict=True)]
        panel.plot(stamps, drawn, linewidth=1.2)
        panel.axvline(0.0, color="tab:red", linewidth=1.0)
        fault = find(outcome.fault)
        if fault.holds:
            panel.axvspan(0.0, fault.begin_within, color="tab:orange", alpha=0.25, linewidth=0.0)
            if outcome.begun is not None:
                panel.axvline(outcome.begun + fault.rest_within, color="grey", linestyle=":", linewidth=1.0)
        panel.axvline(outcome.lifted, color="tab:green", linestyle="--", linewidth=0.8)
        colour = "tab:red" if outcome.unsafe else "black" if outcome.as_required else "tab:orange"
        panel.set_title(fault.title, fontsize=9, color=colour)
        panel.grid(alpha=0.3)
    for panel in panels[max(len(outcomes) - columns, 0) : len(outcomes)]:
        panel.tick_params(labelbottom=True)  # the lowest of its column, with nothing below
    for panel in panels[len(outcomes) :]:
        panel.set_visible(False)
    panels[0].set_xlim(-BEFORE, 4.0)
    panels[0].set_ylim(0.0, 0.27)
    figure.supxlabel(
        "s from the fault (red); orange: a hold must begin; dotted: and be at rest; green: lifted", fontsize=9
    )
    figure.supylabel("commanded speed in m/s", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
