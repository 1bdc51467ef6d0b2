"""What the figures of `make bench-runtime` mean: the single place for their arithmetic. Imports no ROS.

Guarded by tests/unit/test_runtime_figures.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vipa_sim.runtime.records import CHUNK_COLUMNS, SETPOINT_COLUMNS, Array, Records

PERIOD = 0.01  # s between two setpoints
# A longer interval between two setpoints is a missed one, and no jitter of a timer.
MISSED_AFTER = 1.5


def column(table: Array, names: tuple[str, ...], name: str) -> Array:
    """Return a column (n,) of a table by its name."""
    return table[:, names.index(name)]


@dataclass(frozen=True)
class Delays:
    """Of the chunks that were accepted, all (n,) in ms.

    Attributes:
        overhead: from the image's stamp to the chunk accepted on the timeline, without the time in which the model was
            at work in between, be it on this image or still on an earlier one.
        busy: the part of that time in which it was still on an earlier image.
        inference: the model's time for this image.
        synchronised: from the stamp until the last part of the observation had arrived.
        prepared: from there, or from the end of the earlier prediction, until the model began: TF, unpacking.
        handed: from the model's answer until the message was handed to the middleware.
        travelled: until the executing node had it.
        placed: from there until it was on the timeline: checks, base frame, seam.
        wait: from there until the next setpoint.
    """

    overhead: Array
    busy: Array
    inference: Array
    synchronised: Array
    prepared: Array
    handed: Array
    travelled: Array
    placed: Array
    wait: Array


def delays(records: Records) -> Delays:
    """Return the delays of accepted chunks.

    Images that were overtaken by newer ones while the model was at work never became a chunk, so none of them counts.
    A prediction that became no chunk is not known here: its time counts as overhead of the next one.
    """
    values = {name: column(records.chunks, CHUNK_COLUMNS, name) for name in CHUNK_COLUMNS}
    captured, inferred, accepted = values["captured"], values["inferred"], values["accepted"]
    began = inferred - values["inference"]
    # The model of one node answers one question at a time, so only the answer before can have been under way.
    before = np.concatenate([[-np.inf], inferred[:-1]])
    busy = np.maximum(np.minimum(before, began) - np.maximum(captured, np.concatenate([[-np.inf], began[:-1]])), 0.0)
    overhead = accepted - captured - values["inference"] - busy
    ready = np.maximum(values["synchronised"], before)
    handed = np.sort(column(records.setpoints, SETPOINT_COLUMNS, "handed"))
    following = np.searchsorted(handed, accepted)
    wait = np.where(following < len(handed), np.append(handed, np.nan)[following] - accepted, np.nan)
    kept = np.isfinite(accepted)
    everything = {
        "overhead": overhead,
        "busy": busy,
        "inference": values["inference"],
        "synchronised": values["synchronised"] - captured,
        "prepared": began - ready,
        "handed": values["published"] - inferred,
        "travelled": values["received"] - values["published"],
        "placed": accepted - values["received"],
        "wait": wait,
    }
    return Delays(**{name: 1e3 * array[kept] for name, array in everything.items()})


@dataclass(frozen=True)
class Jitter:
    """How evenly setpoints left, at the publisher.

    Attributes:
        intervals: (n,) ms, how much the time since the setpoint before differs from the period.
        grid: (n + 1,) ms, how far each setpoint lies from the grid of whole periods that fits them best (its phase is
            the median).
        missed: setpoints that were due and never came.
    """

    intervals: Array
    grid: Array
    missed: int


def jitter(instants: Array, period: float = PERIOD) -> Jitter:
    """Return the jitter of setpoints handed over at ``instants`` (n,) in s of a steady clock, ascending."""
    if len(instants) < 2:
        return Jitter(np.zeros(0), np.zeros(0), 0)
    gaps = np.diff(instants)
    places = (instants - instants[0]) / period
    phase = np.angle(np.mean(np.exp(2j * np.pi * places))) / (2.0 * np.pi)
    off = places - phase
    off -= np.round(off)
    off -= np.median(off)
    missed = int(np.sum(np.maximum(np.round(gaps[gaps > MISSED_AFTER * period] / period) - 1, 0)))
    return Jitter(1e3 * np.abs(gaps - period), 1e3 * period * np.abs(off), missed)


def percentile(values: Array, share: float) -> float:
    """Return the value below which ``share`` percent of those that are numbers lie, NaN where there are none."""
    known = values[np.isfinite(values)]
    return float(np.percentile(known, share)) if len(known) else float("nan")


@dataclass
class Tally:
    """What one side of the comparison showed, over all its turns."""

    parts: dict[str, list[Array]] = field(default_factory=dict)
    chunks: int = 0
    refused: int = 0
    setpoints: int = 0
    missed: int = 0
    seconds: float = 0.0

    def add(self, records: Records, seconds: float) -> None:
        """Take a turn of so many s."""
        found, streamed = delays(records), jitter(column(records.setpoints, SETPOINT_COLUMNS, "steady"))
        ticks = 1e6 * column(records.setpoints, SETPOINT_COLUMNS, "tick")
        for name, values in (*vars(found).items(), ("jitter", streamed.intervals), ("grid", streamed.grid)):
            self.parts.setdefault(name, []).append(values)
        self.parts.setdefault("tick", []).append(ticks)
        self.chunks += len(found.overhead)
        self.refused += len(records.chunks) - len(found.overhead)
        self.setpoints += len(records.setpoints)
        self.missed += streamed.missed
        self.seconds += seconds

    def percentile(self, name: str, share: float) -> float:
        """Return a percentile of a part over all turns, NaN where nothing was measured."""
        values = self.parts.get(name)
        return percentile(np.concatenate(values), share) if values else float("nan")
