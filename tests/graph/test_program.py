"""The program node: how a goal ends, told to the one who asked, and what the arm is told then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from graph.fakes import START, World
from rclpy.action import ActionClient
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vipa_msgs.action import ExecuteInstruction
from vipa_msgs.msg import ExecutionState, InstructionUse, PolicyStatus
from vipa_policy.instruction import Change, InstructionLatch
from vipa_policy.nodes.conversions import pose_from_matrix, stamp_from_seconds
from vipa_policy.nodes.program_node import ProgramNode
from vipa_sim.nodes.launched_graph import free_domain

pytestmark = pytest.mark.graph

Goal, Result = ExecuteInstruction.Goal, ExecuteInstruction.Result
WORDS = "reach the red block"


class Asked:
    """A goal and what came back."""

    def __init__(self, client: ActionClient, world: World, **goal: Any) -> None:
        self.feedback: list[ExecuteInstruction.Feedback] = []
        self.handle: Any = None
        sent = client.send_goal_async(Goal(**goal), lambda message: self.feedback.append(message.feedback))
        assert world.wait(sent.done)
        self.handle = sent.result()
        self.accepted = self.handle.accepted
        self._result = self.handle.get_result_async() if self.accepted else None

    def done(self) -> bool:
        return self._result is not None and self._result.done()

    @property
    def result(self) -> Result:
        return self._result.result().result

    @property
    def outcome(self) -> tuple[int, str]:
        assert self.done()
        return self.result.outcome, self.result.reason


class Stand:
    """A policy and an arm that hear words and say what the test wants; the tip goes along x at ``speed``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.latch = InstructionLatch()
        self.heard: list[str] = []
        self.speed, self.place = 0.1, 0.0
        self.chunk, self.first = 0, 0
        self.mode, self.reason = ExecutionState.ARMED, ""
        self.known = {WORDS, "go left"}
        self.run_name = "one"
        self.resumed = 0
        self.silent = False
        self._states = world.create_publisher(ExecutionState, "arm/execution_state", 1)
        world.create_subscription(String, "instruction", self._hear, 10)
        world.create_service(Trigger, "arm/resume", self._resume)
        self.client = ActionClient(world, ExecuteInstruction, "execute_instruction")

    def ask(self, instruction: str = WORDS, **goal: Any) -> Asked:
        return Asked(self.client, self.world, instruction=instruction, **goal)

    def run(self, seconds: float, until: Any = None) -> bool:
        """Let simulated time pass."""
        for step in range(round(seconds * 100)):
            if until is not None and until():
                return True
            if step % 5 == 0:
                self._tell()
            self.world.run(1)
        return until is None or until()

    def _hear(self, message: String) -> None:
        self.heard.append(message.data)
        if self.latch.offer(message.data, self.world.time) is Change.NEW:
            self.first = 0

    def _resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.resumed += 1
        self.latch.resume()
        response.success = True
        return response

    def _tell(self) -> None:
        words = self.latch.instruction
        following = self.latch.active and words in self.known and not self.reason and self.mode == ExecutionState.ARMED
        if following:
            self.chunk += 1
            self.first = self.first or self.chunk
            self.place += 0.05 * self.speed
        status = PolicyStatus(instruction=words, run=self.run_name, chunk_id=self.chunk if self.first else 0)
        status.history = [InstructionUse(instruction=words, first_chunk=self.first, last_chunk=status.chunk_id)]
        status.state = PolicyStatus.RUNNING
        if words not in self.known | {""}:
            status.state, status.reason = PolicyStatus.REFUSED, f"unknown words in {words!r}"
        self.world.status_publisher.publish(status)
        pose = START.copy()
        pose[0, 3] += self.place
        state = ExecutionState(
            state=ExecutionState.FOLLOWING if following else ExecutionState.HOLDING,
            stopped=self.latch.stopped,
            chunk_id=self.chunk if following else 0,
            target=pose_from_matrix(pose),
            hold_reason=self.reason or ("stopped by instruction" if self.latch.stopped else ""),
            mode=self.mode,
            mode_reason="" if self.mode == ExecutionState.ARMED else "disarmed; call arm/arm",
            heard=self.latch.heard,
            heard_stamp=stamp_from_seconds(self.latch.heard_stamp),
        )
        state.header.stamp = stamp_from_seconds(self.world.time)
        if not self.silent:
            self._states.publish(state)


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[World, ProgramNode]]:
    rclpy.init(domain_id=free_domain())
    executor = EventsExecutor()
    world = World(executor)
    made = ProgramNode(parameter_overrides=[Parameter("use_sim_time", value=True)])
    executor.add_node(world)
    executor.add_node(made)
    made.start()
    world.followers = [made]
    assert world.wait(lambda: world.count_subscribers("/clock") >= 1)
    try:
        yield world, made
    finally:
        made.begin_finish("test over")
        executor.shutdown()
        made.destroy_node()
        world.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def shared(node: tuple[World, ProgramNode]) -> Stand:
    made = Stand(node[0])
    assert node[0].wait(made.client.server_is_ready)
    assert node[0].wait(lambda: node[0].count_subscribers("/instruction") >= 1)
    return made


@pytest.fixture
def stand(shared: Stand) -> Iterator[Stand]:
    """Policy and arm as they begin: nothing said, armed, at rest."""
    shared.latch = InstructionLatch()
    shared.heard, shared.known, shared.run_name = [], {WORDS, "go left"}, "one"
    shared.speed, shared.first, shared.resumed = 0.1, 0, 0
    shared.mode, shared.reason, shared.silent = ExecutionState.ARMED, "", False
    shared.run(0.3)
    yield shared
    # The stop at the end of a goal is heard by the arm before the next test begins.
    shared.mode, shared.silent = ExecutionState.ARMED, False
    shared.run(0.3)


def test_a_goal_settles_when_the_arm_has_come_to_rest_and_the_arm_is_stopped_then(stand: Stand) -> None:
    asked = stand.ask()
    assert asked.accepted
    assert stand.run(3.0, until=lambda: any(one.state == ExecuteInstruction.Feedback.MOVING for one in asked.feedback))
    stand.run(1.0)
    stand.speed = 0.0
    assert stand.run(4.0, until=asked.done)
    outcome, reason = asked.outcome
    assert outcome == Result.SETTLED
    assert "whether what was asked for was done is not known" in reason
    result = asked.result
    assert result.run == "one"
    assert 0 < result.first_chunk < result.last_chunk <= stand.chunk
    assert 2.0 < result.duration < 8.0
    assert result.distance > 0.05
    told = [one for one in asked.feedback if one.state == ExecuteInstruction.Feedback.MOVING]
    assert max(one.speed for one in told) == pytest.approx(0.1, abs=0.03)
    assert asked.feedback[-1].state == ExecuteInstruction.Feedback.RESTING
    assert stand.world.wait(lambda: stand.heard == [WORDS, "stop"])


def test_a_goal_that_is_cancelled_stops_the_arm(stand: Stand) -> None:
    asked = stand.ask()
    stand.run(1.0)
    cancelled = asked.handle.cancel_goal_async()
    assert stand.run(3.0, until=lambda: asked.done() and cancelled.done())
    assert asked.outcome[0] == Result.CANCELLED
    assert stand.world.wait(lambda: stand.heard == [WORDS, "stop"])
    assert stand.run(1.0, until=lambda: stand.latch.stopped)


def test_time_runs_out(stand: Stand) -> None:
    asked = stand.ask(timeout=1.5)
    assert stand.run(4.0, until=asked.done)
    assert asked.outcome[0] == Result.TIMED_OUT
    assert asked.result.duration == pytest.approx(1.5, abs=0.3)
    assert stand.world.wait(lambda: stand.heard == [WORDS, "stop"])


def test_a_new_goal_preempts_the_one_before(stand: Stand) -> None:
    first = stand.ask()
    stand.run(1.0)
    second = stand.ask("go left")
    assert stand.run(1.0, until=first.done)
    assert first.outcome[0] == Result.PREEMPTED
    assert "'go left'" in first.outcome[1]
    stand.run(1.0)
    stand.speed = 0.0
    assert stand.run(4.0, until=second.done)
    assert second.outcome[0] == Result.SETTLED
    # Nothing stops between the two: the new words take over.
    assert stand.heard[:2] == [WORDS, "go left"]


def test_words_on_the_topic_preempt_a_goal_and_a_stop_holds_it(stand: Stand) -> None:
    asked = stand.ask()
    stand.run(1.0)
    stand.world.say("go left")
    assert stand.run(2.0, until=asked.done)
    assert asked.outcome[0] == Result.PREEMPTED
    again = stand.ask()
    stand.run(1.0)
    stand.world.say("stop")
    assert stand.run(2.0, until=again.done)
    assert again.outcome[0] == Result.HELD
    assert "the arm was stopped: stopped by instruction" in again.outcome[1]
    # What somebody else stopped is not undone by the next goal, whatever its words.
    refused = stand.ask("go left")
    assert stand.run(1.0, until=refused.done)
    assert refused.outcome[0] == Result.REFUSED
    assert "was stopped by somebody else" in refused.outcome[1]
    cleared = stand.ask("go left", clear_stop=True, timeout=1.0)
    assert stand.run(3.0, until=cleared.done)
    assert cleared.outcome[0] == Result.TIMED_OUT


def test_the_same_words_again_resume_what_the_end_of_the_goal_before_had_stopped(stand: Stand) -> None:
    for turn in range(2):
        stand.speed = 0.1
        asked = stand.ask(timeout=1.0)
        assert stand.run(3.0, until=asked.done)
        assert asked.outcome[0] == Result.TIMED_OUT, asked.outcome
        assert asked.result.first_chunk > 0
        assert stand.resumed == turn


def test_an_arm_that_holds_and_does_not_go_on_ends_the_goal(stand: Stand) -> None:
    asked = stand.ask()
    stand.run(1.0)
    stand.reason = "policy: no depth of camera scene"
    assert stand.run(1.0, until=lambda: asked.feedback[-1].state == ExecuteInstruction.Feedback.HOLDING)
    assert asked.feedback[-1].reason == stand.reason
    assert stand.run(4.0, until=asked.done)
    assert asked.outcome[0] == Result.HELD
    assert "no depth of camera scene" in asked.outcome[1]
    assert stand.world.wait(lambda: stand.heard[-1] == "stop")


@pytest.mark.parametrize(
    ("goal", "change", "words"),
    [
        ({}, {"mode": ExecutionState.DISARMED}, "the arm is not armed: disarmed; call arm/arm"),
        ({"instruction": "juggle"}, {}, "unknown words in 'juggle'"),
        ({"instruction": "stop"}, {}, "expected words that tell what to do"),
        ({"timeout": -1.0}, {}, "expected a timeout above 0, got -1"),
        ({"settle_time": float("nan")}, {}, "expected a settle_time above 0, got nan"),
        ({}, {"silent": True}, "the arm node is not heard on arm/execution_state"),
    ],
)
def test_what_cannot_begin_is_refused_with_words(stand: Stand, goal: dict, change: dict, words: str) -> None:
    for name, value in change.items():
        setattr(stand, name, value)
    stand.run(1.3)
    said = list(stand.heard)
    asked = stand.ask(**goal)
    assert stand.run(2.0, until=asked.done)
    assert asked.outcome[0] == Result.REFUSED
    assert words in asked.outcome[1]
    assert stand.heard == said + ([goal["instruction"]] if goal.get("instruction") == "juggle" else [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": ExecutionState.DISARMED}, "the arm may not move: disarmed; call arm/arm"),
        ({"silent": True}, "the arm node was not heard for"),
        ({"run_name": "two"}, "the policy node was started anew"),
    ],
)
def test_what_ends_under_way_is_held_with_words(stand: Stand, change: dict, words: str) -> None:
    asked = stand.ask()
    stand.run(1.0)
    for name, value in change.items():
        setattr(stand, name, value)
    assert stand.run(4.0, until=asked.done)
    assert asked.outcome[0] == Result.HELD
    assert words in asked.outcome[1]
    assert stand.world.wait(lambda: stand.heard == [WORDS, "stop"])


def test_a_clock_that_stands_still_ends_the_goal(stand: Stand) -> None:
    asked = stand.ask()
    stand.run(0.5)
    assert stand.world.wait(asked.done)
    assert asked.outcome[0] == Result.HELD
    assert "the clock stands still" in asked.outcome[1]


def test_a_node_that_is_not_active_takes_no_goal_and_ends_the_one_it_had(
    stand: Stand, node: tuple[World, ProgramNode]
) -> None:
    asked = stand.ask()
    stand.run(0.5)
    node[1].trigger_deactivate()
    assert stand.run(1.0, until=asked.done)
    assert asked.outcome[0] == Result.HELD
    assert "deactivated" in asked.outcome[1]
    assert not stand.ask().accepted
    node[1].trigger_activate()
    assert stand.ask("stop").accepted
