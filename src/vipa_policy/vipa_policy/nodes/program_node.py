"""Instructions as an action, for programs: says the words, watches policy and arm, tells how it ended.

A thin shell around ``vipa_policy.program``. Manual: docs/nodes/program.md. Guarded by tests/graph/test_program.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vipa_msgs.action import ExecuteInstruction
from vipa_msgs.msg import ExecutionState, PolicyStatus
from vipa_policy.clock_watch import ClockWatch
from vipa_policy.errors import InstructionError, VipaError
from vipa_policy.instruction import STOP_WORD
from vipa_policy.nodes.conversions import matrix_from_pose, seconds_of
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import FREE, Declaration, real, values_of
from vipa_policy.nodes.qos import INSTRUCTION_QOS, LATCHED_QOS, NEWEST_QOS
from vipa_policy.program import (
    SETTLE_DISTANCE,
    ArmSeen,
    Ending,
    Goal,
    Outcome,
    OwnStop,
    Patience,
    PolicySeen,
    Program,
    refusal,
)

LOOKING = 0.05  # s of wall time between two looks at the goal

DECLARATIONS: tuple[Declaration, ...] = (
    ("timeout", 60.0, "s after which a goal that names no timeout ends", real(0.1, 86400.0)),
    ("settle_time", 1.5, "s without motion after which a goal that names none has settled", real(0.1, 60.0)),
    ("settle_distance", SETTLE_DISTANCE, "m by which the tip may move in that time", real(0.0001, 0.1)),
    ("settle_angle", 0.05, "rad by which the tip may turn in that time", real(0.001, 1.0)),
    ("words_patience", 2.0, "s within which the policy must have taken the words", real(0.1, 60.0)),
    ("first_patience", 10.0, "s within which the arm must follow the first chunk for them", real(0.5, 600.0)),
    ("hold_patience", 2.0, "s after which a hold that does not end by itself ends the goal", real(0.0, 600.0)),
    ("silence", 1.0, "s without a state of the arm after which the goal ends", real(0.2, 60.0)),
    ("clock_timeout", 3.0, "s of wall time without progress of the clock after which the goal ends", real(0.1, 60.0)),
    ("stop_when_settled", True, "whether the arm is told to stop when a goal has settled", FREE),
    ("feedback_rate", 5.0, "Hz of wall time, of feedback", real(0.1, 20.0)),
)


class ProgramNode(ManagedNode):
    """Serves ``execute_instruction``: one goal at a time, a new one preempts the one before."""

    def __init__(self, **options: Any) -> None:
        super().__init__("program", DECLARATIONS, **options)
        self._active = False
        self._handle: ServerGoalHandle | None = None
        self._program: Program | None = None
        self._goal: Goal | None = None
        self._accepted = 0.0
        self._arm: ArmSeen | None = None
        self._policy: PolicySeen | None = None
        self._own_stop = OwnStop()
        self._results_due = 0
        self._told_at = 0.0
        self._last = ""

    # Lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Connect to policy and arm, and serve the action."""
        self._values = values_of(self, self.declarations)
        values = self._values
        self._patience = Patience(
            values["words_patience"], values["first_patience"], values["hold_patience"], values["silence"]
        )
        self._words = self.create_publisher(String, "instruction", INSTRUCTION_QOS)
        self._resume = self.create_client(Trigger, "arm/resume")
        self._subscriptions_made = [
            self.create_subscription(ExecutionState, "arm/execution_state", self._on_arm, NEWEST_QOS),
            self.create_subscription(PolicyStatus, "policy/status", self._on_policy, LATCHED_QOS),
        ]
        self._server = ActionServer(
            self,
            ExecuteInstruction,
            "execute_instruction",
            execute_callback=lambda handle: ExecuteInstruction.Result(),
            goal_callback=self._judge,
            handle_accepted_callback=self._take,
            cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )
        self.diagnostics.report(DiagnosticStatus.WARN, "not active")
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take goals."""
        self._active = True
        self._clock_watch = ClockWatch(self.now, time.monotonic())
        # Wall time: what watches for losses must not stand still with the clock.
        self._timer = self.create_timer(LOOKING, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.diagnostics.report(DiagnosticStatus.OK, "ready")
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more goals; the one that runs ends, and the arm is told to stop."""
        self._active = False
        self.destroy_timer(self._timer)
        self._give_up("the program node was deactivated")
        self.diagnostics.report(DiagnosticStatus.WARN, "not active")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything made in on_configure."""
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        self._server.destroy()
        self.destroy_client(self._resume)
        self.destroy_publisher(self._words)
        self._arm = self._policy = None
        return TransitionCallbackReturn.SUCCESS

    def begin_finish(self, reason: str) -> None:
        """End the goal that runs."""
        self._active = False
        self._give_up(f"the program node ends: {reason}")

    def finished(self) -> bool:
        """Whether every result was handed over."""
        return self._results_due == 0

    def diagnostic_values(self) -> Mapping[str, str]:
        """What runs, and how the last goal ended."""
        program = self._program
        running = {}
        if program is not None:
            running = {"state": program.phase.name, "elapsed (s)": f"{program.elapsed(self.now):.1f}"}
        return {"instruction": self._goal.instruction if self._goal else "", **running, "last ending": self._last}

    # What is heard

    def _on_arm(self, message: ExecutionState) -> None:
        try:
            target = matrix_from_pose(message.target)
        except VipaError as error:
            self.get_logger().error(f"arm/execution_state cannot be used: {error}", throttle_duration_sec=5.0)
            return
        armed = message.mode == ExecutionState.ARMED
        self._arm = ArmSeen(
            stamp=seconds_of(message.header.stamp),
            base_from_tip=target,
            following=message.state == ExecutionState.FOLLOWING,
            chunk=message.chunk_id,
            stopped=message.stopped,
            armed=armed,
            reason=message.hold_reason if armed else message.mode_reason,
            heard_stamp=seconds_of(message.heard_stamp),
        )
        self._own_stop.look(self._arm)
        if self._program is not None:
            self._program.arm(self._arm)

    def _on_policy(self, message: PolicyStatus) -> None:
        used = message.history[-1] if message.history else None
        self._policy = PolicySeen(
            run=message.run,
            instruction=message.instruction,
            refused=message.state == PolicyStatus.REFUSED,
            reason=message.reason,
            first_chunk=used.first_chunk if used else 0,
            last_chunk=message.chunk_id,
        )
        if self._program is not None:
            self._program.policy(self._policy)

    # Goals

    def _judge(self, request: ExecuteInstruction.Goal) -> GoalResponse:
        if self._active:
            return GoalResponse.ACCEPT
        self.get_logger().error(f"goal {request.instruction!r} rejected: the program node is not active")
        return GoalResponse.REJECT

    def _take(self, handle: ServerGoalHandle) -> None:
        request = handle.request
        if self._handle is not None:
            self._end(Ending(Outcome.PREEMPTED, f"a new goal came: {request.instruction!r}"))
        self._handle, self._goal, self._accepted = handle, None, self.now
        try:
            self._goal = self._read(request)
        except InstructionError as error:
            self._end(Ending(Outcome.REFUSED, str(error)))
            return
        self._look()

    def _read(self, request: ExecuteInstruction.Goal) -> Goal:
        names = ("timeout", "settle_time", "settle_distance", "settle_angle")
        wanted = {name: getattr(request, name) or self._values[name] for name in names}
        return Goal(request.instruction, clear_stop=request.clear_stop, **wanted)

    def _begin(self, goal: Goal) -> None:
        """Say the words, where arm and policy can begin."""
        own = self._arm is not None and self._own_stop.owns(self._arm)
        problem = refusal(goal, self._arm, self._policy, own, self.now)
        if problem or self._arm is None or self._policy is None:
            self._end(Ending(Outcome.REFUSED, problem))
            return
        self._program = Program(goal, self._patience, self._policy, self.now)
        self._words.publish(String(data=goal.instruction))
        # The words that a stop interrupted do not clear it: repeats never do.
        if self._arm.stopped and self._policy.instruction == goal.instruction:
            if not self._resume.service_is_ready():
                self._program.give_up("nobody serves arm/resume, which the same words need after a stop")
                return
            self._resume.call_async(Trigger.Request())

    def _look(self) -> None:
        """Begin a goal that waits, follow the one that runs."""
        wall = time.monotonic()
        self._clock_watch.look(self.now, wall)
        handle, goal = self._handle, self._goal
        if handle is None or goal is None:
            return
        if self._program is None:
            if handle.is_cancel_requested:
                self._end(Ending(Outcome.CANCELLED, "cancelled before it began"))
                return
            # What the end of the goal before asked for must have happened before this one moves the arm.
            if self._own_stop.pending and 0.0 <= self.now - self._accepted < self._patience.words:
                return
            self._begin(goal)
        program = self._program
        if program is None:
            return
        if handle.is_cancel_requested:
            program.cancel()
        problem = self._clock_watch.problem(wall, self._values["clock_timeout"])
        if problem:
            program.give_up(problem)
        ending = program.tick(self.now)
        if ending is not None:
            self._end(ending)
        elif wall - self._told_at >= 1.0 / self._values["feedback_rate"]:
            self._told_at = wall
            handle.publish_feedback(self._feedback(program))
            self.diagnostics.report(DiagnosticStatus.OK, f"{goal.instruction!r}: {program.phase.name.lower()}")

    def _give_up(self, reason: str) -> None:
        if self._program is not None:
            self._program.give_up(reason)
            ending = self._program.tick(self.now)
            assert ending is not None
            self._end(ending)
        elif self._handle is not None:
            self._end(Ending(Outcome.REFUSED, reason))

    def _end(self, ending: Ending) -> None:
        """Tell the arm to stop where it must, and hand the result over."""
        handle, program = self._handle, self._program
        assert handle is not None
        self._handle = self._program = self._goal = None
        if ending.stop and (ending.outcome is not Outcome.SETTLED or self._values["stop_when_settled"]):
            self._stop()
        result = ExecuteInstruction.Result(outcome=int(ending.outcome), reason=ending.reason)
        if program is not None:
            result.duration = program.elapsed(self.now)
            result.run, result.first_chunk, result.last_chunk = program.run, program.first_chunk, program.last_chunk
            result.distance = program.distance
        self._last = f"{ending.outcome.name.lower()}: {ending.reason}"
        words = handle.request.instruction
        self.get_logger().info(f"{words!r} ended as {self._last}")
        if self._active:
            self.diagnostics.report(DiagnosticStatus.OK, "ready")
        self._hand_over(handle, ending.outcome, result)

    def _stop(self) -> None:
        if self._arm is None or not self._arm.stopped:
            self._own_stop.said(self.now)
            self._words.publish(String(data=STOP_WORD))

    def _hand_over(self, handle: ServerGoalHandle, outcome: Outcome, result: ExecuteInstruction.Result) -> None:
        """Hand the result to the executor; the goal was left unexecuted until now so that nothing waits for it."""
        transition: Callable[[], None] = handle.abort
        if outcome is Outcome.SETTLED:
            transition = handle.succeed
        elif outcome is Outcome.CANCELLED:
            transition = handle.canceled

        def execute(_: ServerGoalHandle) -> ExecuteInstruction.Result:
            transition()
            self._results_due -= 1
            return result

        self._results_due += 1
        handle.execute(execute)

    def _feedback(self, program: Program) -> ExecuteInstruction.Feedback:
        return ExecuteInstruction.Feedback(
            state=int(program.phase),
            reason=program.reason,
            chunk_id=program.chunk,
            elapsed=program.elapsed(self.now),
            speed=program.speed,
            distance=program.distance,
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the program node."""
    return run(ProgramNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
