"""Stages of a chunk within the policy node."""

from __future__ import annotations

import pytest

from vipa_policy.chunk_latency import ChunkLatency, Instants


def test_stages_and_the_budget_are_counted() -> None:
    latency = ChunkLatency(budget=0.1)
    assert latency.values() == {}
    for number in range(100):
        now = 10.0 + number
        slow = 0.05 if number == 99 else 0.0
        latency.add(Instants(now, now + 0.02, now + 0.021, now + 0.061 + slow, now + 0.062 + slow), 0.04 + slow)
    told = latency.values()
    assert told["capture to sync p50 p95 p99 (ms)"] == "20.0 20.0 20.0"
    assert told["sync to infer p50 p95 p99 (ms)"] == "1.0 1.0 1.0"
    assert told["inference p50 p95 p99 (ms)"].startswith("40.0 40.0 ")
    assert told["infer to publish p50 p95 p99 (ms)"] == "1.0 1.0 1.0"
    assert told["over budget"] == "1 of 100 chunks took more than 0.1 s"
    assert latency.inference.p50 == pytest.approx(0.04)
    assert latency.rate(109.062 + 0.05) == pytest.approx(1.0, abs=0.01)
