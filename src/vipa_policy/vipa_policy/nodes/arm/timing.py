"""When the arm node did what with a chunk, beside what the policy tells of it: one message, and percentiles.

Guarded by tests/graph/test_supervision.py.
"""

from __future__ import annotations

from vipa_msgs.msg import ActionChunk, ArmTimings
from vipa_policy.control.latency import ChunkLatencies, Rate, Window
from vipa_policy.nodes.conversions import seconds_of, stamp_from_seconds

INSTANTS = ("captured", "received", "transformed", "accepted", "first setpoint")


class Timing:
    """Instants of the newest accepted chunk, latencies and rates lately.

    Args:
        budget: s from capture to acceptance.
    """

    def __init__(self, budget: float) -> None:
        self._latencies = ChunkLatencies(budget)
        self._skew = Window()
        self._chunks, self._setpoints = Rate(), Rate(50)
        self._chunk_id = 0
        self._instants: dict[str, float] = {}
        self._counted = True

    def accepted(self, message: ActionChunk, received: float, transformed: float, now: float) -> None:
        """Take an accepted chunk; times in s."""
        self._count()
        told = message.timings
        self._chunk_id = message.id
        self._instants = {
            "captured": seconds_of(message.header.stamp),
            "synchronised": seconds_of(told.synchronised),
            "inferred": seconds_of(told.inferred),
            "published": seconds_of(told.published),
            "received": received,
            "transformed": transformed,
            "accepted": now,
        }
        self._counted = False
        self._chunks.add(now)
        self._skew.add(abs(told.skew))

    def streamed(self, chunk_id: int, now: float) -> None:
        """Take a setpoint that was streamed at ``now`` (s) while a chunk was in force."""
        self._setpoints.add(now)
        if not self._counted and chunk_id == self._chunk_id:
            self._instants["first setpoint"] = now
            self._count()

    def _count(self) -> None:
        """A chunk that was overtaken before its first setpoint counts without one."""
        if not self._counted:
            self._counted = True
            self._latencies.add(self._instants)

    def message(self) -> ArmTimings:
        """Return the newest accepted chunk's instants."""
        fields = {name.replace(" ", "_"): stamp_from_seconds(self._instants.get(name, 0.0)) for name in INSTANTS}
        return ArmTimings(chunk_id=self._chunk_id, **fields)

    def values(self, now: float) -> dict[str, str]:
        """Return rates, skew and latencies (p50 p95 p99) as pairs for the diagnostics."""
        skew = self._skew.summary()
        return {
            "rate of chunks (Hz)": f"{self._chunks.value(now):.2f}",
            "rate of setpoints (Hz)": f"{self._setpoints.value(now):.1f}",
            "skew (ms)": " ".join(f"{1000.0 * value:.1f}" for value in skew[:3]),
            **self._latencies.values(),
        }
