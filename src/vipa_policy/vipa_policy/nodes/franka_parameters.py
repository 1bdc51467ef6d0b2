"""Parameters of the franka node: every name, default, range and meaning in one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vipa_policy.control.gripper import HandSettings as HandLimits
from vipa_policy.errors import ArmError
from vipa_policy.franka.description import fr3_urdf
from vipa_policy.franka.follower import FollowerSettings
from vipa_policy.franka.limits import JOINTS
from vipa_policy.franka.settings import ArmSettings, HandSettings
from vipa_policy.nodes.parameters import FREE, Declaration, real

LISTS = ("load_centre", "load_inertia", "contact_torque", "collision_torque", "contact_force", "collision_force")
_DEFAULT = ArmSettings("")

DECLARATIONS: tuple[Declaration, ...] = (
    ("robot_ip", "", "address of the robot", FREE),
    ("base_frame", "fr3_link0", "frame of targets, and of the first joint", FREE),
    ("tip_frame", "fr3_hand_tcp", "frame that targets place", FREE),
    ("world_frame", "", "parent of base_frame on tf_static, at the same place; empty: none is published", FREE),
    ("robot_description", "", "URDF of the arm, its text or its file; empty: an FR3 with its hand", FREE),
    ("publish_transforms", True, "publish TF of the arm; false where robot_state_publisher does", FREE),
    ("realtime", "auto", "enforce a PREEMPT_RT kernel: 'enforce', 'ignore', or 'auto': where there is one", FREE),
    ("largest_jump", 0.05, "m, a target further from the last one and from the tip is refused", real(0.001, 0.5)),
    ("largest_joint_jump", 0.2, "rad, the same for each joint", real(0.01, 0.5)),
    (
        "timeout",
        0.1,
        "s without a target after which the arm stops, and age from which one is refused",
        real(0.02, 1.0),
    ),
    ("delay", 0.02, "s by which targets are followed late: an interval of them and its jitter", real(0.0, 0.2)),
    ("bandwidth", 80.0, "rad/s, how sharply corners between targets are taken", real(20.0, 200.0)),
    ("velocity", 0.5, "share of the joints' velocity that is used", real(0.05, 0.95)),
    ("acceleration", 0.7, "share of the joints' acceleration that is used", real(0.1, 0.95)),
    ("jerk", 0.5, "share of the joints' jerk that is used", real(0.05, 0.95)),
    ("release", 1.0, "s of standing after which the arm holds by itself until the next target", real(0.05, 60.0)),
    ("posture", [0.0, -0.55, 0.0, -2.35, 0.0, 1.80, 0.785], "rad, joints that the elbow leans to", FREE),
    ("load_mass", 0.0, "kg carried beside the hand that Desk knows of", real(0.0, 5.0)),
    ("load_centre", [0.0, 0.0, 0.0], "m, centre of its mass in the flange's frame", FREE),
    ("load_inertia", [0.0] * 9, "kg m^2 about it, column by column", FREE),
    ("contact_torque", list(_DEFAULT.contact_torque), "Nm, from which a joint reports contact", FREE),
    ("collision_torque", list(_DEFAULT.collision_torque), "Nm, from which a joint stops the arm", FREE),
    ("contact_force", list(_DEFAULT.contact_force), "N and Nm, from which the tip reports contact", FREE),
    ("collision_force", list(_DEFAULT.collision_force), "N and Nm, from which the tip stops the arm", FREE),
    ("stiffness", list(_DEFAULT.stiffness), "Nm/rad, of the arm's own joint controller", FREE),
    ("hand", True, "whether a Franka Hand is mounted", FREE),
    ("hand_homing", False, "find the fingers' range on connecting: they open and close", FREE),
    ("hand_speed", 0.1, "m/s, of the fingers where a goal names none", real(0.01, 0.2)),
    ("hand_force", 20.0, "N, that the fingers hold with where a goal names none", real(0.1, 70.0)),
    ("retry", 1.0, "s between two attempts to connect", real(0.1, 60.0)),
)


def arm_settings(values: Mapping[str, Any]) -> ArmSettings:
    """Return what the arm's process is told. Raises ArmError on an address that is none or a list of another length."""
    if not values["robot_ip"]:
        raise ArmError("expected the robot's address in robot_ip, got none; give robot_ip:=ADDRESS")
    follower = FollowerSettings(
        largest_jump=values["largest_joint_jump"],
        **{name: values[name] for name in ("delay", "bandwidth", "timeout", "velocity", "acceleration", "jerk")},
    )
    plain: dict[str, Any] = {name: values[name] for name in ("realtime", "load_mass", "release", "retry")}
    for name in (*LISTS, "stiffness"):
        plain[name] = tuple(values[name])
    return ArmSettings(address=values["robot_ip"], follower=follower, **plain)


def hand_settings(values: Mapping[str, Any]) -> HandSettings:
    """Return what the hand's process is told."""
    return HandSettings(values["robot_ip"], values["hand_homing"], values["retry"])


def hand_limits(values: Mapping[str, Any]) -> HandLimits:
    """Return how goals for the hand become orders."""
    return HandLimits(speed=values["hand_speed"], force=values["hand_force"])


def posture(values: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the joints that the elbow leans to. Raises ArmError where there are not seven."""
    if len(values["posture"]) != JOINTS:
        raise ArmError(f"expected {JOINTS} joint positions for posture, got {list(values['posture'])}")
    return tuple(values["posture"])


def description(values: Mapping[str, Any]) -> str:
    """Return the text of the arm's URDF. Raises ArmError where a file was named that cannot be read."""
    named: str = values["robot_description"]
    if not named:
        return fr3_urdf()
    if named.lstrip().startswith("<"):
        return named
    try:
        return Path(named).expanduser().read_text()
    except OSError as error:
        raise ArmError(f"expected a URDF at robot_description:={named}: {error}") from error
