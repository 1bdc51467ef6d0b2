"""The arm node: the single place where chunks move from the camera's to the base frame, and motion is limited.

Its rooms are in ``arm``: intake of chunks, guards and arming, requests, what is told. This one holds the executor, the
timers and the life cycle. See docs/nodes/arm.md. Guarded by tests/graph/test_arm_node.py and test_supervision.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_msgs.msg import Header, String
from tf2_ros import Buffer, TransformListener

from vipa_msgs.msg import ActionChunk, ExecutionState, PolicyStatus
from vipa_policy.control.chunk import Executable
from vipa_policy.control.executor import Executor, State
from vipa_policy.control.speed import SpeedOverride
from vipa_policy.control.supervision import Answer
from vipa_policy.control.tip_watch import TipWatch
from vipa_policy.instruction import Change, InstructionLatch
from vipa_policy.nodes.arm.intake import ChunkIntake
from vipa_policy.nodes.arm.report import execution_state, level_of, motion_values, supervision_values
from vipa_policy.nodes.arm.requests import Requests
from vipa_policy.nodes.arm.supervision import ArmSupervision
from vipa_policy.nodes.arm.timing import Timing
from vipa_policy.nodes.arm.tip import MeasuredTip
from vipa_policy.nodes.arm.watch import Watch, contact_limits
from vipa_policy.nodes.arm_parameters import DECLARATIONS, gate_from, home_from, limits_from, settings_from
from vipa_policy.nodes.controllers import make_controller
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.grippers import make_gripper
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import values_of
from vipa_policy.nodes.qos import INSTRUCTION_QOS, LATCHED_QOS, NEWEST_QOS
from vipa_policy.nodes.robot_link import make_robot_link
from vipa_policy.scheduling import be_on_time

TO_RESUME = "give another instruction or call arm/resume"
NOT_ACTIVE = Answer(False, "the arm node is not active")
# Longest share of the time between two setpoints in which a chunk waits for the next one to be out.
LONGEST_WAIT = 0.6


class ArmNode(ManagedNode):
    """Executes chunks: base frame at the image's stamp, timeline, limits, setpoints; holds on every loss."""

    def __init__(self, **options: Any) -> None:
        super().__init__("arm", DECLARATIONS, **options)
        self._executor: Executor | None = None
        self._supervision: ArmSupervision | None = None
        self._latch = InstructionLatch()
        self._tracking_error = 0.0
        self._streaming = False
        self._next_setpoint = 0.0
        self._published_state: tuple[object, ...] | None = None

    # Life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, connect to everything that is heard."""
        values = self._values = values_of(self, self.declarations)
        try:
            self._limits, self._settings = limits_from(values), settings_from(values)
            self._home_pose = home_from(values)
            gate_from(values)
            contact_limits(values)
            self._controller = make_controller(self, values)
            self._gripper = make_gripper(self, values)
            self._link = make_robot_link(self, values)
            self._base, self._tip = values["base_frame"], values["tip_frame"]
            self._buffer = Buffer(node=self)
            self._listener = TransformListener(self._buffer, self)
            self._measured = MeasuredTip(
                self._buffer, self._base, self._tip, values["tf_timeout"], TipWatch(self._limits)
            )
            self._watch = Watch(self, values, self._measured, self._controller, self._link, self._touched)
        except ValueError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self._be_on_time(values["realtime_priority"])
        self._speed = SpeedOverride()
        self._speed.set("parameter", values["speed"], "the arm node's parameter speed")
        self._timing = Timing(values["latency_budget"])
        self._intake = ChunkIntake(
            self,
            self._buffer,
            self._base,
            self._tip,
            values["tf_wait"],
            self._latch,
            self._hold,
            self._blocked,
            self._timing,
        )
        self._states = self.create_publisher(ExecutionState, "arm/execution_state", NEWEST_QOS)
        self._subscriptions_made = [
            self.create_subscription(String, "instruction", self._on_instruction, INSTRUCTION_QOS),
            self.create_subscription(ActionChunk, "policy/chunk", self._on_chunk, NEWEST_QOS),
            self.create_subscription(PolicyStatus, "policy/status", self._on_policy_status, LATCHED_QOS),
        ]
        triggers = {
            "arm/arm": self._arm,
            "arm/disarm": lambda: self._disarm("disarmed by arm/disarm"),
            "arm/stop": lambda: self._stop_latched("stopped by arm/stop"),
            "arm/resume": self._on_resume,
            "arm/home": self._go_home,
            "arm/recover": self._recover,
            "arm/emergency_stop": lambda: self._emergency_stop("arm/emergency_stop"),
        }
        self._requests = Requests(
            self, triggers, self._stop_latched, self._emergency_stop, self._speed, self._apply_speed
        )
        return TransitionCallbackReturn.SUCCESS

    def _be_on_time(self, priority: int) -> None:
        """Setpoints are due every period, whatever else the machine does."""
        self._scheduling = be_on_time(priority) if priority else "as any process"
        if priority and self._scheduling:
            self.get_logger().warning(f"{self._scheduling}; or set realtime_priority to 0")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Come up disarmed, and begin to watch."""
        self._executor = None
        armed = self._values["armed_at_start"]
        self._supervision = ArmSupervision(self, self._watch, self._measured, self._link, armed, self.now)
        self._timers_made = [
            self.create_timer(1.0 / self._values["rate"], self._tick),
            self.create_timer(1.0 / self._values["state_rate"], self._look_around),
        ]
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop streaming; the driver keeps its last target."""
        for timer in self._timers_made:
            self.destroy_timer(timer)
        self._executor = self._supervision = None
        self._rest()
        self._intake.clear()
        self.diagnostics.report(DiagnosticStatus.WARN, "inactive: nothing is streamed")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything made in on_configure."""
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        self.destroy_publisher(self._states)
        for made in (self._requests, self._watch, self._link, self._controller, self._gripper):
            made.destroy()
        self._listener.unregister()
        return TransitionCallbackReturn.SUCCESS

    def begin_finish(self, reason: str) -> None:
        """Brake to a hold before the node ends."""
        if self._executor is not None:
            self._executor.stop(f"the arm node ends: {reason}", self.now)

    def finished(self) -> bool:
        """Whether nothing moves any more."""
        return self._executor is None or self._executor.state in (State.IDLE, State.HOLDING)

    def diagnostic_values(self) -> Mapping[str, str]:
        """What is followed, what was refused, whether the arm is armed, what its guards say, how long things took."""
        if self._supervision is None:
            return {}
        return {
            **(motion_values(self._executor) if self._executor is not None else {}),
            "chunks refused": str(self._intake.refused),
            "last refusal": self._intake.refusal,
            "tracking error (m)": f"{self._tracking_error:.4f}",
            **supervision_values(self._supervision, self._watch, self._speed),
            **self._timing.values(self.now),
            **self._controller.values(),
            **self._watch.posture.values(),
            "scheduling": self._scheduling or "real-time",
            "gripper": self._gripper.problem(self.now) or "takes goals",
            "rate of wrenches (Hz)": f"{self._watch.wrench_rate.value(self.now):.1f}",
        }

    # What is heard

    def _on_instruction(self, message: String) -> None:
        self._react(self._latch.offer(message.data, self.now))

    def _react(self, change: Change) -> None:
        if change is Change.STOP:
            self._stop(f"stopped by instruction; {TO_RESUME}")
        elif change is Change.NEW:
            self._intake.words_since = self.now
            self._resume()

    def _on_policy_status(self, message: PolicyStatus) -> None:
        self._react(self._latch.relay(message.heard, seconds_of(message.heard_stamp), self.now))
        if message.state != PolicyStatus.RUNNING:
            self._hold(f"policy: {message.reason or 'not running'}")

    def _on_chunk(self, message: ActionChunk) -> None:
        if self._executor is None:
            return
        self._intake.offer(message, self.now)
        # One that comes too late before a setpoint to be taken in time waits until that is out, and delays none.
        if self._next_setpoint - self.now > min(self._intake.needed, LONGEST_WAIT / self._values["rate"]):
            self._intake.proceed(self._executor, lambda: self.now)

    def _touched(self, reason: str) -> None:
        """The contact guard speaks: what moves is stopped, and that is latched."""
        if self._executor is None or not self._executor.driven:
            return
        self._latch.stop()  # the words that were in force do not undo it
        self._stop(f"{reason}; free the arm, then {TO_RESUME}")

    # What is asked for

    def _arm(self) -> Answer:
        return self._after(self._supervision.arm(self.now)) if self._supervision is not None else NOT_ACTIVE

    def _disarm(self, reason: str) -> Answer:
        if self._supervision is None:
            return NOT_ACTIVE
        self._intake.clear()
        changed = self._supervision.disarm(reason, self.now)
        if changed:
            self.get_logger().warning(reason)
        return self._after(Answer(True, "the arm is disarmed" if changed else "the arm was disarmed already"))

    def _emergency_stop(self, caller: str) -> Answer:
        """The fastest stop within the limits, latched by disarming. Not safety-rated."""
        return self._disarm(f"emergency stop by {caller}")

    def _stop_latched(self, reason: str) -> Answer:
        self._latch.ask_to_stop(self.now)
        self._stop(f"{reason}; {TO_RESUME}")
        return Answer(True, "the arm holds and stays so until resumed")

    def _on_resume(self) -> Answer:
        self._latch.resume()
        self._resume()
        if self._executor is None or self._supervision is None:
            return NOT_ACTIVE
        if not self._supervision.supervisor.armed:
            return Answer(True, f"the stop is cleared, but nothing moves: {self._supervision.supervisor.advice}")
        return Answer(True, "the arm follows chunks again")

    def _go_home(self) -> Answer:
        if self._supervision is None:
            return NOT_ACTIVE
        return self._after(self._supervision.home(self._home_pose, self.now))

    def _recover(self) -> Answer:
        return self._after(self._supervision.recover(lambda: self.now)) if self._supervision is not None else NOT_ACTIVE

    def _apply_speed(self) -> None:
        if self._executor is not None:
            self._executor.speed = self._speed.factor

    def _after(self, answer: Answer) -> Answer:
        self._publish_state()
        return answer

    def _blocked(self) -> str:
        return self._supervision.problem if self._supervision is not None else NOT_ACTIVE.message

    def _stop(self, reason: str) -> None:
        self._intake.clear()
        if self._executor is not None and self._executor.stop(reason, self.now):
            self.get_logger().info(reason)
            self._publish_state()

    def _resume(self) -> None:
        executor = self._executor
        if executor is None or not executor.stopped:
            return
        self._measured.look(self.now)
        measured = self._measured.pose
        executor.resume(measured if measured is not None else executor.base_from_tip, self.now)
        self._watch.contact.acknowledge()
        self._publish_state()

    def _hold(self, reason: str) -> None:
        if self._executor is not None and self._executor.hold(reason, self.now):
            self.get_logger().warning(f"holding: {reason}")
            self._publish_state()

    # Timers

    def _tick(self) -> None:
        executor = self._executor
        if executor is None:
            return
        now = self.now
        setpoint = executor.tick(now, gripper_busy=self._gripper.busy(now))
        if setpoint is not None and not self._silent:
            self._controller.send(setpoint)
            self._streaming = True
            self._timing.streamed(executor.chunk_id, self.now)
            if setpoint.gripper is not None:
                self._gripper.send(setpoint.gripper, now)
        elif self._streaming and executor.state in (State.IDLE, State.HOLDING):
            self._rest()
        self._next_setpoint = now + 1.0 / self._values["rate"]
        self._intake.proceed(executor, lambda: self.now)
        if self._published_state != self._told():
            self._publish_state()

    @property
    def _silent(self) -> bool:
        """Whether nothing is streamed, although the executor moves or holds its command."""
        return self._fought_over or self._supervision is None or self._supervision.driver_lost

    @property
    def _fought_over(self) -> bool:
        """Whether the arm stands and somebody else streams, too: two streams would shake it, so this one is silent."""
        return (
            self._executor is not None
            and self._executor.state is State.HOLDING
            and "controller" in self._watch.board.problems
        )

    def _rest(self) -> None:
        """The stream ends: a driver that goes on with what it was last told is told to stand."""
        if self._streaming:
            self._controller.rest()
            self._streaming = False

    def _look_around(self) -> None:
        """Ask the guards, compare with the measured pose, tell the state."""
        assert self._supervision is not None
        self._measured.trusting = self._executor is None or self._executor.latched
        self._measured.commanded = None if self._executor is None else self._executor.base_from_tip
        if self._executor is None and not self._measured.look(self.now):
            self._begin(self._supervision)
        self._supervision.look(self.now)
        if self._speed.set("posture", *self._watch.posture.speed):
            self._apply_speed()
        executor, measured = self._executor, self._measured.pose
        if executor is None:
            waiting = self._watch.board.problems["tip"]
            self.diagnostics.report(DiagnosticStatus.WARN, f"waiting for the tip's pose: {waiting}")
            return
        if measured is not None and "tip" not in self._watch.board.problems:
            self._tracking_error = executor.measure(measured, self.now, self._measured.stamp)
            if self._fought_over:
                executor.anchor(measured)  # the stream will begin where the other one leaves the arm
            self._controller.measured(measured, self._measured.stamp)
        self._publish_state()

    def _begin(self, supervision: ArmSupervision) -> None:
        """Make the executor, as soon as it is known where the arm is."""
        assert self._measured.pose is not None
        self._executor = supervision.executor = Executor(
            self._limits,
            self._settings,
            self._measured.pose,
            self.now,
            gate_from(self._values),
            Executable(tip_frame=self._tip),
            disarmed=supervision.supervisor.advice,
        )
        self._apply_speed()
        if self._latch.stopped:
            self._executor.stop(f"stopped by instruction; {TO_RESUME}", self.now)

    def _told(self) -> tuple[object, ...]:
        executor, supervision = self._executor, self._supervision
        if executor is None or supervision is None:
            return ()
        return executor.state, executor.stopped, executor.hold_reason, supervision.supervisor.mode

    def _publish_state(self) -> None:
        executor, supervision = self._executor, self._supervision
        if executor is None or supervision is None:
            return
        self._published_state = self._told()
        message = execution_state(executor, supervision, self._latch, self._timing, self._tracking_error)
        message.header = Header(frame_id=self._base, stamp=self.get_clock().now().to_msg())
        self._states.publish(message)
        self.diagnostics.report(*level_of(executor, supervision.supervisor))


def main(arguments: list[str] | None = None) -> int:
    """Run the arm node; returns the exit status."""
    return run(ArmNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
