"""The cell as a person in front of it would use it: say words, start trials, wait for what comes of them.

Used by the evaluation, the demo, the demonstrator and the tests. Every wait is for a condition and bounded.
Guarded by tests/graph/test_evaluation_graph.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.client import Client
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import String

from vipa_msgs.msg import CellState, ExecutionState, PolicyStatus, TrialStatus
from vipa_msgs.srv import ResetCell, StartTrial
from vipa_policy.instruction import STOP_WORD
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.qos import INSTRUCTION_QOS, LATCHED_QOS
from vipa_sim.nodes.launched_graph import GraphError

TARGETS_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
# Loading a checkpoint on a busy machine takes the longest.
STARTING = 180.0
ANSWER = 30.0
STOPPING = 30.0
# A cell slower than this share of real time is taken for hung.
SLOWEST = 0.02
# Pictures after a reset before words are given: one may already have been on its way.
FRESH_PICTURES = 2


@dataclass
class Trial:
    """A trial that is running or has ended.

    Attributes:
        identifier: as the cell counts them.
        status: newest report of the judge, None before the first.
        path: (x, y) in m of the tool centre, at every picture.
        refusal: what the policy said where it refused the words, "" otherwise.
        stamps: s, of the setpoints streamed. setpoints: (3,) m each. Only where ``listen_to_targets`` was called.
        gaps: m, by chunk: what it and the motion before were apart where they were joined.
    """

    identifier: int
    status: TrialStatus | None = None
    path: list[tuple[float, float]] = field(default_factory=list)
    refusal: str = ""
    stamps: list[float] = field(default_factory=list)
    setpoints: list[tuple[float, float, float]] = field(default_factory=list)
    gaps: dict[int, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the judge is done with it, or the policy refused to try."""
        return bool(self.refusal) or (self.status is not None and self.status.finished)

    @property
    def succeeded(self) -> bool:
        """Whether the judge saw it succeed."""
        return self.status is not None and bool(self.status.finished and self.status.succeeded)

    @property
    def error(self) -> float:
        """How far off in m the tool centre was from the target's grasp point at the end; 0 where never judged."""
        return self.status.distance if self.status is not None else 0.0


def objects_of(state: CellState) -> tuple[list[str], list[str]]:
    """Return the colours of the blocks and of the bowls in the cell."""
    blocks = [item.colour for item in state.objects if item.kind == "block"]
    return blocks, [item.colour for item in state.objects if item.kind == "bowl"]


class CellClient:
    """Talks to the cell, the policy and the arm from the calling thread."""

    def __init__(self, node: Node, executor: Executor, check: Callable[[], None] = lambda: None) -> None:
        """Use ``node``, served by ``executor``; ``check`` raises where waiting has become pointless."""
        self.node = node
        self._executor = executor
        self._check = check
        self.state: CellState | None = None
        self.execution: ExecutionState | None = None
        self.policy: PolicyStatus | None = None
        self.real_time_factor = 0.0
        self.watch: Callable[[], None] = lambda: None
        """Called at every picture; for captions."""
        self._pictures = 0
        self._trial: Trial | None = None
        self._instruction = node.create_publisher(String, "instruction", INSTRUCTION_QOS)
        self._subscriptions = [
            node.create_subscription(CellState, "cell/state", self._take_state, 5),
            node.create_subscription(TrialStatus, "cell/trial", self._take_trial, LATCHED_QOS),
            node.create_subscription(ExecutionState, "arm/execution_state", self._take_execution, 1),
            node.create_subscription(PolicyStatus, "policy/status", self._take_policy, LATCHED_QOS),
            node.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10),
        ]
        self._reset = node.create_client(ResetCell, "cell/reset")
        self._start = node.create_client(StartTrial, "cell/start_trial")

    def listen_to_targets(self) -> None:
        """Keep the setpoints of trials from here on."""
        self._subscriptions.append(
            self.node.create_subscription(PoseStamped, "target_pose", self._take_target, TARGETS_QOS)
        )

    def wait_for(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Serve messages until ``condition``; raises GraphError naming ``what`` after ``timeout`` s of wall time."""
        deadline = time.monotonic() + timeout
        while not condition():
            self._check()
            if time.monotonic() > deadline:
                raise GraphError(f"waited {timeout:g} s in vain for {what}")
            self._executor.spin_once(timeout_sec=0.1)

    def wait_until_ready(self, driven: bool = True) -> None:
        """Wait for the cell and, where it is ``driven`` by them, for policy and arm. Raises GraphError in vain."""
        self.wait_for(
            lambda: self._reset.service_is_ready() and self._start.service_is_ready(), "the cell's services", STARTING
        )
        self.wait_for(lambda: self.state is not None, "the cell's first picture", ANSWER)
        if driven:
            self.wait_for(lambda: self.policy is not None, "the policy's status", STARTING)
            self.wait_for(lambda: self.execution is not None, "the arm's execution state", STARTING)
            self.wait_for(
                lambda: self._instruction.get_subscription_count() >= 2, "policy and arm to listen for words", ANSWER
            )

    def instruct(self, words: str) -> None:
        """Publish an instruction once."""
        self._instruction.publish(String(data=words))

    def stop(self) -> None:
        """Tell the arm to stop and wait until it holds. Raises GraphError where it does not."""
        self.instruct(STOP_WORD)
        self.wait_for(self._holds, "the arm to stop and hold", STOPPING)

    def reset(self, seed: int, held_out: bool) -> CellState:
        """Put the cell into a layout, wait for pictures of it, and return its truth. Raises GraphError on refusal."""
        response = self.call(self._reset, ResetCell.Request(seed=seed, held_out=held_out))
        if not response.success:
            raise GraphError(f"the cell refused layout {seed}: {response.message}")
        self.watch_pictures(FRESH_PICTURES)
        return self.state or response.state

    def watch_pictures(self, count: int) -> None:
        """Let so many pictures pass. Raises GraphError where they do not come."""
        last = self._pictures + count
        self.wait_for(lambda: self._pictures >= last, f"{count} pictures", ANSWER)

    def start_trial(self, task: str, target: str, destination: str, time_limit: float) -> Trial:
        """Begin a judged trial. Raises GraphError where the cell refuses it."""
        request = StartTrial.Request(task=task, target=target, destination=destination, time_limit=time_limit)
        response = self.call(self._start, request)
        if not response.success:
            raise GraphError(f"the cell refused the trial: {response.message}")
        self._trial = Trial(response.id)
        return self._trial

    def finish_trial(self, trial: Trial, time_limit: float, words: str) -> None:
        """Wait until a trial for these words has ended; ``time_limit`` is in simulated s. Raises GraphError in vain."""

        def ended() -> bool:
            if (
                self.policy is not None
                and self.policy.state == PolicyStatus.REFUSED
                and self.policy.instruction == words
            ):
                trial.refusal = self.policy.reason or "refused"
            return trial.finished

        self.wait_for(ended, f"the end of trial {trial.identifier}", time_limit / SLOWEST)

    def _holds(self) -> bool:
        execution = self.execution
        return (
            execution is not None
            and execution.stopped
            and execution.state in (ExecutionState.IDLE, ExecutionState.HOLDING)
        )

    def call(self, client: Client, request: Any) -> Any:
        """Return a service's answer. Raises GraphError where none comes."""
        future = client.call_async(request)
        self.wait_for(future.done, f"an answer of {client.srv_name}", ANSWER)
        return future.result()

    def _take_state(self, message: CellState) -> None:
        self.state = message
        self._pictures += 1
        if self._trial is not None and not self._trial.finished:
            self._trial.path.append((message.tip.position.x, message.tip.position.y))
        self.watch()

    def _take_trial(self, message: TrialStatus) -> None:
        if self._trial is not None and message.id == self._trial.identifier:
            self._trial.status = message

    def _take_target(self, message: PoseStamped) -> None:
        trial = self._trial
        if trial is not None and not trial.finished:
            place = message.pose.position
            trial.stamps.append(seconds_of(message.header.stamp))
            trial.setpoints.append((place.x, place.y, place.z))

    def _take_execution(self, message: ExecutionState) -> None:
        self.execution = message
        trial = self._trial
        if trial is not None and not trial.finished and message.chunk_id and message.seam != "start":
            trial.gaps.setdefault(message.chunk_id, message.seam_gap)

    def _take_policy(self, message: PolicyStatus) -> None:
        self.policy = message

    def _take_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            for pair in status.values:
                if status.name == "cell" and pair.key == "real_time_factor":
                    self.real_time_factor = float(pair.value)
