"""What stands between targets and motors: the joint servo of the arm and the width servo of the gripper.

The single place where targets become actuator commands: smooth under limits of joint speed and acceleration however far
the target jumps, as a real driver would insist. Guarded by tests/sim/test_cell.py.
"""

from __future__ import annotations

from typing import Final

import mujoco
import numpy as np

from vipa_policy.geometry import Array
from vipa_sim.model import ARM_JOINTS, FINGER_JOINTS
from vipa_sim.robot import ArmKinematics

JOINT_SPEED: Final = 1.5
"""rad/s."""
JOINT_ACCELERATION: Final = 12.0
"""rad/s^2."""
# Position gain (1/s) and speed gain (1/s) of the reference: critically damped, 33 ms behind a moving target.
POSITION_GAIN: Final = 30.0
SPEED_GAIN: Final = 120.0
BRAKING_SHARE: Final = 0.6
DEFAULT_GRIPPER_SPEED: Final = 0.1
DEFAULT_GRIPPER_FORCE: Final = 20.0
MAXIMUM_GRIPPER_FORCE: Final = 70.0
MAXIMUM_WIDTH: Final = 0.08
# The fingers count as stopped below this speed, and as arrived within this width.
STOPPED_SPEED: Final = 0.002
WIDTH_TOLERANCE: Final = 0.0015


class ArmServo:
    """Follows joint goals with a limited, smooth reference and the arm's own position servos."""

    def __init__(self, model: mujoco.MjModel, kinematics: ArmKinematics) -> None:
        self._kinematics = kinematics
        actuators = [model.actuator(name) for name in ARM_JOINTS]
        self._controls = np.array([actuator.id for actuator in actuators])
        # The servos damp absolute speed; this lead (s) makes them damp the speed error instead, so they do not lag.
        self._lead = np.array([-actuator.biasprm[2] / actuator.gainprm[0] for actuator in actuators])
        self.goal = np.zeros(7)
        self.position = np.zeros(7)
        self.velocity = np.zeros(7)

    def place(self, joints: Array) -> None:
        """Rest at joint angles (7,)."""
        self.goal, self.position, self.velocity = joints.copy(), joints.copy(), np.zeros(7)

    def set_target(self, base_from_tip: Array) -> bool:
        """Aim at a tip pose (4, 4); return whether the arm can reach it. If not, it goes as near as it gets."""
        self.goal, reached = self._kinematics.solve(base_from_tip, self.goal, iterations=60)
        return reached

    def set_goal(self, joints: Array) -> None:
        """Aim at joint angles (7,) in rad, brought within the stops."""
        self.goal = np.clip(joints, self._kinematics.lower, self._kinematics.upper)

    def tick(self, data: mujoco.MjData, period: float) -> None:
        """Move the reference on by one control period in s and command the servos."""
        error = self.goal - self.position
        distance = np.abs(error)
        speed = np.minimum(POSITION_GAIN * distance, np.sqrt(2.0 * BRAKING_SHARE * JOINT_ACCELERATION * distance))
        wanted = np.sign(error) * np.minimum(speed, JOINT_SPEED)
        gain = 1.0 - np.exp(-SPEED_GAIN * period)
        limit = JOINT_ACCELERATION * period
        self.velocity = self.velocity + np.clip(gain * (wanted - self.velocity), -limit, limit)
        self.position = self.position + period * self.velocity
        data.ctrl[self._controls] = self.position + self._lead * self.velocity

    def state(self) -> tuple[Array, ...]:
        """Return what ``restore`` needs."""
        return self.goal.copy(), self.position.copy(), self.velocity.copy()

    def restore(self, state: tuple[Array, ...]) -> None:
        """Go back to a state."""
        self.goal, self.position, self.velocity = (part.copy() for part in state)


class GripperServo:
    """Opens and closes the fingers at a speed, with a force."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._control = model.actuator("hand").id
        self._positions = np.array([int(model.joint(name).qposadr[0]) for name in FINGER_JOINTS])
        self._velocities = np.array([int(model.joint(name).dofadr[0]) for name in FINGER_JOINTS])
        self.place(MAXIMUM_WIDTH)

    def place(self, width: float) -> None:
        """Rest at a width in m."""
        self.goal = self.reference = min(max(width, 0.0), MAXIMUM_WIDTH)
        self.speed = DEFAULT_GRIPPER_SPEED
        self._set_force(DEFAULT_GRIPPER_FORCE)

    def set_goal(self, width: float, speed: float, force: float) -> None:
        """Go to a width (m) at a speed (m/s; 0: the default), holding with a force (N; 0: the default)."""
        if not all(np.isfinite(value) for value in (width, speed, force)) or speed < 0.0 or force < 0.0:
            raise ValueError(f"expected a finite width and speed, force >= 0; got {width}, {speed}, {force}")
        self.goal = min(max(width, 0.0), MAXIMUM_WIDTH)
        self.speed = speed or DEFAULT_GRIPPER_SPEED
        self._set_force(min(force or DEFAULT_GRIPPER_FORCE, MAXIMUM_GRIPPER_FORCE))

    def _set_force(self, force: float) -> None:
        # The tendon's coefficients of one half leave each finger half the actuator's force.
        self._force = force
        self._model.actuator_forcerange[self._control] = (-2.0 * force, 2.0 * force)

    def width(self, data: mujoco.MjData) -> float:
        """Return the measured width in m."""
        return float(data.qpos[self._positions].sum())

    def is_moving(self, data: mujoco.MjData) -> bool:
        """Tell whether the reference is under way or the fingers move."""
        return self.reference != self.goal or abs(float(data.qvel[self._velocities].sum())) > STOPPED_SPEED

    def is_reached(self, data: mujoco.MjData) -> bool:
        """Tell whether the measured width is the goal."""
        return abs(self.width(data) - self.goal) <= WIDTH_TOLERANCE

    def tick(self, data: mujoco.MjData, period: float) -> None:
        """Move the reference on by one control period in s and command the servo."""
        step = self.speed * period
        self.reference += min(max(self.goal - self.reference, -step), step)
        data.ctrl[self._control] = 0.5 * self.reference

    def state(self) -> tuple[float, ...]:
        """Return what ``restore`` needs."""
        return self.goal, self.reference, self.speed, self._force

    def restore(self, state: tuple[float, ...]) -> None:
        """Go back to a state."""
        self.goal, self.reference, self.speed, force = state
        self._set_force(force)
