"""Bodies a policy can move: what each one's numbers mean, which one is meant, and human hands as one of them.

The single place for choosing an embodiment and for the way from a hand to a tip and back. A network of several
embodiments shares all of its weights, since their rows mean the same thing: the pose of a tip in the camera's frame and
an opening. Each has normalisation statistics of its own and one learned vector that joins the state's token. (GR00T
N1.5 gives each a projection of its own, because its state and action vectors differ in meaning and size.) A
checkpoint of one of them can be taken out of it, the vector folded into the state's projection.

Wrist frame: origin at the wrist, x towards the middle knuckle, y to the thumb's side of it, z = x x y (out
of the back of a right hand, out of the palm of a left one); made from the joints, so that data sets with other wrist
frames agree. Joints: 21 points in m in the order of OpenPose (wrist, then thumb, index, middle, ring, little finger,
each from the palm to the tip).

Guarded by tests/unit/test_embodiments.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vipa_policy import geometry
from vipa_policy.contract import ActionContract, HandMapping
from vipa_policy.errors import ContractMismatch, EmbodimentError, ObservationError
from vipa_policy.geometry import Array
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.normalisation import Normalisation

WRIST, INDEX_KNUCKLE, MIDDLE_KNUCKLE, LITTLE_KNUCKLE, THUMB_TIP, INDEX_TIP = 0, 5, 9, 17, 4, 8
JOINTS = 21
PALM_LENGTH = (0.04, 0.15)  # m from the wrist to the middle knuckle; beyond it the joints are in another unit


@dataclass(frozen=True)
class Embodiment:
    """A body that a network can move.

    Attributes:
        contract: what its numbers mean; names it.
        normalisation: its statistics.
    """

    contract: ActionContract
    normalisation: Normalisation

    @property
    def name(self) -> str:
        """As its contract has it, for example "franka"."""
        return self.contract.embodiment


class Embodiments(Sequence[Embodiment]):
    """The embodiments of one network, in the order of their learned vectors."""

    def __init__(self, items: Sequence[Embodiment], horizon: int) -> None:
        """Take the embodiments of a network of this horizon.

        Raises:
            EmbodimentError: none, or two of one name.
            ContractMismatch: a contract of another horizon than the network's.
        """
        self._items = tuple(items)
        if not self._items:
            raise EmbodimentError("expected at least one embodiment, got none")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise EmbodimentError(f"expected embodiments of different names, got {', '.join(twice)} twice")
        for item in self._items:
            check_horizon(horizon, item.contract)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # Sequence's two overloads
        return self._items[index]

    @property
    def names(self) -> list[str]:
        """Names in order."""
        return [item.name for item in self._items]

    @property
    def contracts(self) -> tuple[ActionContract, ...]:
        """Contracts in order."""
        return tuple(item.contract for item in self._items)

    @property
    def normalisation(self) -> Normalisation:
        """The statistics of all of them in one module, in order, as VipaNetwork takes them."""
        return Normalisation.join([item.normalisation for item in self._items])

    def index(self, name: str) -> int:  # type: ignore[override]  # by name
        """Return which embodiment is meant; errors as in ``index_of``."""
        return index_of(name, self.contracts)


def index_of(name: str, contracts: Sequence[ActionContract]) -> int:
    """Return which of a policy's contracts is about an embodiment.

    "" means the only one. Raises EmbodimentError, naming those known, where the policy does not know it or "" leaves a
    choice.
    """
    names = [contract.embodiment for contract in contracts]
    if name == "" and len(names) == 1:
        return 0
    if name not in names:
        got = repr(name) if name else "none named"
        raise EmbodimentError(
            f"expected one of the embodiments this policy was trained for ({', '.join(names)}), got {got}; "
            "name one of them or load a checkpoint trained for yours"
        )
    return names.index(name)


@torch.no_grad()
def for_embodiment(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Return a checkpoint of one embodiment that predicts what a checkpoint of several does for it.

    The network is changed in place (the embodiment's vector moves into the bias of the state's projection), so the
    checkpoint that was given is used up. Raises EmbodimentError as ``index_of`` does; a checkpoint of one embodiment,
    if it is the one meant, is returned as it is.
    """
    index = index_of(name, checkpoint.contracts)
    network = checkpoint.network
    vectors = network.head.embodiment
    if vectors is None:
        return checkpoint
    projection = network.head.state_in[-1]
    assert isinstance(projection, torch.nn.Linear)
    projection.bias.add_(vectors[index])
    network.head.embodiment = None
    network.normalisation = network.normalisation.alone(index)
    head = dataclasses.replace(network.config.head, embodiments=1)
    network.config = dataclasses.replace(network.config, head=head)
    contract = checkpoint.contracts[index]
    return dataclasses.replace(checkpoint, config=network.config, contract=contract, others=())


def check_horizon(horizon: int, contract: ActionContract) -> None:
    """Raise ContractMismatch, naming both, where a contract's horizon is not the network's."""
    if contract.horizon != horizon:
        raise ContractMismatch(
            f"expected the network's horizon of {horizon} rows in the contract of {contract.embodiment!r}, got "
            f"{contract.horizon}; embodiments that share a network share its horizon"
        )


def wrist_frame(joints: Array) -> Array:
    """Return the pose (..., 4, 4) of the wrist frame in the frame that joints (..., 21, 3) are given in, m.

    Of a right hand, z leaves through its back, and y points to the thumb's side; of a left hand, whose joints are
    mirrored, z leaves through the palm instead, and the pose is still a proper rotation. Raises ObservationError on
    joints that are no hand.
    """
    joints = _checked(joints)
    forward = joints[..., MIDDLE_KNUCKLE, :] - joints[..., WRIST, :]
    across = joints[..., INDEX_KNUCKLE, :] - joints[..., LITTLE_KNUCKLE, :]
    x_axis = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    y_axis = across - np.sum(across * x_axis, axis=-1, keepdims=True) * x_axis
    width = np.linalg.norm(y_axis, axis=-1, keepdims=True)
    if np.any(width < 1e-3):
        raise ObservationError("expected a hand whose knuckles span a palm, got joints on one line; drop the frame")
    y_axis = y_axis / width
    pose = np.zeros((*joints.shape[:-2], 4, 4))
    pose[..., :3, 0], pose[..., :3, 1], pose[..., :3, 2] = x_axis, y_axis, np.cross(x_axis, y_axis)
    pose[..., :3, 3], pose[..., 3, 3] = joints[..., WRIST, :], 1.0
    return pose


def tip_from_hand(camera_from_wrist: Array, joints: Array, contract: ActionContract) -> tuple[Array, Array]:
    """Return the tip's poses (..., 4, 4) and openings (...) m that a hand stands for, in the contract's meaning.

    Args:
        camera_from_wrist: (..., 4, 4) poses of the wrist frame (``wrist_frame``) in a camera's optical frame.
        joints: (..., 21, 3) m in any one frame; only distances count.
        contract: of a human hand.

    Raises:
        ContractMismatch: the contract has no hand.
        ObservationError: poses that are not rigid, or joints that are no hand.
    """
    hand, joints = _hand_of(contract), _checked(joints)
    poses = np.asarray(camera_from_wrist, dtype=float)
    if not all(geometry.is_rotation(pose) and np.isfinite(pose).all() for pose in poses.reshape(-1, 4, 4)):
        raise ObservationError("expected rigid poses (4, 4) of the wrist, got NaN or no rotation; drop the frame")
    distance = np.linalg.norm(joints[..., THUMB_TIP, :] - joints[..., INDEX_TIP, :], axis=-1)
    return poses @ wrist_from_tip(hand), opening_from_distance(distance, contract)


def wrist_of_tip(camera_from_tip: Array, contract: ActionContract) -> Array:
    """Return the wrist's poses (..., 4, 4) that put the tip at ``camera_from_tip``: undoes ``tip_from_hand``."""
    return np.asarray(camera_from_tip, dtype=float) @ geometry.inverse(wrist_from_tip(_hand_of(contract)))


def wrist_from_tip(hand: HandMapping) -> Array:
    """Return the fixed transform (4, 4) of a mapping."""
    return geometry.transform(hand.translation, hand.rotation)


def opening_from_distance(distance: Array, contract: ActionContract) -> Array:
    """Return the gripper's openings in m for distances (...) in m between thumb tip and index tip."""
    hand = _hand_of(contract)
    return np.interp(
        distance,
        [hand.closed_distance, hand.open_distance],
        [contract.gripper_minimum, contract.gripper_maximum],
    )


def distance_from_opening(opening: Array, contract: ActionContract) -> Array:
    """Return the distances in m between thumb tip and index tip for openings (...): undoes ``opening_from_distance``
    within the range of both."""
    hand = _hand_of(contract)
    return np.interp(
        opening,
        [contract.gripper_minimum, contract.gripper_maximum],
        [hand.closed_distance, hand.open_distance],
    )


def _hand_of(contract: ActionContract) -> HandMapping:
    if contract.hand is None:
        raise ContractMismatch(
            f"expected a contract with a hand mapping for human data, got the one of {contract.embodiment!r}, which "
            "has none; see vipa_policy.presets.human_hand_contract"
        )
    return contract.hand


def _checked(joints: Array) -> Array:
    array = np.asarray(joints, dtype=float)
    if array.shape[-2:] != (JOINTS, 3) or not np.all(np.isfinite(array)):
        raise ObservationError(f"expected finite joints (..., {JOINTS}, 3) of a hand, got {array.shape}")
    palm = np.linalg.norm(array[..., MIDDLE_KNUCKLE, :] - array[..., WRIST, :], axis=-1)
    low, high = PALM_LENGTH
    if np.any((palm < low) | (palm > high)):
        raise ObservationError(
            f"expected {low} to {high} m from the wrist to the middle knuckle, got {palm.min():.4g} to "
            f"{palm.max():.4g}; are the joints in m and in the order of OpenPose?"
        )
    return array
