"""The policy node: an observation of one instant and words in, chunks in the camera frame out.

See docs/nodes/policy.md. Guarded by tests/graph/test_policy_node.py.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PointStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from vipa_msgs.msg import ActionChunk, ChunkTimings, ExecutionState, PolicyStatus
from vipa_policy.errors import InstructionError, ObservationError, VipaError
from vipa_policy.instruction import Change, InstructionLatch
from vipa_policy.nodes.commitment import Commitment, Published
from vipa_policy.nodes.conversions import chunk_to_message, point_from_array, seconds_of, stamp_from_seconds
from vipa_policy.nodes.inference import Worker
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.observer import Observed, Observer
from vipa_policy.nodes.parameters import values_of
from vipa_policy.nodes.policy_interface import Loader, Loading, Policy, load
from vipa_policy.nodes.policy_parameters import DECLARATIONS
from vipa_policy.observation import Chunk, CommittedTail

INSTRUCTION_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
NEWEST_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
WATCHING = 0.01  # s of wall time between two looks at what is missing
HEARTBEAT = 1.0  # s of wall time between two statuses that say the same
REMEMBERED = 50  # chunks that median and rate are taken over

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


class PolicyNode(ManagedNode):
    """Predicts chunks for the words in force while every part of the observation is fresh; says why where not.

    Args:
        loader: loads a policy.
        options: of rclpy's node.
    """

    def __init__(self, loader: Loader = load, **options: Any) -> None:
        self._lock = threading.RLock()
        self._loader = loader
        self._policy: Policy | None = None
        self._observer: Observer | None = None
        self._worker: Worker | None = None
        self._latch = InstructionLatch()
        self._commitment = Commitment()
        self._refusal = ""
        self._arm_stopped = False
        self._epoch = 0  # counts what makes a prediction in progress worthless
        self._chunk_id = 0
        self._last_stamp = float("-inf")
        self._state, self._reason = PolicyStatus.WAITING, "not configured yet"
        self._status_sent = float("-inf")
        self._inference: deque[float] = deque(maxlen=REMEMBERED)
        self._published_at: deque[float] = deque(maxlen=REMEMBERED)
        self._skew = 0.0
        self._clock_value, self._clock_moved = 0.0, time.monotonic()
        super().__init__("policy", DECLARATIONS, **options)
        self._status = self.create_publisher(PolicyStatus, "policy/status", LATCHED_QOS)

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint and subscribe to what its contract asks for. Fails, and says why, where it cannot."""
        self._values = values_of(self, self.declarations)
        checkpoint = self._values["checkpoint"]
        try:
            self._policy = self._loader(Loading.of(self._values))
            self._observer = Observer(self, self._policy.contract, self._values, self._on_complete)
        except VipaError as error:
            return self._fail_to_configure(f"cannot run checkpoint {checkpoint!r}: {error}")
        except Exception as error:  # noqa: BLE001 - out of memory, for one, must leave the node up, with its reason
            self.get_logger().error(traceback.format_exc())
            return self._fail_to_configure(f"cannot run checkpoint {checkpoint!r}: {type(error).__name__}: {error}")
        self._chunks = self.create_publisher(ActionChunk, "policy/chunk", NEWEST_QOS)
        self._pointed = self.create_publisher(PointStamped, "policy/pointed", NEWEST_QOS)
        self._subscriptions_made = [
            self.create_subscription(String, "instruction", self._on_instruction, INSTRUCTION_QOS),
            self.create_subscription(ExecutionState, "arm/execution_state", self._on_execution_state, NEWEST_QOS),
        ]
        self.get_logger().info(f"checkpoint {self._policy.name!r} on {self._policy.device}")
        self._set_state(PolicyStatus.WAITING, "not active yet")
        return TransitionCallbackReturn.SUCCESS

    def _fail_to_configure(self, reason: str) -> TransitionCallbackReturn:
        self.get_logger().error(reason)
        self._policy = None
        self._set_state(PolicyStatus.FAILED, reason)
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to predict."""
        self._worker = Worker(self._infer)
        # Wall time: what watches for losses must not stand still with the clock.
        self._watch = self.create_timer(WATCHING, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._clock_moved = time.monotonic()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop predicting; a prediction in progress is dropped."""
        self._end_worker()
        self.destroy_timer(self._watch)
        self._set_state(PolicyStatus.WAITING, "not active")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the checkpoint and of everything heard."""
        if self._observer is not None:
            self._observer.destroy()
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        self.destroy_publisher(self._chunks)
        self.destroy_publisher(self._pointed)
        self._policy = self._observer = None
        self._commitment = Commitment()  # chunks of another checkpoint may mean something else
        self._set_state(PolicyStatus.WAITING, "not configured")
        return TransitionCallbackReturn.SUCCESS

    def begin_finish(self, reason: str) -> None:
        """Tell that nothing follows."""
        self._end_worker()
        self._set_state(PolicyStatus.WAITING, f"the policy node ends: {reason}")

    def diagnostic_values(self) -> Mapping[str, str]:
        """What runs where, and how fast."""
        with self._lock:
            return {
                "state": NAMES[self._state],
                "instruction": self._latch.instruction,
                "checkpoint": self._policy.name if self._policy else "",
                "device": str(self._policy.device) if self._policy else "",
                "inference p50 (s)": f"{self._median():.4f}",
                "rate (Hz)": f"{self._rate():.2f}",
                "skew (s)": f"{self._skew:.4f}",
            }

    # What is heard

    def _on_instruction(self, message: String) -> None:
        with self._lock:
            changed = self._react(self._latch.offer(message.data, self.now))
            if changed:
                # The arm may not have heard it: it is told now, not with the next heartbeat.
                self._publish_status()

    def _react(self, change: Change) -> bool:
        """Act on what an instruction changed, the lock held; returns whether it changed anything."""
        if change is Change.NONE:
            return False
        self._epoch += 1
        if change is Change.NEW:
            self._refusal = self._check(self._latch.instruction)
        self._look_around()
        if self._worker is not None:
            self._worker.notify()
        return True

    def _check(self, words: str) -> str:
        assert self._policy is not None
        try:
            self._policy.check_instruction(words)
        except InstructionError as error:
            self.get_logger().warning(f"instruction refused: {error}")
            return str(error)
        return ""

    def _on_execution_state(self, message: ExecutionState) -> None:
        """The arm's latch decides: stopped there is stopped here, resumed there is resumed here."""
        with self._lock:
            self._commitment.heard(message)
            self._react(self._latch.relay(message.heard, seconds_of(message.heard_stamp), self.now))
            if message.stopped == self._arm_stopped:
                return
            self._arm_stopped = message.stopped
            if message.stopped:
                self._latch.stop()
            else:
                self._latch.resume()
            self._epoch += 1
            self._look_around()

    def _on_complete(self) -> None:
        worker = self._worker
        if worker is not None and self._latch.active and not self._refusal:
            worker.notify()

    # What is missing

    def _look_around(self) -> None:
        """Settle the state from words and inputs; RUNNING is only ever entered with a chunk."""
        with self._lock:
            if self._observer is None or self._worker is None:
                return
            if self._latch.stopped:
                self._set_state(PolicyStatus.STOPPED, "stopped; give another instruction or call arm/resume")
            elif not self._latch.active:
                self._set_state(PolicyStatus.WAITING, "no instruction yet; publish one on the topic instruction")
            elif self._refusal:
                self._set_state(PolicyStatus.REFUSED, self._refusal)
            else:
                problem = self._clock_problem() or self._observer.problem(self.now)
                if problem:
                    self._lose(problem)
                elif self._state not in (PolicyStatus.RUNNING, PolicyStatus.NO_OBSERVATION, PolicyStatus.FAILED):
                    self._set_state(PolicyStatus.NO_OBSERVATION, "the first prediction is under way")
            if time.monotonic() - self._status_sent > HEARTBEAT:
                self._publish_status()

    def _clock_problem(self) -> str:
        value, wall = self.now, time.monotonic()
        if value < self._clock_value - 1.0 and self._observer is not None:
            self.get_logger().warning("the clock jumped back; all inputs are forgotten")
            self._observer.clear()
            self._last_stamp = float("-inf")
        if value != self._clock_value:
            self._clock_value, self._clock_moved = value, wall
        silent = wall - self._clock_moved
        if silent > self._values["clock_timeout"]:
            return f"the clock stands still for {silent:.0f} s: is the simulator alive?"
        return ""

    def _lose(self, reason: str) -> None:
        """No observation: drop what is being predicted."""
        if self._state != PolicyStatus.NO_OBSERVATION:
            self._epoch += 1
        self._set_state(PolicyStatus.NO_OBSERVATION, reason)

    # Inference, in the worker's thread

    def _infer(self) -> None:
        with self._lock:
            policy, observer, epoch = self._policy, self._observer, self._epoch
            words = self._latch.instruction
            if policy is None or observer is None or not self._latch.active or self._refusal:
                return
            rate = self._values["maximum_rate"]
        try:
            observed = observer.observe(self.now)
            if observed is None or (rate > 0.0 and observed.observation.stamp < self._last_stamp + 0.99 / rate):
                return
            began, began_at = time.monotonic(), self.now
            seed, flow_steps = self._values["seed"], self._values["flow_steps"]
            chunk = policy.predict(
                observed.observation,
                words,
                committed=self._committed(policy, observer, observed, words),
                seed=None if seed < 0 else seed,
                flow_steps=flow_steps or None,
            )
            self._publish(chunk, observed, time.monotonic() - began, began_at, epoch)
        except ObservationError as error:
            with self._lock:
                self._lose(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a model raises must not end the node
            self.get_logger().error(f"prediction failed: {traceback.format_exc()}", throttle_duration_sec=5.0)
            with self._lock:
                self._epoch += 1
                self._set_state(PolicyStatus.FAILED, f"prediction failed: {type(error).__name__}: {error}")

    def _committed(self, policy: Policy, observer: Observer, observed: Observed, words: str) -> CommittedTail | None:
        if not self._values["inpainting"]:
            return None
        with self._lock:
            commitment = self._commitment
        return commitment.tail(policy.contract, words, self.now, lambda frame: observer.camera_from(observed, frame))

    def _publish(self, chunk: Chunk, observed: Observed, inference: float, began: float, epoch: int) -> None:
        with self._lock:
            # Words, a stop or a loss that came meanwhile make the prediction worthless.
            if epoch != self._epoch or self._policy is None or self._worker is None:
                return
            inferred = self.get_clock().now().to_msg()
            self._chunk_id += 1
            self._last_stamp = observed.observation.stamp
            self._skew = observed.skew
            self._inference.append(inference)
            self._published_at.append(self.now)
            message = chunk_to_message(
                chunk,
                self._policy.contract,
                self._chunk_id,
                observed.header,
                ChunkTimings(
                    captured=observed.header.stamp,
                    synchronised=stamp_from_seconds(observed.arrived),
                    inferred=inferred,
                    published=self.get_clock().now().to_msg(),
                    skew=float(observed.skew),
                    inference=float(inference),
                ),
            )
            self._set_state(PolicyStatus.RUNNING, "")
            self._chunks.publish(message)
            published = Published(self._chunk_id, chunk.stamp, chunk.instruction)
            self._commitment.published(published, self.now - began)
            if chunk.pointed is not None:
                self._pointed.publish(PointStamped(header=observed.header, point=point_from_array(chunk.pointed)))

    # What is told

    def _set_state(self, state: int, reason: str) -> None:
        """Set state and reason; published at once where they are new but for their figures, else with the heartbeat."""
        with self._lock:
            changed = (state, without_figures(reason)) != (self._state, without_figures(self._reason))
            self._state, self._reason = state, reason
            if changed:
                self._publish_status()

    def _publish_status(self) -> None:
        self._status_sent = time.monotonic()
        message = PolicyStatus(
            state=self._state,
            instruction=self._latch.instruction,
            chunk_id=self._chunk_id,
            reason=self._reason,
            checkpoint=self._policy.name if self._policy else "",
            device=str(self._policy.device) if self._policy else "",
            inference_p50=self._median(),
            rate=self._rate(),
            heard=self._latch.heard,
            heard_stamp=stamp_from_seconds(self._latch.heard_stamp),
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(message)
        text = NAMES[self._state].lower() + (f": {self._reason}" if self._reason else "")
        self.diagnostics.report(LEVELS[self._state], text)

    def _median(self) -> float:
        return statistics.median(self._inference) if self._inference else 0.0

    def _rate(self) -> float:
        if len(self._published_at) < 2 or self._published_at[-1] <= self._published_at[0]:
            return 0.0
        return (len(self._published_at) - 1) / (self._published_at[-1] - self._published_at[0])

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        with self._lock:
            self._epoch += 1
        if worker is not None and not worker.end():
            self.get_logger().warning("the prediction in progress did not end; its result will be dropped")


def without_figures(text: str) -> str:
    """Return a text without its digits: a time that grows makes no new reason."""
    return text.translate(_NO_DIGITS)


def main(arguments: list[str] | None = None) -> None:
    """Run the policy node."""
    sys.exit(run(PolicyNode, arguments))
