"""The action contract: what the numbers of a chunk mean, and the single check wherever two of them meet.

It is written once, saved in the checkpoint and in every dataset, and carried by every chunk message. Version 1 knew
neither embodiments nor human hands; it is read as the contract of the only embodiment there was, without a hand.
Guarded by tests/unit/test_contract.py.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vipa_policy.errors import ContractMismatch

VERSION = 2
FIRST_EMBODIMENT = "franka"  # what version 1 was always about
UNITS = ("m", "rad", "s", "1", "m/s", "rad/s", "N", "N m")  # of proprioception


@dataclass(frozen=True)
class CameraSpec:
    """A camera of the policy: its view name and the size in pixels of the image after cropping and resizing."""

    name: str
    width: int
    height: int


@dataclass(frozen=True)
class ProprioceptionField:
    """A field of the proprioception vector: name, number of values, frame ("" where none applies), SI unit."""

    name: str
    size: int
    frame: str
    unit: str


@dataclass(frozen=True)
class HandMapping:
    """How a human hand stands in for a gripper; the functions are in vipa_policy.model.embodiments.

    Attributes:
        translation: (3,) m, origin of the tip in the wrist frame.
        rotation: (4,) unit quaternion x, y, z, w of wrist_from_tip.
        closed_distance, open_distance: m between thumb tip and index tip that mean the contract's ``gripper_minimum``
            and ``gripper_maximum``; linear between, clipped beyond.
    """

    translation: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    closed_distance: float
    open_distance: float

    def problems(self) -> list[str]:
        """Return what is wrong with it, in words; nothing where it can be used."""
        numbers = (*self.translation, *self.rotation, self.closed_distance, self.open_distance)
        if len(self.translation) != 3 or len(self.rotation) != 4 or not all(math.isfinite(value) for value in numbers):
            return ["wrist_from_tip of the hand is not 3 and 4 finite numbers"]
        problems = []
        if abs(math.hypot(*self.rotation) - 1.0) > 1e-3:
            problems.append(f"rotation {self.rotation} of the hand is no unit quaternion x, y, z, w")
        if not 0.0 <= self.closed_distance < self.open_distance:
            problems.append(
                f"fingers of the hand are closed at {self.closed_distance} m and open at {self.open_distance} m"
            )
        if self.open_distance > 0.5 or math.hypot(*self.translation) > 0.5:
            problems.append("lengths of the hand are beyond 0.5 m; they are in metres, not in millimetres")
        return problems


@dataclass(frozen=True)
class ActionContract:
    """What a chunk's rows mean. Poses are of ``tip_frame`` in the optical frame of ``reference_camera`` at capture.

    Attributes:
        reference_camera: name of one of ``cameras``.
        tip_frame: TF frame that is predicted, for example "fr3_hand_tcp" (the flange is ten centimetres away).
        mode: "absolute" or "delta".
        position_unit: "m".
        rotation: representation inside the model, "rotation_6d".
        gripper: "width", the opening between the fingers.
        gripper_minimum, gripper_maximum: m.
        control_period: s; row i is due at capture + (i + 1) * control_period.
        horizon: rows in a chunk.
        normalisation: name of the scheme whose statistics lie beside the weights.
        cameras: in the order the policy takes them; the scene camera, a wrist camera, and so on.
        proprioception: in the order of the vector.
        embodiment: name of the body that moves, for example "franka" or "human_right_hand".
        hand: how a human hand stands in for the gripper; None where the data are a robot's.
    """

    reference_camera: str
    tip_frame: str
    control_period: float
    horizon: int
    cameras: tuple[CameraSpec, ...]
    proprioception: tuple[ProprioceptionField, ...]
    mode: str = "absolute"
    position_unit: str = "m"
    rotation: str = "rotation_6d"
    gripper: str = "width"
    gripper_minimum: float = 0.0
    gripper_maximum: float = 0.08
    normalisation: str = "tip_relative"
    embodiment: str = FIRST_EMBODIMENT
    hand: HandMapping | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        problems = []
        if self.reference_camera not in [camera.name for camera in self.cameras]:
            problems.append(f"reference camera {self.reference_camera!r} is none of its cameras")
        if self.mode not in ("absolute", "delta"):
            problems.append(f"mode {self.mode!r} is neither 'absolute' nor 'delta'")
        if not self.control_period > 0.0:
            problems.append(f"control period {self.control_period} s is not above 0")
        if self.horizon < 1:
            problems.append(f"horizon {self.horizon} is below 1")
        if not self.gripper_maximum > self.gripper_minimum:
            problems.append("gripper maximum is not above its minimum")
        problems += [f"{name} is empty" for name in ("tip_frame", "embodiment") if not getattr(self, name)]
        for what, items in (("camera", self.cameras), ("proprioception field", self.proprioception)):
            names = [item.name for item in items]
            problems += [f"{what} {name!r} stands twice" for name in sorted({n for n in names if names.count(n) > 1})]
        for field in self.proprioception:
            if field.size < 1:
                problems.append(f"proprioception field {field.name!r} has {field.size} values")
            if field.unit not in UNITS:
                problems.append(f"unit {field.unit!r} of {field.name!r} is none of {', '.join(UNITS)}")
        if self.hand is not None:
            problems += self.hand.problems()
        if problems:
            raise ContractMismatch("this action contract contradicts itself: " + "; ".join(problems))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """Return the contract as indented JSON."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ActionContract:
        """Read what ``to_dict`` wrote, also in version 1, which becomes version 2.

        Raises ContractMismatch on a newer version, a missing or an unknown field.
        """
        version = values.get("version", VERSION)
        if not isinstance(version, int) or version > VERSION:
            raise ContractMismatch(
                f"expected an action contract of version {VERSION} or older, got version {version!r}; "
                "update vipa_policy to read it"
            )
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ContractMismatch(f"unknown fields in an action contract: {', '.join(unknown)}")
        try:
            fields = dict(values) | {"version": max(version, VERSION)}
            fields["cameras"] = tuple(CameraSpec(**camera) for camera in values["cameras"])
            fields["proprioception"] = tuple(ProprioceptionField(**field) for field in values["proprioception"])
            if fields.get("hand") is not None:
                hand = fields["hand"]
                fields["hand"] = HandMapping(
                    **{**hand, "translation": tuple(hand["translation"]), "rotation": tuple(hand["rotation"])}
                )
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ContractMismatch(f"an action contract is incomplete: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> ActionContract:
        """Read what ``to_json`` wrote; errors as in ``from_dict``."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ContractMismatch(f"expected an action contract as JSON: {error}") from error
        return cls.from_dict(values)


def differences(first: ActionContract, second: ActionContract) -> list[str]:
    """Return a line "field: first's value / second's value" for every field in which the two differ."""
    lines = []
    for field in dataclasses.fields(ActionContract):
        ours, theirs = getattr(first, field.name), getattr(second, field.name)
        same = abs(ours - theirs) <= 1e-9 if isinstance(ours, float) else ours == theirs
        if not same:
            lines.append(f"{field.name}: {ours!r} / {theirs!r}")
    return lines


def check(first: ActionContract, first_name: str, second: ActionContract, second_name: str) -> None:
    """Refuse two contracts that differ.

    Raises ContractMismatch, naming both sides ("the checkpoint", "the dataset", ...) and every field in which they
    differ.
    """
    lines = differences(first, second)
    if lines:
        raise ContractMismatch(
            f"{first_name} and {second_name} do not mean the same actions ({first_name} / {second_name}): "
            + "; ".join(lines)
            + ". Use a pair that was made for each other, or convert one of them."
        )
