"""The arm as libfranka gives it: the single place that imports pylibfranka for the arm.

libfranka's exceptions become two: ``RobotGone`` (no connection) and ``RobotStopped`` (a reflex, an error, a refused
command). Guarded by tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from vipa_policy.errors import ArmError
from vipa_policy.franka.realtime import kernel_is_realtime
from vipa_policy.franka.settings import ArmSettings


class RobotGone(ArmError):
    """The robot cannot be reached, or no longer."""


class RobotStopped(ArmError):
    """The robot refused a command or ended a motion; the text has libfranka's names of the errors."""


class RobotState(Protocol):
    """What is read of libfranka's state; units and frames are libfranka's."""

    q: Sequence[float]
    dq: Sequence[float]
    q_d: Sequence[float]
    K_F_ext_hat_K: Sequence[float]
    O_T_EE: Sequence[float]
    F_T_EE: Sequence[float]
    EE_T_K: Sequence[float]
    control_command_success_rate: float
    current_errors: Any
    last_motion_errors: Any
    robot_mode: Any


class Robot(Protocol):
    """What the process of an arm needs of one."""

    def prepare(self) -> None:
        """Set load, thresholds and stiffness."""

    def read(self) -> RobotState:
        """Return the next state; waits for it."""

    def begin(self) -> RobotState:
        """Begin to take commands; returns the state to answer first."""

    def next(self) -> tuple[RobotState, int]:
        """Return the next state to answer, and how many periods passed since the last one; waits for it."""

    def command(self, joints: list[float], last: bool = False) -> None:
        """Answer a state with joint positions (7,) in rad; the last answer ends the motion."""

    def recover(self) -> None:
        """Clear errors. Does not move the arm."""


class FrankaRobot:
    """An arm at an address.

    Args:
        settings: of the arm.

    Raises ArmError where pylibfranka is not installed, RobotGone where nobody answers.
    """

    def __init__(self, settings: ArmSettings) -> None:
        self._library = library()
        self._settings = settings
        self._errors = error_classes(self._library)
        enforced = settings.realtime == "enforce" or (settings.realtime == "auto" and kernel_is_realtime())
        config = self._library.RealtimeConfig
        self._robot = self._call(self._library.Robot, settings.address, config.kEnforce if enforced else config.kIgnore)
        self._control: Any = None

    def prepare(self) -> None:
        """Set load, thresholds and stiffness."""
        settings, robot = self._settings, self._robot
        self._call(
            robot.set_collision_behavior,
            settings.contact_torque,
            settings.collision_torque,
            settings.contact_force,
            settings.collision_force,
        )
        self._call(robot.set_joint_impedance, settings.stiffness)
        self._call(robot.set_load, settings.load_mass, settings.load_centre, settings.load_inertia)

    def read(self) -> RobotState:
        """Return the next state; waits for it."""
        state: RobotState = self._call(self._robot.read_once)
        return state

    def begin(self) -> RobotState:
        """Begin to take commands; returns the state to answer first."""
        mode = self._library.ControllerMode.JointImpedance
        self._control = self._call(self._robot.start_joint_position_control, mode)
        return self.next()[0]

    def next(self) -> tuple[RobotState, int]:
        """Return the next state to answer, and how many periods passed since the last one; waits for it."""
        try:
            state, elapsed = self._control.readOnce()
        except self._errors as error:
            raise self._translated(error) from error
        return state, max(1, round(1000.0 * elapsed.to_sec()))

    def command(self, joints: list[float], last: bool = False) -> None:
        """Answer a state with joint positions (7,) in rad; the last answer ends the motion."""
        command = self._library.JointPositions(joints)
        command.motion_finished = last
        try:
            self._control.writeOnce(command)
        except self._errors as error:
            raise self._translated(error) from error
        if last:
            self._control = None

    def recover(self) -> None:
        """Clear errors. Does not move the arm."""
        self._control = None
        self._call(self._robot.automatic_error_recovery)

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._errors as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> ArmError:
        text = str(error).removeprefix("libfranka: ")
        library = self._library
        if isinstance(error, library.NetworkException | library.RealtimeException):
            return RobotGone(text)
        return RobotStopped(text)


def library() -> Any:
    """Return pylibfranka. Raises ArmError where it is not installed."""
    try:
        return importlib.import_module("pylibfranka")
    except ImportError as error:
        raise ArmError(
            f"pylibfranka cannot be imported ({error}); install it with: pip install -r requirements/franka.txt"
        ) from error


def error_classes(module: Any) -> tuple[type[Exception], ...]:
    """Return what pylibfranka raises."""
    return (
        module.FrankaException,
        module.CommandException,
        module.ControlException,
        module.InvalidOperationException,
        module.NetworkException,
        module.RealtimeException,
    )
