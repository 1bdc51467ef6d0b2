"""Arming, disarming, faults and holds of the arm node: what follows from what the guards say, and from requests.

The single place where a guard's word becomes a hold, and a request to arm a motion that may begin.
Guarded by tests/graph/test_supervision.py.
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from vipa_policy.control.executor import Executor, State
from vipa_policy.control.supervision import Answer, DriverState, Mode, Supervisor
from vipa_policy.errors import ChunkError
from vipa_policy.geometry import Array
from vipa_policy.nodes.arm.tip import MeasuredTip
from vipa_policy.nodes.arm.watch import Watch
from vipa_policy.nodes.robot_link import RobotLink


class ArmSupervision:
    """Stands between requests, guards and the executor.

    Args:
        node: for its log.
        watch, tip, link: what is known of the arm.
        armed_at_start: arm by itself the first time every guard passes.
        now: s.
    """

    def __init__(
        self, node: Node, watch: Watch, tip: MeasuredTip, link: RobotLink, armed_at_start: bool, now: float
    ) -> None:
        self._node = node
        self._watch, self._tip, self._link = watch, tip, link
        self._arm_by_itself = armed_at_start
        self.supervisor = Supervisor("came up disarmed", now)
        self.executor: Executor | None = None
        """Made by the node as soon as the tip is measured."""
        self.recovery = ""
        """What came of the last request to recover."""
        self.driver_lost = False
        """Whether the driver took no targets since the arm was last armed: what is left of a brake must not move the
        arm once it takes them again."""

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by the guard's name."""
        return self._watch.board.problems

    @property
    def problem(self) -> str:
        """Why no chunk is taken now, "" where one is."""
        return self.supervisor.advice or self._watch.board.first

    def look(self, now: float) -> None:
        """Ask the guards at ``now`` (s) and do what follows."""
        self._watch.look(now, homing=self.executor is not None and self.executor.state is State.HOMING)
        self._follow_driver(now)
        first = self._watch.board.first
        if first and self.executor is not None and self.executor.hold(first, now):
            self._node.get_logger().warning(f"holding: {first}")
        if self._arm_by_itself and self.executor is not None and not self._watch.board.problems:
            self._node.get_logger().info(self.arm(now).message)

    def arm(self, now: float) -> Answer:
        """Arm where every guard passes, or say what is missing."""
        self._watch.look(now)
        self._follow_driver(now)
        executor, measured = self.executor, self._tip.pose
        problems = self._watch.board.problems
        if executor is None or measured is None:
            problems = {"tip": "the tip was not measured yet", **problems}
        elif executor.state is State.RAMPING:
            return Answer(False, "not armed: the arm still brakes; call arm/arm again when it stands")
        answer = self.supervisor.arm(problems, now)
        if answer.success and executor is not None and measured is not None and executor.disarmed:
            self._arm_by_itself = False
            self._watch.contact.zero()
            self._watch.posture.reset()
            executor.arm(measured, now)
            self.driver_lost = False
        return answer

    def disarm(self, reason: str, now: float) -> bool:
        """Brake, hold, and take no chunk until armed again; returns whether the arm was armed."""
        self._arm_by_itself = False
        changed = self.supervisor.disarm(reason, now)
        self._execute_mode(now)
        return changed

    def home(self, base_from_home: Array, now: float) -> Answer:
        """Go home where nothing speaks against it."""
        self._watch.look(now, homing=True)
        if problem := self.problem:
            return Answer(False, f"not going home: {problem}")
        executor, measured = self.executor, self._tip.pose
        if executor is None or measured is None:
            return Answer(False, "not going home: the tip was not measured yet")
        try:
            executor.home(base_from_home, measured, now)
        except ChunkError as error:
            return Answer(False, f"not going home: {error}")
        return Answer(True, "on the way home; arm/execution_state tells how it ends: 'home: arrived', or why not")

    def recover(self, now: Callable[[], float]) -> Answer:
        """Ask the driver to clear its fault; ``now`` tells the time (s) when it answers."""
        if self.supervisor.mode is not Mode.FAULT:
            return Answer(False, "nothing to recover from: the driver has no fault" if self.supervisor.armed else
                          f"the driver has no fault; {self.supervisor.advice}")  # fmt: skip
        self.recovery = "asked, no answer yet"

        def answered(success: bool, message: str) -> None:
            self.recovery = f"{'done' if success else 'failed'}: {message}"
            self._node.get_logger().info(f"recovery {self.recovery}")
            self.look(now())

        self._link.recover(answered)
        return Answer(True, "the driver is asked to recover; then arm/arm confirms, and nothing moves before that")

    def _follow_driver(self, now: float) -> None:
        """A fault or an arm that is not available disarms; a fault that is gone waits to be confirmed."""
        state, reason = self._watch.driver()
        changed = False
        self.driver_lost |= state is not DriverState.READY
        if state is DriverState.FAULT:
            changed = self.supervisor.fault(f"driver: fault, {reason}", now)
        elif state is DriverState.UNAVAILABLE:
            changed = self.supervisor.disarm(f"driver: unavailable, {reason}", now)
        elif self.supervisor.mode is Mode.FAULT and not self._watch.board.problems.get("driver"):
            self.supervisor.cleared(now)
        if state is DriverState.FAULT:
            self._arm_by_itself = False
        if changed:
            self._node.get_logger().error(self.supervisor.advice)
            self._execute_mode(now)

    def _execute_mode(self, now: float) -> None:
        if not self.supervisor.armed and self.executor is not None:
            self.executor.disarm(self.supervisor.advice, now)
