"""What an arm is told when it is connected to: load, thresholds, stiffness; and how its process runs.

Settings travel to the process as JSON. Guarded by tests/unit/test_franka_frames.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from vipa_policy.errors import ArmError
from vipa_policy.franka.follower import FollowerSettings

REALTIME = ("auto", "enforce", "ignore")


@dataclasses.dataclass(frozen=True)
class ArmSettings:
    """Of the arm.

    Attributes:
        address: of the robot.
        realtime: "enforce" refuses a kernel without PREEMPT_RT, "ignore" does not, "auto" enforces where there is one.
        load_mass: kg, of what is carried beside the hand that Desk knows of.
        load_centre: m (3,), of its mass in the flange's frame.
        load_inertia: kg m² (9,), column by column.
        contact_torque, collision_torque: Nm (7,), from which a joint reports contact, and from which the arm stops.
        contact_force, collision_force: N and Nm (6,), the same for the tip.
        stiffness: Nm/rad (7,), of the arm's own joint controller.
        follower: how targets are followed.
        release: s of standing after which the arm holds by itself and takes no more commands until the next target.
        state_period: ms of the arm between two states that are sent.
        retry: s between two attempts to connect.
    """

    address: str
    realtime: str = "auto"
    load_mass: float = 0.0
    load_centre: tuple[float, ...] = (0.0,) * 3
    load_inertia: tuple[float, ...] = (0.0,) * 9
    contact_torque: tuple[float, ...] = (20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0)
    collision_torque: tuple[float, ...] = (40.0, 40.0, 36.0, 36.0, 32.0, 28.0, 24.0)
    contact_force: tuple[float, ...] = (20.0, 20.0, 20.0, 25.0, 25.0, 25.0)
    collision_force: tuple[float, ...] = (40.0, 40.0, 40.0, 50.0, 50.0, 50.0)
    stiffness: tuple[float, ...] = (3000.0, 3000.0, 3000.0, 2500.0, 2500.0, 2000.0, 2000.0)
    follower: FollowerSettings = dataclasses.field(default_factory=FollowerSettings)
    release: float = 1.0
    state_period: int = 4
    retry: float = 1.0

    def __post_init__(self) -> None:
        """Raise ArmError where a list has another length or a number is none."""
        if self.realtime not in REALTIME:
            raise ArmError(f"expected realtime of {', '.join(REALTIME)}, got {self.realtime!r}")
        for names, length in (
            (("load_centre",), 3),
            (("load_inertia",), 9),
            (("contact_torque", "collision_torque", "stiffness"), 7),
            (("contact_force", "collision_force"), 6),
        ):
            for name in names:
                _check_list(name, getattr(self, name), length)
        for lower, upper in (("contact_torque", "collision_torque"), ("contact_force", "collision_force")):
            if any(a > b for a, b in zip(getattr(self, lower), getattr(self, upper), strict=True)):
                raise ArmError(f"expected {lower} of at most {upper}, got {getattr(self, lower)}")


@dataclasses.dataclass(frozen=True)
class HandSettings:
    """Of the hand.

    Attributes:
        address: of the robot it is mounted on.
        homing: whether to find the fingers' range when connected; they open and close fully.
        retry: s between two attempts to connect.
    """

    address: str
    homing: bool = False
    retry: float = 1.0


def to_json(settings: ArmSettings | HandSettings) -> dict[str, Any]:
    """Return settings as values that JSON carries."""
    return dataclasses.asdict(settings)


def arm_from_json(values: Mapping[str, Any]) -> ArmSettings:
    """Return the settings of such values. Raises ArmError where there are none."""
    try:
        plain: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        plain["follower"] = FollowerSettings(**values["follower"])
        return ArmSettings(**plain)
    except (TypeError, KeyError) as error:
        raise ArmError(f"expected the settings of an arm, got {dict(values)}: {error}") from error


def hand_from_json(values: Mapping[str, Any]) -> HandSettings:
    """Return the settings of such values. Raises ArmError where there are none."""
    try:
        return HandSettings(**values)
    except TypeError as error:
        raise ArmError(f"expected the settings of a hand, got {dict(values)}: {error}") from error


def _check_list(name: str, values: Sequence[float], length: int) -> None:
    if len(values) != length or not all(math.isfinite(value) for value in values):
        raise ArmError(f"expected {length} finite numbers for {name}, got {list(values)}")
