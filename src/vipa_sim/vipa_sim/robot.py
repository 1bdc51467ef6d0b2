"""Inverse kinematics of the arm: damped least squares on MuJoCo's Jacobian, leaning to a posture.

The single place where tool poses become joint angles. Guarded by tests/sim/test_robot.py.
"""

from __future__ import annotations

import mujoco
import numpy as np

from vipa_policy.geometry import Array
from vipa_sim.model import ARM_JOINTS, HOME
from vipa_sim.rotations import rotation_vector

# 0.1 mm and 0.5 mrad: an order below what the servo and the eye can tell.
POSITION_TOLERANCE = 1e-4
ROTATION_TOLERANCE = 5e-4


class ArmKinematics:
    """Forward and inverse kinematics of the FR3 in a compiled cell.

    Holds a data block of its own: it never touches the simulated state.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        self._data = mujoco.MjData(model)
        self._site = model.site("tip").id
        joints = [model.joint(name) for name in ARM_JOINTS]
        self._positions = np.array([int(joint.qposadr[0]) for joint in joints])
        self._velocities = np.array([int(joint.dofadr[0]) for joint in joints])
        ranges = np.array([joint.range for joint in joints])
        # A hair inside the stops, so that the servo never rests on one.
        self.lower, self.upper = ranges[:, 0] + 0.01, ranges[:, 1] - 0.01
        self._posture = np.array(HOME)
        self._jacobian = np.zeros((6, model.nv))

    def forward(self, joints: Array) -> Array:
        """Return base_from_tip (4, 4) at joint angles (7,) in rad."""
        self._data.qpos[self._positions] = joints
        mujoco.mj_kinematics(self._model, self._data)
        matrix = np.eye(4)
        matrix[:3, :3] = self._data.site_xmat[self._site].reshape(3, 3)
        matrix[:3, 3] = self._data.site_xpos[self._site]
        return matrix

    def solve(self, base_from_tip: Array, start: Array | None = None, iterations: int = 200) -> tuple[Array, bool]:
        """Return joint angles (7,) in rad that bring the tip to a pose, and whether they reach it.

        Args:
            base_from_tip: (4, 4).
            start: (7,) where to begin; the home posture when None, so that the result depends on the pose alone.
            iterations: at most so many steps.
        """
        # Turning the base toward the pose makes a good first guess far to the side.
        posture = self._posture.copy()
        posture[0] = np.arctan2(base_from_tip[1, 3], base_from_tip[0, 3])
        joints = posture.copy() if start is None else np.asarray(start, dtype=float).copy()
        error = np.empty(6)
        for _ in range(iterations):
            current = self.forward(joints)
            error[:3] = base_from_tip[:3, 3] - current[:3, 3]
            error[3:] = rotation_vector(base_from_tip[:3, :3] @ current[:3, :3].T)
            if np.linalg.norm(error[:3]) < POSITION_TOLERANCE and np.linalg.norm(error[3:]) < ROTATION_TOLERANCE:
                return joints, True
            joints = np.clip(joints + self._step(error, joints, posture), self.lower, self.upper)
        return joints, False

    def _step(self, error: Array, joints: Array, posture: Array) -> Array:
        """Return one damped step (7,) that removes the error (6,) and, where that leaves freedom, nears the posture."""
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        jacobian = self._jacobian[:, self._velocities]
        # Damping falls with the error: quick and exact near the goal, calm far from it and near singularities.
        damping = 1e-8 + 1e-2 * float(error @ error)
        square = jacobian @ jacobian.T + damping * np.eye(6)
        pull = 0.1 * (posture - joints)
        step = pull + jacobian.T @ np.linalg.solve(square, error - jacobian @ pull)
        return step * min(1.0, 0.3 / max(float(np.abs(step).max()), 1e-9))
