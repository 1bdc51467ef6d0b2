"""What the policy node tells: its status, its health, and how long its work takes.

Guarded by tests/graph/test_policy_node.py and tests/graph/test_instructions.py.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticStatus

from vipa_msgs.msg import InstructionUse, PolicyStatus
from vipa_policy.chunk_latency import ChunkLatency
from vipa_policy.image_delay import Estimate
from vipa_policy.instruction import InstructionLatch
from vipa_policy.instruction_history import InstructionHistory, Use
from vipa_policy.nodes.conversions import stamp_from_seconds
from vipa_policy.nodes.managed import ManagedNode
from vipa_policy.nodes.policy_interface import Policy
from vipa_policy.nodes.qos import LATCHED_QOS

HEARTBEAT = 1.0  # s of wall time between two statuses that say the same

_NO_DIGITS = str.maketrans("", "", "0123456789")

NAMES = {
    getattr(PolicyStatus, name): name
    for name in ("WAITING", "RUNNING", "STOPPED", "REFUSED", "NO_OBSERVATION", "FAILED")
}
LEVELS = {
    PolicyStatus.WAITING: DiagnosticStatus.OK,
    PolicyStatus.RUNNING: DiagnosticStatus.OK,
    PolicyStatus.STOPPED: DiagnosticStatus.OK,
    PolicyStatus.REFUSED: DiagnosticStatus.WARN,
    PolicyStatus.NO_OBSERVATION: DiagnosticStatus.WARN,
    PolicyStatus.FAILED: DiagnosticStatus.ERROR,
}


class PolicyTeller:
    """Publishes ``policy/status`` on change and as a heartbeat, and what stands beside it in the diagnostics.

    Not for several threads at once: the node calls it with its lock held.

    Args:
        node: whose state it tells.
        latch: the words in force.
        warnings: says what is not as it should be although chunks are predicted, "" where nothing is.
    """

    def __init__(self, node: ManagedNode, latch: InstructionLatch, warnings: Callable[[], str]) -> None:
        self._node = node
        self._latch = latch
        self._warnings = warnings
        self._sent = float("-inf")
        self._publisher = node.create_publisher(PolicyStatus, "policy/status", LATCHED_QOS)
        self.state, self.reason = PolicyStatus.WAITING, "not configured yet"
        self.run = uuid.uuid4().hex[:12]
        """Names this run of the node: identifiers of chunks count from 1 in each."""
        self.policy: Policy | None = None
        self.history = InstructionHistory()
        self.latency = ChunkLatency()
        self.skew = 0.0
        self.delay: Estimate | None = None
        """By how much pictures are stamped later than they were taken, where that is known."""

    def set(self, state: int, reason: str) -> None:
        """Set state and reason; published at once where they are new but for their figures, else with the heartbeat."""
        changed = (state, without_figures(reason)) != (self.state, without_figures(self.reason))
        self.state, self.reason = state, reason
        if changed:
            self.publish()

    def beat(self) -> None:
        """Publish where nothing was published for a while."""
        if time.monotonic() - self._sent > HEARTBEAT:
            self.publish()

    def publish(self) -> None:
        """Publish the status, and set the health."""
        self._sent = time.monotonic()
        estimate = self.delay
        message = PolicyStatus(
            state=self.state,
            instruction=self._latch.instruction,
            chunk_id=self.history.last_chunk,
            run=self.run,
            history=[use_to_message(use) for use in self.history.uses],
            reason=self.reason,
            checkpoint=self.policy.name if self.policy else "",
            device=str(self.policy.device) if self.policy else "",
            inference_p50=self.latency.inference.p50,
            rate=self.latency.rate(self._node.now),
            skew=self.skew,
            image_delay=estimate.delay if estimate else math.nan,
            image_delay_deviation=estimate.deviation if estimate else math.nan,
            image_delay_confidence=estimate.confidence if estimate else 0.0,
            heard=self._latch.heard,
            heard_stamp=stamp_from_seconds(self._latch.heard_stamp),
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
        self._report()

    def _report(self) -> None:
        level, text = LEVELS[self.state], NAMES[self.state].lower() + (f": {self.reason}" if self.reason else "")
        warning = self._warnings()
        if warning and level == DiagnosticStatus.OK:
            level = DiagnosticStatus.WARN
        self._node.diagnostics.report(level, f"{text}; {warning}" if warning else text)

    def values(self) -> Mapping[str, str]:
        """What runs where, how fast, and for which words."""
        uses = self.history.uses
        used = uses[-1] if uses else None
        estimate = self.delay
        return {
            "state": NAMES[self.state],
            "run": self.run,
            "instruction": self._latch.instruction,
            "instruction to chunk (s)": f"{used.latency:.3f}" if used and used.first_chunk else "",
            "checkpoint": self.policy.name if self.policy else "",
            "device": str(self.policy.device) if self.policy else "",
            "inference p50 (s)": f"{self.latency.inference.p50:.4f}",
            "rate (Hz)": f"{self.latency.rate(self._node.now):.2f}",
            "skew (s)": f"{self.skew:.4f}",
            "image delay (s)": (
                f"{estimate.delay:+.4f} +- {estimate.deviation:.4f}, confidence {estimate.confidence:.2f}"
                if estimate
                else "not known: the arm has not moved enough"
            ),
            **self.latency.values(),
        }


def use_to_message(use: Use) -> InstructionUse:
    """Return the message of one use of words."""
    return InstructionUse(
        instruction=use.instruction,
        heard=stamp_from_seconds(use.heard),
        first_chunk=use.first_chunk,
        last_chunk=use.last_chunk,
        first_published=stamp_from_seconds(use.first_published),
        latency=use.latency,
    )


def without_figures(text: str) -> str:
    """Return a text without its digits: a time that grows makes no new reason."""
    return text.translate(_NO_DIGITS)
