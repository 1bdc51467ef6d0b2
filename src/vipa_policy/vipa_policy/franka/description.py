"""The kinematics of a Franka Research 3 with its hand, as a URDF without meshes: used where no description is given.

Lengths and turns are the ones of Franka's Denavit-Hartenberg table, limits those of ``limits``.
Guarded by tests/unit/test_franka_description.py, which compares it with the simulated arm.
"""

from __future__ import annotations

import math

from vipa_policy.franka.limits import FINGER_NAMES, FR3, JOINT_NAMES

BASE_FRAME, FLANGE_FRAME, HAND_FRAME, TIP_FRAME = "fr3_link0", "fr3_link8", "fr3_hand", "fr3_hand_tcp"
FINGER_RANGE = 0.04  # m, each finger
_QUARTER = 0.5 * math.pi
# x, y, z (m) and the turn about x (rad) from each link to the joint that moves the next one.
_ORIGINS = (
    (0.0, 0.0, 0.333, 0.0),
    (0.0, 0.0, 0.0, -_QUARTER),
    (0.0, -0.316, 0.0, _QUARTER),
    (0.0825, 0.0, 0.0, _QUARTER),
    (-0.0825, 0.384, 0.0, -_QUARTER),
    (0.0, 0.0, 0.0, _QUARTER),
    (0.088, 0.0, 0.0, _QUARTER),
)
_EFFORT = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)  # Nm


def fr3_urdf() -> str:
    """Return the URDF's text."""
    frames = [f"fr3_link{number}" for number in range(9)]
    parts = [_joint(number) for number in range(len(FR3))]
    parts.append(_fixed("fr3_joint8", "fr3_link7", "fr3_link8", "0 0 0.107", "0 0 0"))
    parts.append(_fixed("fr3_hand_joint", "fr3_link8", HAND_FRAME, "0 0 0", f"0 0 {-0.25 * math.pi!r}"))
    parts.append(_fixed("fr3_hand_tcp_joint", HAND_FRAME, TIP_FRAME, "0 0 0.1034", "0 0 0"))
    parts += [
        _finger(name, side, turn) for name, side, turn in zip(FINGER_NAMES, _FINGERS, (0.0, math.pi), strict=True)
    ]
    links = "".join(f'<link name="{name}"/>\n' for name in (*frames, HAND_FRAME, TIP_FRAME, *_FINGERS))
    return f'<?xml version="1.0"?>\n<robot name="fr3">\n{links}{"".join(parts)}</robot>\n'


_FINGERS = ("fr3_leftfinger", "fr3_rightfinger")


def _joint(number: int) -> str:
    limit = FR3[number]
    x, y, z, roll = _ORIGINS[number]
    return (
        f'<joint name="{JOINT_NAMES[number]}" type="revolute">\n'
        f'  <parent link="fr3_link{number}"/><child link="fr3_link{number + 1}"/>\n'
        f'  <origin xyz="{x} {y} {z}" rpy="{roll!r} 0 0"/><axis xyz="0 0 1"/>\n'
        f'  <limit lower="{limit.lower}" upper="{limit.upper}" velocity="{limit.velocity}" '
        f'effort="{_EFFORT[number]}"/>\n'
        f'  <position_based_velocity_limits deceleration_limit="{limit.deceleration}" '
        f'velocity_offset="{limit.offset}"/>\n'
        "</joint>\n"
    )


def _fixed(name: str, parent: str, child: str, xyz: str, rpy: str) -> str:
    return (
        f'<joint name="{name}" type="fixed">\n'
        f'  <parent link="{parent}"/><child link="{child}"/><origin xyz="{xyz}" rpy="{rpy}"/>\n'
        "</joint>\n"
    )


def _finger(name: str, child: str, turn: float) -> str:
    return (
        f'<joint name="{name}" type="prismatic">\n'
        f'  <parent link="{HAND_FRAME}"/><child link="{child}"/>\n'
        f'  <origin xyz="0 0 0.0584" rpy="0 0 {turn!r}"/><axis xyz="0 1 0"/>\n'
        f'  <limit lower="0" upper="{FINGER_RANGE}" velocity="0.1" effort="100"/>\n'
        "</joint>\n"
    )
