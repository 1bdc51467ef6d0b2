"""In-painting: a chunk that begins with what the arm will have done anyway, and goes on from there.

Between capture and the moment a chunk is in force the arm goes on with the chunk before it. Real-time chunking (Black,
Galliker and Levine 2025, arXiv 2506.07339, section 4) therefore freezes the rows that fall into that time and draws
the following ones towards the old chunk, less and less: sampling fills in the rest of a chunk that has begun.

The guidance. With a_tau = (1 - tau) noise + tau action and x the action the network believes in, their equations 2 to
4 add min(beta, (tau^2 + (1 - tau)^2) / (tau (1 - tau))) * W (y - x) dx/da_tau to the velocity. Normalised actions have
unit deviation; for a Gaussian of that kind the Jacobian dx/da_tau is tau / (tau^2 + (1 - tau)^2), and the product is
W (y - x) / (1 - tau): a velocity towards x + W (y - x) instead of towards x. So the network's action is drawn to the
given one before each Euler step. It takes no backward pass and no bound beta (an Euler step never passes the action it
aims at), and where W is one the row moves from its noise to y in a straight line, as the rows of training did.

The single place for these maths. Guarded by tests/unit/test_inpainting.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial.transform import Rotation, Slerp
from torch import Tensor

from vipa_policy import geometry
from vipa_policy.contract import ActionContract, check
from vipa_policy.errors import ObservationError
from vipa_policy.geometry import Array
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.observation import CommittedTail

ROTATION_TOLERANCE = 1e-3  # of the entries of R R^T; messages hold quaternions of finite length
GRACE = 1e-6  # rows: stamps are whole nanoseconds
# Share of a chunk that is drawn to the old one: the execution horizon of equation 5 is the other half. Were only the
# rows free that are executed between two predictions, a policy would be told its own guesses of far ahead, ever again.
GUIDED = 0.5


@dataclass(frozen=True)
class Guidance:
    """What a chunk's rows are drawn to while it is sampled.

    Attributes:
        action: (horizon, ACTION_SIZE) normalised actions; anything where the weight is 0.
        weights: (horizon, 1): 1 for a frozen row, 0 for a free one.
    """

    action: Tensor
    weights: Tensor

    def __call__(self, action: Tensor, tau: float = 0.0) -> Tensor:
        """Return actions (N, horizon, ACTION_SIZE) drawn to the given ones; a frozen row is exactly the given one.

        The weights are the same at every time ``tau``, so one captured graph serves all steps.
        """
        return torch.lerp(action, self.action.to(action.dtype), self.weights.to(action.dtype))

    @property
    def frozen(self) -> int:
        """Number of rows that are given."""
        return int((self.weights == 1.0).sum())


def soft_weights(known: NDArray[np.bool_], frozen: NDArray[np.bool_]) -> Array:
    """Return the (horizon,) weights of rows: 1 where frozen, then falling, 0 from the middle of the chunk on.

    Real-time chunking's equation 5: after d frozen rows of E that are drawn to the old chunk, row i weighs
    c (e^c - 1) / (e - 1) with c = (E - i) / (E - d + 1). E ends with what is known, and with ``GUIDED`` of the chunk,
    unless more is frozen.

    Args:
        known: (horizon,) bool, rows that the tail says something about; one run of them.
        frozen: (horizon,) bool, rows due before the chunk can be in force.
    """
    end = int(np.flatnonzero(known)[-1]) + 1 if known.any() else 0
    delay = min(int(frozen.sum()), end)
    end = min(end, max(delay, math.ceil(GUIDED * len(known))))
    rows = np.arange(len(known))
    share = np.clip((end - rows) / (end - delay + 1), 0.0, 1.0)
    falling = share * np.expm1(share) / math.expm1(1.0)
    return np.where(known, np.where(rows < delay, 1.0, falling), 0.0)


def guide(
    tail: CommittedTail,
    stamp: float,
    state: Array,
    contract: ActionContract,
    normalisation: Normalisation,
) -> Guidance | None:
    """Return what an observation's chunk is drawn to, None where the tail has no row in the chunk's time.

    The tail is read at the times of the new chunk's rows, between its own rows and up to one period before the first.

    Args:
        tail: what the arm is committed to.
        stamp: s, of the observation's reference image.
        state: (STATE_SIZE,) measured tip as the network takes it, which the chunk's rows count from.
        contract: of the policy that is to predict.
        normalisation: of that policy.

    Raises:
        ContractMismatch: the tail was predicted under another contract.
        ObservationError: poses, widths or times of the tail are malformed or not finite.
    """
    check(contract, "the policy", tail.contract, "the committed tail")
    if len(tail.base_from_tip) == 0:
        return None
    check_numbers(tail)
    period = contract.control_period
    due = stamp + period * (np.arange(contract.horizon) + 1)
    place = np.asarray((due - tail.first_due) / period, dtype=np.float64)
    known = (place >= -1.0 - GRACE) & (place <= len(tail.base_from_tip) - 1.0 + GRACE)
    if not known.any():
        return None
    camera_from_tip = tail.camera_from_base @ poses_at(tail.base_from_tip, place)
    rows = np.concatenate(
        [
            camera_from_tip[:, :3, 3],
            geometry.rotation_to_6d(camera_from_tip[:, :3, :3]),
            tail.gripper[np.floor(np.clip(place + GRACE, 0, len(tail.gripper) - 1)).astype(int), None],
        ],
        axis=1,
    )
    weights = soft_weights(known, due <= tail.frozen_until + GRACE * period)
    device = normalisation.action_mean.device
    action = normalisation.action(tensor(rows, device), tensor(state, device))
    return Guidance(action, tensor(weights[:, None], device))


def poses_at(rows: Array, place: Array) -> Array:
    """Return poses (m, 4, 4) between rows (n, 4, 4), at places (m,) counted in rows from the first.

    Positions lie on a cubic with the rows' central differences as slopes, rotations on the shortest way between rows.
    Before the first row, the way from it to the second is gone backwards, one row at most.
    """
    following = min(1, len(rows) - 1)
    positions = np.concatenate([[2.0 * rows[0, :3, 3] - rows[following, :3, 3]], rows[:, :3, 3]])
    first, second = Rotation.from_matrix(rows[0, :3, :3]), Rotation.from_matrix(rows[following, :3, :3])
    rotations = Rotation.concatenate([first * second.inv() * first, Rotation.from_matrix(rows[:, :3, :3])])
    knots = np.arange(-1.0, len(rows))
    at = np.clip(place, knots[0], knots[-1])
    poses = np.tile(np.eye(4), (len(place), 1, 1))
    poses[:, :3, 3] = CubicHermiteSpline(knots, positions, np.gradient(positions, axis=0))(at)
    poses[:, :3, :3] = Slerp(knots, rotations)(at).as_matrix()
    return poses


def check_numbers(tail: CommittedTail) -> None:
    """Refuse a tail that cannot be placed in time or space; raises ObservationError."""
    rows = len(tail.base_from_tip)
    if tail.base_from_tip.shape != (rows, 4, 4) or tail.gripper.shape != (rows,):
        raise ObservationError(
            f"expected a committed tail of poses (rows, 4, 4) and gripper widths (rows,), got "
            f"{tail.base_from_tip.shape} and {tail.gripper.shape}; take both from the same message"
        )
    finite = np.isfinite(tail.base_from_tip).all() and np.isfinite(tail.gripper).all()
    wrong = np.flatnonzero(~geometry.are_rotations(np.nan_to_num(tail.base_from_tip), ROTATION_TOLERANCE))
    if not finite or len(wrong):
        raise ObservationError(
            "expected finite poses and gripper widths and a rotation in every row of a committed tail, got "
            f"{f'none in row {wrong[0]}' if finite else 'NaN or infinity'}; predict without the tail"
        )
    if tail.camera_from_base.shape != (4, 4) or not geometry.is_rotation(tail.camera_from_base):
        raise ObservationError(
            "expected camera_from_base of a committed tail as a 4 x 4 transform, got "
            f"{tail.camera_from_base.tolist()}; look it up in TF at the image's stamp"
        )
    if not (math.isfinite(tail.first_due) and math.isfinite(tail.frozen_until)):
        raise ObservationError(
            f"expected finite times of a committed tail, got first_due {tail.first_due} and frozen_until "
            f"{tail.frozen_until} s; take them from the clock of the image's stamp"
        )


def tensor(values: Array, device: torch.device) -> Tensor:
    """Return an array as float32 on a device."""
    return torch.from_numpy(np.asarray(values, dtype=np.float32)).to(device)
