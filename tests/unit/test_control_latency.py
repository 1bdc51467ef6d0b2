"""Latencies: percentiles are those of the window, stages those that have both their ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.control.latency import BUDGETED, STAGES, ChunkLatencies, Rate, Window


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=60), st.integers(1, 40))
def test_percentiles_are_those_of_the_newest_samples(samples: list[float], size: int) -> None:
    window = Window(size)
    for sample in samples:
        window.add(sample)
    window.add(math.nan)
    summary = window.summary()
    assert summary.samples == min(len(samples), size)
    assert np.allclose(summary[:3], np.percentile(samples[-size:], (50, 95, 99)))
    assert Window().summary().samples == 0


@given(st.floats(0.005, 1.0), st.integers(2, 50), st.floats(0.0, 1.0))
def test_a_steady_rate_is_told_and_falls_in_silence(period: float, times: int, silence: float) -> None:
    rate = Rate()
    assert rate.value(0.0) == 0.0
    for count in range(times):
        rate.add(count * period)
    last = (times - 1) * period
    assert rate.value(last + period) == pytest.approx(1.0 / period)
    assert rate.value(last + 3.0 * period + silence) < 1.0 / period
    rate.add(0.0 if last > 0.0 else -1.0)  # the clock jumped back
    assert rate.value(1.0) == 0.0


def test_stages_are_counted_and_the_budget_with_them() -> None:
    latencies = ChunkLatencies(0.2)
    whole = {"captured": 1.0, "synchronised": 1.01, "inferred": 1.06, "published": 1.061, "received": 1.063,
             "transformed": 1.064, "accepted": 1.066, "first setpoint": 1.07}  # fmt: skip
    latencies.add(whole)
    values = latencies.values()
    assert values["sync to infer (ms)"] == "50.0 50.0 50.0"
    assert values["capture to accept (ms)"] == "66.0 66.0 66.0"
    assert values["over budget"] == "0 of 1 chunks took more than 0.2 s"
    latencies.add({**whole, "accepted": 1.3})
    assert latencies.values()["over budget"].startswith("1 of 2")
    assert BUDGETED in {name for name, _, _ in STAGES}


def test_an_instant_that_is_missing_or_impossible_leaves_its_stages_out() -> None:
    latencies = ChunkLatencies(0.2)
    latencies.add({"captured": 1.0, "inferred": 0.9, "published": 0.0, "received": 2.0, "transformed": 1.9})
    assert list(latencies.values()) == ["over budget"]
    with pytest.raises(ValueError, match="above 0 s"):
        ChunkLatencies(0.0)
