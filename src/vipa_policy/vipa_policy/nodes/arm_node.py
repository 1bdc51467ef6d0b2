"""The arm node: the single place where chunks move from the camera's to the base frame, and motion is limited.

See docs/nodes/arm.md. Guarded by tests/graph/test_arm_node.py.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import Trigger
from tf2_ros import Buffer, TransformListener

from vipa_msgs.msg import ActionChunk, ExecutionState, PolicyStatus
from vipa_policy.control.chunk import Executable
from vipa_policy.control.executor import Executor, State
from vipa_policy.instruction import STOP_WORD, Change, InstructionLatch
from vipa_policy.nodes.arm.intake import ChunkIntake
from vipa_policy.nodes.arm.report import execution_state, motion_values
from vipa_policy.nodes.arm.tip import MeasuredTip
from vipa_policy.nodes.arm_parameters import DECLARATIONS, gate_from, limits_from, settings_from
from vipa_policy.nodes.controllers import make_controller
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.grippers import make_gripper
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import values_of

INSTRUCTION_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
NEWEST_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class ArmNode(ManagedNode):
    """Executes chunks: base frame at the image's stamp, timeline, limits, setpoints; holds on every loss."""

    def __init__(self, **options: Any) -> None:
        super().__init__("arm", DECLARATIONS, **options)
        self._executor: Executor | None = None
        self._entities: list[Any] = []
        self._latch = InstructionLatch()
        self._tracking_error = 0.0
        self._published_state: tuple[int, bool, str] | None = None

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, connect to everything that is heard."""
        self._values = values_of(self, self.declarations)
        try:
            self._limits, self._settings = limits_from(self._values), settings_from(self._values)
            gate_from(self._values)
            self._controller = make_controller(self, self._values)
            self._gripper = make_gripper(self, self._values)
        except ValueError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self._base, self._tip = self._values["base_frame"], self._values["tip_frame"]
        self._buffer = Buffer(node=self)
        self._listener = TransformListener(self._buffer, self)
        values = self._values
        self._measured = MeasuredTip(self._buffer, self._base, self._tip, values["tf_timeout"])
        self._intake = ChunkIntake(self, self._buffer, self._base, values["tf_wait"], self._latch, self._hold)
        self._states = self.create_publisher(ExecutionState, "arm/execution_state", NEWEST_QOS)
        self._subscriptions_made = [
            self.create_subscription(String, "instruction", self._on_instruction, INSTRUCTION_QOS),
            self.create_subscription(ActionChunk, "policy/chunk", self._on_chunk, NEWEST_QOS),
            self.create_subscription(PolicyStatus, "policy/status", self._on_policy_status, LATCHED_QOS),
        ]
        self._services_made = [
            self.create_service(Trigger, "arm/stop", self._on_stop),
            self.create_service(Trigger, "arm/resume", self._on_resume),
        ]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin from the measured pose, as soon as TF tells it."""
        self._executor = None
        self._timers_made = [
            self.create_timer(1.0 / self._values["rate"], self._tick),
            self.create_timer(1.0 / self._values["state_rate"], self._look_around),
        ]
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop streaming; the driver keeps its last target."""
        for timer in self._timers_made:
            self.destroy_timer(timer)
        self._executor = None
        self._intake.clear()
        self.diagnostics.report(DiagnosticStatus.WARN, "inactive: nothing is streamed")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything made in on_configure."""
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)
        for service in self._services_made:
            self.destroy_service(service)
        self._controller.destroy()
        self.destroy_publisher(self._states)
        self._gripper.destroy()
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
        """What is followed, what was refused."""
        if self._executor is None:
            return {}
        return {
            **motion_values(self._executor),
            "chunks refused": str(self._intake.refused),
            "last refusal": self._intake.refusal,
            "tracking error (m)": f"{self._tracking_error:.4f}",
        }

    # What is heard

    def _on_instruction(self, message: String) -> None:
        self._react(self._latch.offer(message.data, self.now))

    def _react(self, change: Change) -> None:
        if change is Change.STOP:
            self._stop("stopped by instruction; give another instruction or call arm/resume")
        elif change is Change.NEW:
            self._intake.words_since = self.now
            self._resume()

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._latch.offer(STOP_WORD, self.now)
        self._stop("stopped by arm/stop; give another instruction or call arm/resume")
        response.success, response.message = True, "the arm holds and stays so until resumed"
        return response

    def _on_resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._latch.resume()
        response.success = self._executor is not None
        response.message = "the arm follows chunks again" if response.success else "the arm node is not active"
        self._resume()
        return response

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
        self._publish_state()

    def _on_policy_status(self, message: PolicyStatus) -> None:
        self._react(self._latch.relay(message.heard, seconds_of(message.heard_stamp), self.now))
        if message.state != PolicyStatus.RUNNING:
            self._hold(f"policy: {message.reason or 'not running'}")

    def _on_chunk(self, message: ActionChunk) -> None:
        if self._executor is None:
            return
        self._intake.offer(message, self.now)
        self._intake.proceed(self._executor, self.now)

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
        self._intake.proceed(executor, now)
        setpoint = executor.tick(now, gripper_busy=self._gripper.busy(now))
        if setpoint is not None:
            self._controller.send(setpoint)
            if setpoint.gripper is not None:
                self._gripper.send(setpoint.gripper, now)
        if self._published_state != (int(executor.state), executor.stopped, executor.hold_reason):
            self._publish_state()

    def _look_around(self) -> None:
        """Compare with the measured pose, watch its age, tell the state."""
        problem = self._measured.look(self.now)
        measured = self._measured.pose
        if self._executor is None:
            if measured is None or problem:
                self.diagnostics.report(DiagnosticStatus.WARN, f"waiting for the tip's pose: {problem}")
                return
            self._executor = Executor(
                self._limits,
                self._settings,
                measured,
                self.now,
                gate_from(self._values),
                Executable(tip_frame=self._tip),
            )
            if self._latch.stopped:
                self._executor.stop("stopped by instruction; give another instruction or call arm/resume", self.now)
        elif problem:
            self._hold(problem)
        elif measured is not None:
            self._tracking_error = self._executor.measure(measured, self.now, self._measured.stamp)
        self._publish_state()

    def _publish_state(self) -> None:
        executor = self._executor
        if executor is None:
            return
        self._published_state = (int(executor.state), executor.stopped, executor.hold_reason)
        stamp = self.get_clock().now().to_msg()
        self._states.publish(execution_state(executor, self._latch, self._base, stamp, self._tracking_error))
        following = executor.state is State.FOLLOWING
        self.diagnostics.report(
            DiagnosticStatus.OK if following else DiagnosticStatus.WARN,
            "following" if following else f"{executor.state.name.lower()}: {executor.hold_reason}",
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the arm node."""
    sys.exit(run(ArmNode, arguments))
