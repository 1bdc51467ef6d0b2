"""Forward and inverse kinematics of an arm from its URDF, by pinocchio: the single place for them outside the cell.

Inverse kinematics is damped least squares between bounds. Damping grows as the smallest singular value of the Jacobian
falls, so that near a singularity the joints move little and the pose is left a little, instead of the other way round.
It begins at given joint angles and moves away from them no further than it must or may; it never jumps to another
branch. Guarded by tests/unit/test_kinematics.py, and by tests/sim/test_robot.py against the simulated arm.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio
from numpy.typing import NDArray

from vipa_policy.control.box_least_squares import bounded_step
from vipa_policy.errors import KinematicsError
from vipa_policy.geometry import Array, is_rotation

# A pose counts as reached within these; an order below what a servo holds.
POSITION_TOLERANCE = 1e-5
ROTATION_TOLERANCE = 1e-4
# m for a rad: a turn of the tip by 1 rad counts as much as this way of it; about the length of the hand.
TURN_LENGTH = 0.25
# m/rad, singular values below which damping sets in; a posture is singular to be told of below half of it.
SINGULAR_VALUE = 0.04
# rad, no joint turns further in one step: beyond, the Jacobian says little.
LONGEST_STEP = 0.3
# Damping at and far from a singularity, squared m/rad; and how it grows with the squared error (m).
SINGULAR_DAMPING = 4e-4
LEAST_DAMPING = 1e-9
ERROR_DAMPING = 1e-2
# rad/s^2, braking of joints whose description does not tell it: none of their velocity is taken away.
UNTOLD = 1e12
# Steps that bring the pose less than this share nearer are the last.
LEAST_GAIN = 1e-3


@dataclass(frozen=True)
class Solution:
    """Joint angles for a pose.

    Attributes:
        joints: (n,) in rad, always within the limits less the margin.
        reached: whether they bring the tip to the pose.
        position_error: m that the tip is off.
        rotation_error: rad, the same.
    """

    joints: Array
    reached: bool
    position_error: float
    rotation_error: float


class Kinematics:
    """Kinematics of the chain of joints from ``base_frame`` to ``tip_frame``. Use one from one thread.

    Args:
        urdf: text of the URDF; meshes are not read.
        base_frame: a frame that none of the robot's joints moves.
        tip_frame: the frame that is moved.
        joints: names, in the order of all arrays here; empty for all that move the tip, base first. Others stay at 0.
        margin: rad that solutions stay away from the joints' limits.

    Attributes:
        joint_names: in the order of all arrays.
        lower: (n,) in rad, limits of the URDF.
        upper: (n,) in rad, the same.
        velocity: (n,) in rad/s, the same.
        innermost_lower: (n,) in rad, limits less the margin.
        innermost_upper: (n,) in rad, the same.
        deceleration: (n,) in rad/s^2 that the robot's velocity limits fall with towards the joints' limits; huge where
            the URDF tells none.
        velocity_offset: (n,) in rad/s by which they lie below the curve of that deceleration.

    Raises KinematicsError where the URDF cannot be read, has none of these frames or joints, or a joint without limits.
    """

    def __init__(
        self, urdf: str, base_frame: str, tip_frame: str, joints: Sequence[str] = (), margin: float = 0.02
    ) -> None:
        whole = _model_of(urdf)
        self.base_frame, self.tip_frame = base_frame, tip_frame
        base, tip = _frame_of(whole, base_frame), _frame_of(whole, tip_frame)
        if whole.frames[base].parentJoint:
            raise KinematicsError(f"expected a base frame that no joint moves, got {base_frame!r}")
        chain = [whole.names[index] for index in whole.supports[whole.frames[tip].parentJoint] if index]
        self.joint_names = tuple(joints) or tuple(chain)
        strangers = [name for name in self.joint_names if name not in chain]
        if strangers or not self.joint_names or len(set(self.joint_names)) < len(self.joint_names):
            raise KinematicsError(
                f"expected some of the joints {', '.join(chain)}, which move {tip_frame!r}, got {', '.join(joints)}"
            )
        locked = [index for index in range(1, whole.njoints) if whole.names[index] not in self.joint_names]
        self._model = pinocchio.buildReducedModel(whole, locked, pinocchio.neutral(whole))
        self._data = self._model.createData()
        moved = [self._model.joints[self._model.getJointId(name)] for name in self.joint_names]
        if any(joint.nq != 1 for joint in moved):
            raise KinematicsError("expected joints of one angle with limits; a joint of the chain is continuous")
        self._order = np.array([joint.idx_q for joint in moved])
        self._base, self._tip = _frame_of(self._model, base_frame), _frame_of(self._model, tip_frame)
        pinocchio.framesForwardKinematics(self._model, self._data, pinocchio.neutral(self._model))
        self._base_from_world = self._data.oMf[self._base].inverse()
        self._world_from_base_rotation = np.array(self._data.oMf[self._base].rotation)
        self.lower = self._model.lowerPositionLimit[self._order]
        self.upper = self._model.upperPositionLimit[self._order]
        self.velocity = self._model.velocityLimit[self._order]
        if not np.all(np.isfinite([self.lower, self.upper, self.velocity])) or np.any(self.velocity <= 0.0):
            raise KinematicsError(f"expected limits of position and velocity for the joints {self.joint_names}")
        if not 0.0 <= margin < 0.5 * float(np.min(self.upper - self.lower)):
            raise KinematicsError(f"expected a margin from 0 to half the range of every joint, got {margin} rad")
        self.innermost_lower, self.innermost_upper = self.lower + margin, self.upper - margin
        self.deceleration, self.velocity_offset = _velocity_envelope(urdf, self.joint_names)

    def forward(self, joints: Array) -> Array:
        """Return base_from_tip (4, 4) at joint angles (n,) in rad."""
        pinocchio.forwardKinematics(self._model, self._data, self._ordered(joints))
        return np.array((self._base_from_world * self._tip_placement()).homogeneous)

    def distance(self, joints: Array, base_from_tip: Array) -> tuple[float, float]:
        """Return how far in m and in rad the tip is from a pose (4, 4) at joint angles (n,) in rad."""
        found = self.forward(joints)
        turn = pinocchio.log3(base_from_tip[:3, :3] @ found[:3, :3].T)
        return math.dist(found[:3, 3], base_from_tip[:3, 3]), float(np.linalg.norm(turn))

    def jacobian(self, joints: Array) -> Array:
        """Return (6, n): velocity of the tip in the base frame, m/s then rad/s, for joint velocities in rad/s."""
        return self._rotated_jacobian(self._ordered(joints))

    def manipulability(self, joints: Array) -> float:
        """Return sqrt(det(J J')) of the Jacobian (Yoshikawa 1985), m^3 for six axes; 0 at a singularity."""
        matrix = self.jacobian(joints)
        return math.sqrt(max(float(np.linalg.det(matrix @ matrix.T)), 0.0))

    def smallest_singular_value(self, joints: Array) -> float:
        """Return m of way that the tip's worst direction gets for a rad of joint motion; a turn counts TURN_LENGTH."""
        return _least_singular_value(_weighted(self.jacobian(joints)))

    def outside(self, joints: Array) -> str:
        """Say which of joint angles (n,) in rad lies beyond its limit less the margin, "" where none does."""
        wrong = (joints < self.innermost_lower) | (joints > self.innermost_upper)
        if not wrong.any():
            return ""
        worst = int(np.argmax(wrong))
        low, high = self.innermost_lower[worst], self.innermost_upper[worst]
        return (
            f"{self.joint_names[worst]} is at {joints[worst]:.3f} rad, beyond {low:.3f} to {high:.3f} rad; "
            "move it out of there by hand"
        )

    def named(self, which: NDArray[np.bool_]) -> str:
        """Return the names of some joints, a flag (n,) each, with commas between."""
        return ", ".join(name for name, wanted in zip(self.joint_names, which, strict=True) if wanted)

    def velocity_bounds(self, joints: Array) -> tuple[Array, Array]:
        """Return the slowest and the fastest velocity (n,) in rad/s that the robot allows at joint angles (n,) in rad.

        The limits of the URDF, and where it tells how they fall towards the joints' limits (FR3's
        ``position_based_velocity_limits``), what is left of them.
        """
        room_above = np.maximum(self.upper - joints, 0.0)
        room_below = np.maximum(joints - self.lower, 0.0)
        above = np.sqrt(2.0 * self.deceleration * room_above) - self.velocity_offset
        below = np.sqrt(2.0 * self.deceleration * room_below) - self.velocity_offset
        return -np.clip(below, 0.0, self.velocity), np.clip(above, 0.0, self.velocity)

    def solve(
        self,
        base_from_tip: Array,
        near: Array,
        lower: Array | None = None,
        upper: Array | None = None,
        pull: Array | None = None,
        iterations: int = 100,
    ) -> Solution:
        """Return the joint angles, as near to given ones as may be, that bring the tip to a pose or as near as it gets.

        Args:
            base_from_tip: (4, 4).
            near: (n,) rad to begin at; brought within the limits first.
            lower: (n,) rad that the result may not be below, beside the limits.
            upper: (n,) rad, the same above; where bounds contradict the limits, the limits win.
            pull: (n,) rad to move by where the pose leaves freedom.
            iterations: steps at most.

        Raises KinematicsError on arrays that have another shape or are not finite, or a pose that is none.
        """
        near = self._checked(near)
        pose = np.asarray(base_from_tip, dtype=float)
        if pose.shape != (4, 4) or not np.all(np.isfinite(pose)) or not is_rotation(pose):
            raise KinematicsError(f"expected a finite rigid transform of shape (4, 4), got {base_from_tip!r}")
        low, high = self.innermost_lower, self.innermost_upper
        if lower is not None:
            low = np.clip(self._checked(lower), low, high)
        if upper is not None:
            high = np.clip(self._checked(upper), low, high)
        return self._descend(pose, np.clip(near, low, high), low, high, pull, iterations)

    def _descend(
        self, pose: Array, joints: Array, low: Array, high: Array, pull: Array | None, iterations: int
    ) -> Solution:
        """Levenberg and Marquardt: steps that come no nearer are taken back and tried with more damping."""
        idle = np.zeros(len(joints))
        preferred = idle if pull is None else self._checked(pull)
        error, matrix = self._look(joints, pose)
        caution = 1.0
        for round_number in range(iterations):
            if _within(error) and (round_number or not preferred.any()):
                break
            damping = caution * (_damping_of(matrix) + ERROR_DAMPING * float(error @ error))
            step = bounded_step(matrix, error, damping, preferred, low - joints, high - joints)
            step = step * min(1.0, LONGEST_STEP / max(float(np.abs(step).max()), LONGEST_STEP))
            tried = np.clip(joints + step, low, high)
            tried_error, tried_matrix = self._look(tried, pose)
            before, after = float(error @ error), float(tried_error @ tried_error)
            # A pull costs its square, which the next step takes back.
            if after < max(before, float(preferred @ preferred) ** 2):
                joints, error, matrix = tried, tried_error, tried_matrix
                stuck = after > (1.0 - LEAST_GAIN) * before and round_number > 0
                caution = max(1.0, 0.25 * caution)
            else:
                stuck = caution > 1e6
                caution *= 8.0
            preferred = idle
            if stuck:
                break
        position, rotation = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:])) / TURN_LENGTH
        return Solution(joints, _within(error), position, rotation)

    def _look(self, joints: Array, pose: Array) -> tuple[Array, Array]:
        """Return what is missing to a pose (4, 4) at joint angles (n,), and the Jacobian; turns weigh TURN_LENGTH."""
        matrix = self._rotated_jacobian(self._ordered(joints))
        placement = self._base_from_world * self._tip_placement()
        turn = pinocchio.log3(pose[:3, :3] @ placement.rotation.T)
        return np.concatenate([pose[:3, 3] - placement.translation, TURN_LENGTH * turn]), _weighted(matrix)

    def _rotated_jacobian(self, ordered: Array) -> Array:
        """Return the Jacobian (6, n) in the base frame at joint angles in the model's order."""
        world = pinocchio.computeFrameJacobian(
            self._model, self._data, ordered, self._tip, pinocchio.LOCAL_WORLD_ALIGNED
        )[:, self._order]
        rotation = self._world_from_base_rotation.T
        return np.vstack([rotation @ world[:3], rotation @ world[3:]])

    def _tip_placement(self) -> pinocchio.SE3:
        return pinocchio.updateFramePlacement(self._model, self._data, self._tip)

    def _ordered(self, joints: Array) -> Array:
        """Return checked joint angles in the model's order."""
        ordered = np.empty(len(self._order))
        ordered[self._order] = self._checked(joints)
        return ordered

    def _checked(self, joints: Array) -> Array:
        array = np.asarray(joints, dtype=float)
        if array.shape != self._order.shape or not np.all(np.isfinite(array)):
            raise KinematicsError(f"expected {len(self._order)} finite joint angles, got {joints!r}")
        return array


def _model_of(urdf: str) -> pinocchio.Model:
    try:
        return pinocchio.buildModelFromXML(urdf)
    except (RuntimeError, ValueError) as error:
        raise KinematicsError(f"expected a URDF, got a text of {len(urdf)} letters that is none: {error}") from error


def _frame_of(model: pinocchio.Model, name: str) -> int:
    if not model.existFrame(name):
        known = ", ".join(frame.name for frame in model.frames if frame.type == pinocchio.FrameType.BODY)
        raise KinematicsError(f"expected a frame of the robot's description, got {name!r}; it has {known}")
    return int(model.getFrameId(name))


def _velocity_envelope(urdf: str, joints: Sequence[str]) -> tuple[Array, Array]:
    """Return how hard joints can brake before their limits (n,) rad/s^2, infinite where not told, and offset (n,)."""
    root = ElementTree.fromstring(urdf)
    told = {joint.get("name"): joint.find("position_based_velocity_limits") for joint in root.iter("joint")}
    numbers = []
    for name in joints:
        element = told.get(name)
        limit, offset = (
            (UNTOLD, 0.0) if element is None else (element.get("deceleration_limit"), element.get("velocity_offset"))
        )
        try:
            numbers.append((float(limit or "nan"), float(offset or "nan")))
        except ValueError:
            numbers.append((math.nan, math.nan))
    found = np.array(numbers).T
    if np.any(np.isnan(found)) or np.any(found < 0.0):
        raise KinematicsError("expected numbers of 0 or more in position_based_velocity_limits of the description")
    return found[0], found[1]


def _weighted(matrix: Array) -> Array:
    matrix[3:] *= TURN_LENGTH
    return matrix


def _least_singular_value(matrix: Array) -> float:
    return math.sqrt(max(float(np.linalg.eigvalsh(matrix @ matrix.T)[0]), 0.0))


def _damping_of(matrix: Array) -> float:
    """Return the damping at a Jacobian (6, n): next to nothing far from singularities (Nakamura and Hanafusa 1986)."""
    share = min(_least_singular_value(matrix) / SINGULAR_VALUE, 1.0)
    return LEAST_DAMPING + SINGULAR_DAMPING * (1.0 - share) ** 2


def _within(error: Array) -> bool:
    position, turn = np.linalg.norm(error[:3]), np.linalg.norm(error[3:])
    return bool(position < POSITION_TOLERANCE and turn < ROTATION_TOLERANCE * TURN_LENGTH)
