"""How long a chunk takes within the policy node, from capture to publication: the single place that counts it. No ROS.

Guarded by tests/unit/test_chunk_latency.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vipa_policy.control.latency import Rate, Summary, Window

STAGES = ("capture to sync", "sync to infer", "inference", "infer to publish", "capture to publish")


@dataclass(frozen=True)
class Instants:
    """When the work on one chunk was done, s of one clock.

    Attributes:
        captured: when the picture was taken.
        synchronised: when the last part of the observation had arrived.
        began: when the prediction began.
        inferred: when the model had answered.
        published: when the chunk was handed on.
    """

    captured: float
    synchronised: float
    began: float
    inferred: float
    published: float


class ChunkLatency:
    """Percentiles of every stage over the last chunks, how often the budget was passed, and the rate of chunks.

    Args:
        budget: s from capture to publication.
    """

    def __init__(self, budget: float = 0.2) -> None:
        self.budget = budget
        self.counted = 0
        self.over_budget = 0
        self._windows = {stage: Window() for stage in STAGES}
        self._rate = Rate()

    @property
    def inference(self) -> Summary:
        """Of the time in s that the model took."""
        return self._windows["inference"].summary()

    def rate(self, now: float) -> float:
        """Return chunks a second at ``now`` (s)."""
        return self._rate.value(now)

    def add(self, instants: Instants, inference: float) -> None:
        """Take the instants of one chunk, and the time in s of wall time that the model took.

        On a simulated clock, which goes in steps and may run slower or faster, the stages are of that clock; the
        inference is not.
        """
        stages = (
            instants.synchronised - instants.captured,
            instants.began - instants.synchronised,
            inference,
            instants.published - instants.inferred,
            instants.published - instants.captured,
        )
        for stage, seconds in zip(STAGES, stages, strict=True):
            self._windows[stage].add(seconds)
        self.counted += 1
        self.over_budget += stages[-1] > self.budget
        self._rate.add(instants.published)

    def values(self) -> dict[str, str]:
        """Return p50, p95 and p99 in ms of every stage, and the count over budget; empty before the first chunk."""
        if not self.counted:
            return {}
        told = {
            f"{stage} p50 p95 p99 (ms)": " ".join(f"{1000.0 * value:.1f}" for value in window.summary()[:3])
            for stage, window in self._windows.items()
        }
        told["over budget"] = f"{self.over_budget} of {self.counted} chunks took more than {self.budget:g} s"
        return told
