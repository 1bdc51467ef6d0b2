"""Parameters of the cell node: every name, default, range and meaning in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from vipa_sim.cell import SCENE_POSE

CAMERA_POSE_HELP = (
    "pose of camera_link in world: x y z in m, roll pitch yaw in rad; six numbers, or a text of them; "
    "may change while running"
)
CHOICES = {
    "calibration_board": ("none", "hand", "table"),
    "arm_interface": ("pose", "servo", "joint_trajectory"),
    "gripper_interface": ("move", "franka", "gripper_command"),
}


CameraPose: TypeAlias = tuple[float, float, float, float, float, float]
"""x, y, z in m, roll, pitch, yaw in rad."""


@dataclass(frozen=True)
class CellParameters:
    """Values of the cell node's parameters; see ``DECLARATIONS`` for their meaning."""

    camera_pose: CameraPose
    image_width: int
    image_height: int
    image_rate: float
    noise: bool
    wrist_camera: bool
    seed: int
    held_out: bool
    state_rate: float
    real_time_factor: float
    largest_jump: float
    calibrated_frames: str
    calibration_board: str
    arm_interface: str
    gripper_interface: str


def _real(low: float, high: float) -> dict[str, Any]:
    return {"floating_point_range": [FloatingPointRange(from_value=low, to_value=high, step=0.0)]}


def _whole(low: int, high: int) -> dict[str, Any]:
    return {"integer_range": [IntegerRange(from_value=low, to_value=high, step=1)]}


FIXED = {"read_only": True}
DECLARATIONS: tuple[tuple[str, Any, str, dict[str, Any]], ...] = (
    ("camera_pose", list(SCENE_POSE), CAMERA_POSE_HELP, {"dynamic_typing": True}),
    ("image_width", 320, "px, of every camera's pictures", {**_whole(32, 1920), **FIXED}),
    ("image_height", 240, "px, of every camera's pictures", {**_whole(32, 1080), **FIXED}),
    ("image_rate", 15.0, "Hz of simulated time, of every camera", {**_real(0.1, 120.0), **FIXED}),
    ("noise", True, "sensor noise and depth holes, seeded by the layout's seed", FIXED),
    ("wrist_camera", False, "carry a second camera on the hand", FIXED),
    ("seed", 0, "of the first layout and its noise", {**_whole(0, 2**62), **FIXED}),
    ("held_out", False, "take the first layout from the split that training never sees", FIXED),
    ("state_rate", 250.0, "Hz of simulated time: ticks, joint states, transforms", {**_real(200.0, 500.0), **FIXED}),
    ("real_time_factor", 1.0, "simulated seconds per second at most; a slow machine does fewer", _real(0.05, 20.0)),
    (
        "largest_jump",
        0.05,
        "m, a pose target further than this from the arm is refused",
        {**_real(0.001, 1.0), **FIXED},
    ),
    (
        "calibrated_frames",
        "",
        "camera_link, wrist_link or both, with a blank between: not hung into TF, because a calibration does",
        FIXED,
    ),
    ("calibration_board", "none", "none, hand or table: what carries a ChArUco board", FIXED),
    (
        "arm_interface",
        "pose",
        "pose, servo or joint_trajectory: kind of driver that the arm is commanded through",
        FIXED,
    ),
    (
        "gripper_interface",
        "move",
        "move, franka or gripper_command: kind of driver that the gripper is commanded through",
        FIXED,
    ),
)


def declare(node: Node) -> CellParameters:
    """Declare all parameters on ``node`` and return their values. Raises ValueError on values that mean nothing."""
    values = {}
    for name, default, description, constraints in DECLARATIONS:
        descriptor = ParameterDescriptor(description=description, **constraints)
        values[name] = node.declare_parameter(name, default, descriptor).value
    for name, choices in CHOICES.items():
        if values[name] not in choices:
            raise ValueError(f"expected {name} to be one of {', '.join(choices)}, got {values[name]!r}")
    values["camera_pose"] = read_camera_pose(values["camera_pose"])
    return CellParameters(**values)


def read_camera_pose(values: Any) -> CameraPose:
    """Return six finite numbers, given as such or as a text of them; raises ValueError on anything else."""
    parts = values.replace(",", " ").split() if isinstance(values, str) else values
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 6 or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"expected camera_pose as six finite numbers x y z roll pitch yaw, got {values!r}")
    x, y, z, roll, pitch, yaw = numbers
    return x, y, z, roll, pitch, yaw
