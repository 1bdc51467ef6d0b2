"""From pose targets to joint targets for the arm's process, and from its states to what the tip feels.

Guarded by tests/unit/test_franka_description.py and tests/graph/test_franka_node.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vipa_policy.control.kinematics import Kinematics
from vipa_policy.errors import ArmError
from vipa_policy.franka.chain import Chain
from vipa_policy.franka.description import FLANGE_FRAME
from vipa_policy.franka.follower import Motion, Target
from vipa_policy.franka.frames import ArmState
from vipa_policy.franka.limits import JOINT_NAMES
from vipa_policy.geometry import Array, inverse, rotation_angle

# A target that joints come no nearer to than this is refused: m and rad.
REACH, REACH_ANGLE = 0.005, 0.03
# The arm's own flange may be this far from where the description has it: m and rad.
AGREEMENT, AGREEMENT_ANGLE = 0.005, 0.02
# rad a target: how fast the elbow drifts back to its posture while the tip goes its way (0.05 rad/s at 100 Hz).
DRIFT = 5e-4


class Commander:
    """Inverse kinematics of a stream: each target begins where the last one ended.

    Args:
        urdf: text of the arm's description.
        base_frame: that targets are given in.
        tip_frame: that they place.
        posture: rad (7,), that the elbow leans to.
    """

    def __init__(self, urdf: str, base_frame: str, tip_frame: str, posture: Sequence[float]) -> None:
        self._kinematics = Kinematics(urdf, base_frame, tip_frame, JOINT_NAMES)
        self._posture = np.asarray(posture, dtype=float)
        # Once now, so that the first target does not wait for what is made at the first use.
        self._kinematics.solve(self._kinematics.forward(self._posture), self._posture)
        self._joints: Array | None = None
        self._epoch = -1
        self._sequence = 0

    def note(self, state: ArmState) -> None:
        """Take note of a state: after a fault, and at rest, the next target begins where the arm is commanded to be."""
        if state.epoch != self._epoch or state.motion == Motion.STANDING:
            self._epoch = state.epoch
            self._joints = np.array(state.commanded)

    def target(self, base_from_tip: Array, stamp: float) -> Target:
        """Return the joint target for a pose (4, 4), stamped in s of the monotonic clock.

        Raises ArmError before the first state, and on a pose out of reach.
        """
        if self._joints is None:
            raise ArmError("the arm has not told where it is yet")
        pull = np.clip(self._posture - self._joints, -DRIFT, DRIFT)
        found = self._kinematics.solve(base_from_tip, self._joints, pull=pull)
        if found.position_error > REACH or found.rotation_error > REACH_ANGLE:
            raise ArmError(
                f"it is out of reach: the joints come within {1000.0 * found.position_error:.0f} mm and "
                f"{found.rotation_error:.2f} rad of it"
            )
        self._joints = found.joints
        self._sequence += 1
        return Target(self._epoch, self._sequence, stamp, tuple(float(value) for value in found.joints))


class Tool:
    """The frames that the arm itself knows, as it told them on connecting.

    Args:
        told: ``F_T_EE`` and ``EE_T_K`` (16,), column by column.
    """

    def __init__(self, told: Mapping[str, Sequence[float]]) -> None:
        self._flange_from_effector = _matrix(told["F_T_EE"])
        self.flange_from_stiffness = self._flange_from_effector @ _matrix(told["EE_T_K"])
        self._base_from_effector = _matrix(told["O_T_EE"])
        self._joints = tuple(told["q"])

    def disagreement(self, chain: Chain, base_frame: str) -> str:
        """Say how the arm's own flange is off from where a description has it, "" where they agree."""
        own = self._base_from_effector @ inverse(self._flange_from_effector)
        described = chain.pose(base_frame, FLANGE_FRAME, chain.transforms(self._joints))
        distance = float(np.linalg.norm(own[:3, 3] - described[:3, 3]))
        angle = rotation_angle(own[:3, :3], described[:3, :3])
        if distance <= AGREEMENT and angle <= AGREEMENT_ANGLE:
            return ""
        return (
            f"the arm says that its flange is {1000.0 * distance:.0f} mm and {angle:.3f} rad from where its "
            "description has it: is this another arm, or its base frame another one?"
        )


def wrench_at_tip(wrench: Sequence[float], base_from_stiffness: Array, base_from_tip: Array) -> Array:
    """Return a wrench on and in the stiffness frame (6,), N and Nm, as one about the tip's origin in the base frame."""
    values = np.asarray(wrench, dtype=float)
    force = base_from_stiffness[:3, :3] @ values[:3]
    torque = base_from_stiffness[:3, :3] @ values[3:]
    lever = base_from_stiffness[:3, 3] - base_from_tip[:3, 3]
    return np.concatenate([force, torque + np.cross(lever, force)])


def _matrix(columns: Sequence[float]) -> Array:
    matrix = np.array(columns, dtype=float).reshape(4, 4, order="F")
    if not np.all(np.isfinite(matrix)):
        raise ArmError("the arm told a frame that is not finite")
    return matrix
