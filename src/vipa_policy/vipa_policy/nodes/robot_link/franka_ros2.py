"""The drivers of franka_ros2: FrankaRobotState, its error recovery action, payload and collision thresholds.

Its state comes with every control cycle: it stays serialised until somebody looks. Reflexes and errors are faults that
recovery clears; the user stop, guiding and closed brakes need a person first.
Guarded by tests/graph/test_robot_link.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from franka_msgs.action import ErrorRecovery
from franka_msgs.msg import FrankaRobotState
from franka_msgs.srv import SetFullCollisionBehavior, SetLoad
from rclpy.action import ActionClient
from rclpy.client import Client
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.task import Future

from vipa_policy.control.supervision import DriverState, Freshness
from vipa_policy.nodes.reception import subscribe

STATE_TOPIC = "franka_robot_state_broadcaster/robot_state"
WRENCH_TOPIC = "franka_robot_state_broadcaster/external_wrench_in_base_frame"
RECOVERY = "action_server/error_recovery"
SET_LOAD, SET_COLLISION = "service_server/set_load", "service_server/set_full_collision_behavior"
# s between two attempts to set something that was refused.
AGAIN = 2.0
MODES: Mapping[int, tuple[DriverState, str]] = {
    FrankaRobotState.ROBOT_MODE_IDLE: (DriverState.READY, ""),
    FrankaRobotState.ROBOT_MODE_MOVE: (DriverState.READY, ""),
    FrankaRobotState.ROBOT_MODE_REFLEX: (DriverState.FAULT, "the arm was stopped by a reflex"),
    FrankaRobotState.ROBOT_MODE_AUTOMATIC_ERROR_RECOVERY: (DriverState.FAULT, "the arm recovers from an error"),
    FrankaRobotState.ROBOT_MODE_USER_STOPPED: (DriverState.UNAVAILABLE, "the user stop is pressed"),
    FrankaRobotState.ROBOT_MODE_GUIDING: (DriverState.UNAVAILABLE, "the arm is guided by hand"),
}
OTHER = (DriverState.UNAVAILABLE, "the arm is in no mode to be driven: are its brakes open and FCI active?")


def state_of(message: FrankaRobotState) -> tuple[DriverState, str]:
    """Return what a state of franka_ros2 means for whoever wants to move the arm."""
    state, reason = MODES.get(message.robot_mode, OTHER)
    errors = [
        name for name in message.current_errors.get_fields_and_field_types() if getattr(message.current_errors, name)
    ]
    if errors and state is not DriverState.UNAVAILABLE:
        return DriverState.FAULT, f"{reason or 'the arm has an error'}: {', '.join(errors)}"
    return state, reason


def load_request(values: Mapping[str, Any]) -> SetLoad.Request:
    """Return the payload of parameter values. Raises ValueError where they are none."""
    centre, inertia = _numbers(values, "load_centre", 3), _numbers(values, "load_inertia", 9)
    return SetLoad.Request(mass=float(values["load_mass"]), center_of_mass=centre, load_inertia=inertia)


def collision_request(values: Mapping[str, Any]) -> SetFullCollisionBehavior.Request:
    """Return the thresholds of parameter values, for contact and collision alike. Raises ValueError on nonsense."""
    torques, forces = _numbers(values, "collision_torques", 7), _numbers(values, "collision_forces", 6)
    for name, numbers in (("collision_torques", torques), ("collision_forces", forces)):
        if min(numbers) <= 0.0:
            raise ValueError(f"expected thresholds above 0 for {name}, got {numbers}")
    request = SetFullCollisionBehavior.Request()
    for side in ("lower", "upper"):
        for phase in ("acceleration", "nominal"):
            setattr(request, f"{side}_torque_thresholds_{phase}", torques)
            setattr(request, f"{side}_force_thresholds_{phase}", forces)
    return request


def _numbers(values: Mapping[str, Any], name: str, count: int) -> list[float]:
    numbers: Sequence[float] = list(values[name] or [])
    if len(numbers) != count:
        raise ValueError(f"expected {count} numbers for {name}, got {len(numbers)}")
    return [float(number) for number in numbers]


class FrankaLink:
    """Listens to franka_ros2, sets payload and thresholds before anything may move, asks for error recovery."""

    wrench_topic = WRENCH_TOPIC

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        self._node = node
        self._freshness = Freshness(values["driver_timeout"])
        self._newest: bytes | None = None
        requests = {SET_LOAD: load_request(values), SET_COLLISION: collision_request(values)}
        self._subscription = subscribe(node, FrankaRobotState, STATE_TOPIC, self._take)
        kinds = {SET_LOAD: SetLoad, SET_COLLISION: SetFullCollisionBehavior}
        self._settings = [
            _Setting(node, node.create_client(kinds[name], name), request) for name, request in requests.items()
        ]
        self._recovery = ActionClient(node, ErrorRecovery, RECOVERY)

    def silence(self, now: float) -> str:
        """Say since when franka_ros2 is silent; one that came back has forgotten what was set."""
        problem = self._freshness.problem(STATE_TOPIC, now)
        if problem:
            for setting in self._settings:
                setting.forget()
        return problem

    def state(self) -> tuple[DriverState, str]:
        """Return what the newest state means."""
        if self._newest is None:
            return DriverState.READY, ""
        return state_of(deserialize_message(self._newest, FrankaRobotState))

    def setup_problem(self, now: float) -> str:
        """Set payload and thresholds where that has not been done, and say which are missing."""
        return "; ".join(problem for setting in self._settings if (problem := setting.problem(now)))

    def recover(self, answered: Callable[[bool, str], None]) -> None:
        """Send a goal to the error recovery action."""
        if not self._recovery.server_is_ready():
            answered(False, f"nobody serves {RECOVERY}: is franka_ros2 running?")
            return

        def accepted(future: Future) -> None:
            handle = future.result()
            if handle is None or not handle.accepted:
                answered(False, f"{RECOVERY} refused")
                return
            handle.get_result_async().add_done_callback(lambda _: answered(True, "error recovery is done"))

        self._recovery.send_goal_async(ErrorRecovery.Goal()).add_done_callback(accepted)

    def destroy(self) -> None:
        """Let go of topics, services and action."""
        self._node.destroy_subscription(self._subscription)
        for setting in self._settings:
            self._node.destroy_client(setting.client)
        self._recovery.destroy()

    def _take(self, stamp: float, serialised: bytes) -> None:
        self._newest = serialised
        self._freshness.heard(self._node.get_clock().now().nanoseconds * 1e-9)


class _Setting:
    """One thing that is set at the driver: asked for once, and again where it was refused."""

    def __init__(self, node: Node, client: Client, request: Any) -> None:
        self.client = client
        self._node = node
        self._request = request
        self._done = False
        self._asked: float | None = None
        self._said = ""

    def forget(self) -> None:
        """It must be set anew."""
        self._done, self._asked, self._said = False, None, ""

    def problem(self, now: float) -> str:
        """Ask where that is due, and say why it is not set, "" where it is."""
        if self._done:
            return ""
        if not self.client.service_is_ready():
            return f"nobody serves {self.client.srv_name}"
        if self._asked is None or not 0.0 <= now - self._asked < AGAIN:
            self._asked = now
            self.client.call_async(self._request).add_done_callback(self._answered)
        return f"{self.client.srv_name}: {self._said or 'no answer yet'}"

    def _answered(self, future: Future) -> None:
        response = future.result()
        self._done = bool(response and response.success)
        self._said = "" if self._done else (response.error if response else "no answer") or "refused"
        if not self._done:
            self._node.get_logger().error(f"{self.client.srv_name} was refused: {self._said}")
