"""The policy node: an observation of one instant and words in, chunks in the camera frame out.

See docs/nodes/policy.md. Guarded by tests/graph/test_policy_node.py.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

from geometry_msgs.msg import PointStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String

from vipa_msgs.msg import ActionChunk, ChunkTimings, ExecutionState, PolicyStatus
from vipa_policy.chunk_latency import ChunkLatency, Instants
from vipa_policy.clock_watch import ClockWatch
from vipa_policy.errors import InstructionError, ObservationError, VipaError
from vipa_policy.instruction import STOP_WORD, Change, InstructionLatch
from vipa_policy.nodes.commitment import Commitment, Published
from vipa_policy.nodes.conversions import chunk_to_message, point_from_array, seconds_of, stamp_from_seconds
from vipa_policy.nodes.delay_watch import DelayWatch
from vipa_policy.nodes.inference import Worker
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.observer import Observed, Observer
from vipa_policy.nodes.parameters import values_of
from vipa_policy.nodes.policy_interface import Loader, Loading, Policy, load
from vipa_policy.nodes.policy_parameters import DECLARATIONS
from vipa_policy.nodes.policy_teller import PolicyTeller
from vipa_policy.nodes.qos import INSTRUCTION_QOS, NEWEST_QOS
from vipa_policy.observation import Chunk, CommittedTail

WATCHING = 0.01  # s of wall time between two looks at what is missing


class Work(NamedTuple):
    """When a prediction began and was done, s of ROS time, and how long it took, s of wall time."""

    began: float
    inferred: float
    inference: float


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
        self._clock_watch = ClockWatch(0.0, time.monotonic())
        self._delay_watch: DelayWatch | None = None
        self._delay_worker: Worker | None = None
        self._to_watch: Observed | None = None
        super().__init__("policy", DECLARATIONS, **options)
        self._teller = PolicyTeller(self, self._latch, self._warnings)

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
        self._teller.policy = self._policy
        self._teller.latency = ChunkLatency(self._values["latency_budget"])
        self._delay_watch = DelayWatch(self._observer, self._values)
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
        self._policy = self._teller.policy = None
        self._set_state(PolicyStatus.FAILED, reason)
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to predict."""
        self._worker = Worker(self._infer, "inference")
        # Beside a prediction and not before it: torch leaves the interpreter to others while it works.
        self._delay_worker = Worker(self._watch_delay, "image delay")
        # Wall time: what watches for losses must not stand still with the clock.
        self._watch = self.create_timer(WATCHING, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._clock_watch = ClockWatch(self.now, time.monotonic())
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
        self._policy = self._observer = self._delay_watch = self._teller.policy = None
        self._to_watch = None
        self._commitment = Commitment()  # chunks of another checkpoint may mean something else
        self._set_state(PolicyStatus.WAITING, "not configured")
        return TransitionCallbackReturn.SUCCESS

    def begin_finish(self, reason: str) -> None:
        """Tell at once that nothing follows; what is being predicted is waited for after that."""
        with self._lock:
            self._epoch += 1
            self._set_state(PolicyStatus.WAITING, f"the policy node ends: {reason}")
        self._end_worker()

    def diagnostic_values(self) -> Mapping[str, str]:
        """What runs where, how fast, for which words, and how good the stamps are."""
        with self._lock:
            latencies = self._observer.least_latencies() if self._observer is not None else {}
            return {
                **self._teller.values(),
                **{f"least latency of {part} (s)": f"{seconds:.4f}" for part, seconds in latencies.items()},
            }

    def _warnings(self) -> str:
        if self._observer is None or self._delay_watch is None:
            return ""
        return self._delay_watch.warning or self._observer.clock_problem()

    # What is heard

    def _on_instruction(self, message: String) -> None:
        with self._lock:
            changed = self._react(self._latch.offer(message.data, self.now))
            if changed:
                # The arm may not have heard it: it is told now, not with the next heartbeat.
                self._teller.publish()

    def _react(self, change: Change) -> bool:
        """Act on what an instruction changed, the lock held; returns whether it changed anything."""
        if change is Change.NONE:
            return False
        self._epoch += 1
        self._teller.history.in_force(self._words(), self._latch.heard_stamp)
        if change is Change.NEW:
            self._refusal = self._check(self._latch.instruction)
        self._look_around()
        if self._worker is not None:
            self._worker.notify()
        return True

    def _words(self) -> str:
        """What is in force: words, or the stop that is latched."""
        return STOP_WORD if self._latch.stopped else self._latch.instruction

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
            if self._words():
                self._teller.history.in_force(self._words(), self.now)
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
                elif self._teller.state not in (PolicyStatus.RUNNING, PolicyStatus.NO_OBSERVATION, PolicyStatus.FAILED):
                    self._set_state(PolicyStatus.NO_OBSERVATION, "the first prediction is under way")
            self._teller.beat()

    def _clock_problem(self) -> str:
        wall = time.monotonic()
        if self._clock_watch.look(self.now, wall) and self._observer is not None:
            self.get_logger().warning("the clock jumped back; all inputs are forgotten")
            self._observer.clear()
            self._last_stamp = float("-inf")
            return "the clock jumped back; all inputs are forgotten"
        return self._clock_watch.problem(wall, self._values["clock_timeout"])

    def _lose(self, reason: str) -> None:
        """No observation: drop what is being predicted."""
        if self._teller.state != PolicyStatus.NO_OBSERVATION:
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
            if self._delay_worker is not None:
                self._delay_worker.notify()
            began, began_at = time.monotonic(), self.now
            seed, flow_steps = self._values["seed"], self._values["flow_steps"]
            chunk = policy.predict(
                observed.observation,
                words,
                committed=self._committed(policy, observer, observed, words),
                seed=None if seed < 0 else seed,
                flow_steps=flow_steps or None,
            )
            inference = time.monotonic() - began
            if self._publish(chunk, observed, Work(began_at, self.now, inference), epoch):
                self._to_watch = observed
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
        captured = observed.observation.stamp
        return commitment.tail(
            policy.contract, words, self.now, captured, lambda frame: observer.camera_from(observed, frame)
        )

    def _publish(self, chunk: Chunk, observed: Observed, work: Work, epoch: int) -> bool:
        """Publish a chunk, unless words, a stop or a loss that came meanwhile make it worthless; returns whether."""
        with self._lock:
            if epoch != self._epoch or self._policy is None or self._worker is None:
                return False
            self._chunk_id += 1
            self._last_stamp = observed.observation.stamp
            self._teller.skew = observed.skew
            published = self.now
            message = chunk_to_message(
                chunk,
                self._policy.contract,
                self._chunk_id,
                observed.header,
                ChunkTimings(
                    captured=observed.header.stamp,
                    synchronised=stamp_from_seconds(observed.arrived),
                    inferred=stamp_from_seconds(work.inferred),
                    published=stamp_from_seconds(published),
                    skew=float(observed.skew),
                    inference=float(work.inference),
                ),
            )
            message.run = self._teller.run
            self._set_state(PolicyStatus.RUNNING, "")
            self._chunks.publish(message)
            instants = Instants(observed.observation.stamp, observed.arrived, work.began, work.inferred, published)
            self._teller.latency.add(instants, work.inference)
            if self._teller.history.chunk(self._chunk_id, self._latch.instruction, published):
                self._teller.publish()  # whoever waits for these words to be used is told at once
            self._commitment.published(
                Published(self._chunk_id, chunk.stamp, chunk.instruction), published - work.began
            )
            if chunk.pointed is not None:
                self._pointed.publish(PointStamped(header=observed.header, point=point_from_array(chunk.pointed)))
            return True

    def _watch_delay(self) -> None:
        """Compare the picture that was used last with the arm's motion, in a thread of its own."""
        watch, observed = self._delay_watch, self._to_watch
        self._to_watch = None
        if watch is None or observed is None:
            return
        try:
            watch.take(observed)
            watch.work()
        except Exception:  # noqa: BLE001 - an estimate beside the work must not end the work
            self.get_logger().error(f"the delay of pictures is no longer watched: {traceback.format_exc()}")
            self._delay_watch = None
        with self._lock:
            self._teller.delay = watch.estimate

    # What is told

    def _set_state(self, state: int, reason: str) -> None:
        with self._lock:
            self._teller.set(state, reason)

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        delay_worker, self._delay_worker = self._delay_worker, None
        with self._lock:
            self._epoch += 1
        if delay_worker is not None:
            delay_worker.end()
        if worker is not None and not worker.end():
            self.get_logger().warning("the prediction in progress did not end; its result will be dropped")


def main(arguments: list[str] | None = None) -> int:
    """Run the policy node; returns the exit status."""
    return run(PolicyNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
