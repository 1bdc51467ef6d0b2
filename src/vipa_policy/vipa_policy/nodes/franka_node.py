"""A Franka arm and its hand through libfranka: pose targets in, joint states, TF, wrench and status out.

The arm is moved by a process of its own (``franka.arm_process``), the hand by another; this node converts messages and
does the inverse kinematics. See docs/nodes/franka.md. Guarded by tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from vipa_msgs.msg import DriverStatus
from vipa_policy.errors import ArmError, VipaError
from vipa_policy.franka.chain import Chain
from vipa_policy.franka.commander import Commander, Tool, wrench_at_tip
from vipa_policy.franka.description import FLANGE_FRAME
from vipa_policy.franka.follower import Motion
from vipa_policy.franka.frames import ArmState, Frame
from vipa_policy.franka.limits import FINGER_NAMES, JOINT_NAMES
from vipa_policy.franka.settings import to_json
from vipa_policy.geometry import Array
from vipa_policy.nodes import franka_parameters as parameters
from vipa_policy.nodes.conversions import nanoseconds_of, stamp_from_nanoseconds
from vipa_policy.nodes.franka_driver import ArmDriver, HeardChild, monotonic_of
from vipa_policy.nodes.franka_hand_server import HandServer
from vipa_policy.nodes.franka_output import FrankaOutput
from vipa_policy.nodes.managed import ManagedNode, run
from vipa_policy.nodes.parameters import values_of
from vipa_policy.nodes.pose_targets import TARGET_QOS, TargetError, check_jump, read_target

LOOKING = 0.1  # s between two looks at the status
REPEATING = 1.0  # s between two publications of a status that stays
RECOVERING = 5.0  # s that the arm may take to clear its errors


class FrankaNode(ManagedNode):
    """Drives one arm while active; looks for it as long as it is not there."""

    def __init__(self, **options: object) -> None:
        super().__init__("franka", parameters.DECLARATIONS, **options)
        self._driver: ArmDriver | None = None
        self._hand: HeardChild | None = None
        self._hand_server: HandServer | None = None
        self._output: FrankaOutput | None = None
        self._tool: Tool | None = None
        self._disagreement = ""
        self._reference: Array | None = None
        self._epoch = -1
        self._tip: Array | None = None
        self._said: tuple[int, str] | None = None
        self._said_at = 0.0
        self._rate = 0
        self._refused = 0
        self._lock = threading.Lock()  # between the thread of the arm's states and the node's own
        # Not the ROS clock: an arm runs on wall time.
        self._timer = self.create_timer(LOOKING, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters; fails where they contradict each other, not where the robot is not there."""
        values = values_of(self, self.declarations)
        try:
            if self.get_parameter("use_sim_time").value:
                raise ArmError("expected use_sim_time false: a real arm runs on wall time; set it to false everywhere")
            self._arm_settings = to_json(parameters.arm_settings(values))
            self._hand_settings = to_json(parameters.hand_settings(values))
            urdf = parameters.description(values)
            self._chain = Chain(urdf, (*JOINT_NAMES, *FINGER_NAMES) if values["hand"] else JOINT_NAMES)
            self._commander = Commander(urdf, values["base_frame"], values["tip_frame"], parameters.posture(values))
            self._chain.pose(values["base_frame"], values["tip_frame"], self._chain.transforms(()))
        except VipaError as error:
            self.get_logger().error(f"cannot configure: {error}")
            self.diagnostics.report(DiagnosticStatus.ERROR, f"not configured: {error}")
            return TransitionCallbackReturn.FAILURE
        self._values = values
        self._output = FrankaOutput(
            self, self._chain, values["base_frame"], values["world_frame"], urdf, values["publish_transforms"]
        )
        self._recover_service = self.create_service(Trigger, "driver/recover", self._on_recover)
        self._said = None
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the processes: they connect, and go on trying."""
        self._start_arm()
        if self._values["hand"]:
            self._start_hand()
        self._targets = self.create_subscription(PoseStamped, "target_pose", self._on_target, TARGET_QOS)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the arm and let it go."""
        self._end_processes()
        self.destroy_subscription(self._targets)
        self._look()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take the topics away."""
        if self._output is not None:
            self._output.destroy()
            self.destroy_service(self._recover_service)
        self._output = None
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the arm and let it go."""
        self._end_processes()
        return TransitionCallbackReturn.SUCCESS

    def begin_finish(self, reason: str) -> None:
        """Stop the arm and let it go before the node ends."""
        self._end_processes()

    def diagnostic_values(self) -> Mapping[str, str]:
        """How well the arm is commanded, and what went wrong last."""
        driver = self._driver
        if driver is None or driver.state is None:
            return {}
        state = driver.state
        rate, self._rate = self._rate, 0  # asked for once a second
        hand = self._hand_server
        return {
            "control_command_success_rate": f"{state.success_rate:.3f}",
            "missed cycles": str(state.missed),
            "longest cycle": f"{1000.0 * state.longest:.2f} ms",
            "age of targets": f"{1000.0 * state.age:.0f} ms" if state.age < 1e3 else "none came",
            "motion": Motion(state.motion).name.lower(),
            "states since the last report": str(rate),
            "targets refused": str(state.refused + self._refused),
            "last refusal": driver.last_refusal,
            "last stop": driver.last_stop,
            "real-time": "; ".join(driver.warnings) or "as asked for",
            "hand": "none" if hand is None else hand.problem or "ready",
        }

    def _start_arm(self) -> None:
        self._tool, self._disagreement, self._reference, self._tip = None, "", None, None
        self._driver = ArmDriver(self._arm_settings, self._log, self._on_state)

    def _start_hand(self) -> None:
        server = HandServer(self, parameters.hand_limits(self._values), self._send_to_hand)
        self._hand_server = server
        self._hand = HeardChild("vipa_policy.franka.hand_process", self._hand_settings, server.hear, server.lost)

    def _send_to_hand(self, frame: Frame) -> bool:
        return self._hand is not None and self._hand.send(frame)

    def _end_processes(self) -> None:
        driver, self._driver = self._driver, None
        hand, self._hand = self._hand, None
        server, self._hand_server = self._hand_server, None
        for process in (driver, hand):
            if process is not None and not process.end():
                self.get_logger().error("a driver's process did not end by itself and was killed")
        if server is not None:
            server.destroy()

    def _on_state(self, state: ArmState) -> None:
        """Publish what the arm's process measured; called in its thread."""
        driver, output = self._driver, self._output
        if driver is None or output is None:
            return
        values, now = self._values, time.monotonic()
        stamp = stamp_from_nanoseconds(self.get_clock().now().nanoseconds - round(max(0.0, now - state.stamp) * 1e9))
        fingers = None if self._hand_server is None else self._hand_server.width()
        output.publish_joints(state.joints, state.velocities, fingers, stamp)
        known = len(JOINT_NAMES) if fingers is None else len(self._chain.moving)
        places = self._chain.transforms(state.joints if fingers is None else (*state.joints, *[0.5 * fingers[0]] * 2))
        output.publish_transforms(places, known, stamp)
        tip = self._chain.pose(values["base_frame"], values["tip_frame"], places)
        self._meet(driver)
        if self._tool is not None:
            flange = self._chain.pose(values["base_frame"], FLANGE_FRAME, places)
            wrench = wrench_at_tip(state.wrench, flange @ self._tool.flange_from_stiffness, tip)
            output.publish_wrench(wrench, stamp)
        with self._lock:
            self._rate += 1
            self._tip = tip
            self._commander.note(state)
            if state.epoch != self._epoch or state.motion == Motion.STANDING:
                self._epoch, self._reference = state.epoch, None

    def _meet(self, driver: ArmDriver) -> None:
        """Compare the arm with its description, once for every connection."""
        told, driver.robot = driver.robot, None
        if told is None:
            return
        try:
            self._tool = Tool(told)
            self._disagreement = self._tool.disagreement(self._chain, self._values["base_frame"])
        except (VipaError, KeyError, ValueError) as error:
            self._disagreement = f"the arm's frames cannot be read: {error}"
        if self._disagreement:
            self.get_logger().error(self._disagreement)

    def _on_target(self, message: PoseStamped) -> None:
        driver, values = self._driver, self._values
        if driver is None:
            return
        now_ns = self.get_clock().now().nanoseconds
        try:
            pose = read_target(message, values["base_frame"])
            readiness, reason = self._status()
            if readiness != DriverStatus.READY:
                raise TargetError(f"the arm takes none: {reason}")
            with self._lock:
                places = [place for place in (self._tip, self._reference) if place is not None]
                if not places:
                    raise TargetError("the arm has not told where it is yet")
                check_jump(pose, places, values["largest_jump"])
                # A publisher without a clock stamps 0: such targets count as made now.
                stamp_ns = nanoseconds_of(message.header.stamp) or now_ns
                target = self._commander.target(pose, monotonic_of(stamp_ns, now_ns))
                self._reference = pose
        except (TargetError, VipaError) as refusal:
            self._refused += 1
            driver.last_refusal = str(refusal)
            self.get_logger().error(f"target refused: {refusal}", throttle_duration_sec=1.0)
            return
        driver.send(target)

    def _on_recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        driver = self._driver
        if driver is None:
            response.message = "the node is not active; activate it first"
        elif driver.gone:
            driver.end()
            self._start_arm()
            response.success, response.message = True, "the driver's process was started again"
        else:
            problem = driver.recover(RECOVERING)
            response.success, response.message = not problem, problem or "the arm takes targets; it has not moved"
        self._look()
        return response

    def _status(self) -> tuple[int, str]:
        driver = self._driver
        if driver is None:
            return int(DriverStatus.UNAVAILABLE), "the node is not active"
        if self._disagreement:
            return int(DriverStatus.UNAVAILABLE), self._disagreement
        return driver.status(time.monotonic())

    def _look(self) -> None:
        """Tell the status where it changed, and once a second."""
        output = self._output
        if output is None:
            return
        status, now = self._status(), time.monotonic()
        if status == self._said and now - self._said_at < REPEATING:
            return
        if status != self._said:
            level = DiagnosticStatus.OK if status[0] == DriverStatus.READY else DiagnosticStatus.ERROR
            self.diagnostics.report(level, status[1] or "targets are followed")
        self._said, self._said_at = status, now
        output.publish_status(status[0], status[1], f"FR3 at {self._values['robot_ip']}")

    def _log(self, level: str, text: str) -> None:
        # A line each: a logger's line keeps its level.
        if level == "refusal":
            self.get_logger().error(text, throttle_duration_sec=1.0)
        elif level == "error":
            self.get_logger().error(text)
        elif level == "warning":
            self.get_logger().warning(text)
        elif level == "debug":
            self.get_logger().debug(text)
        else:
            self.get_logger().info(text)


def main(arguments: list[str] | None = None) -> None:
    """Run the franka node."""
    sys.exit(run(FrankaNode, arguments))


if __name__ == "__main__":
    main()
