"""Parameters of the arm node: every name, default, range and meaning in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scipy.spatial.transform import Rotation

from vipa_policy.control.executor import Settings
from vipa_policy.control.gripper import GripperGate
from vipa_policy.control.limits import Box, Limits
from vipa_policy.geometry import Array, transform
from vipa_policy.nodes.arm.posture_guard import DECLARATIONS as POSTURE_DECLARATIONS
from vipa_policy.nodes.controllers.parameters import DECLARATIONS as CONTROLLER_DECLARATIONS
from vipa_policy.nodes.grippers.parameters import DECLARATIONS as GRIPPER_DECLARATIONS
from vipa_policy.nodes.parameters import FREE, Declaration, real, whole
from vipa_policy.nodes.robot_link.parameters import DECLARATIONS as LINK_DECLARATIONS

TILT = real(0.01, 3.1416)
# An empty array has no type of its own in ROS.
BOXES: dict[str, Any] = {"dynamic_typing": True}

DECLARATIONS: tuple[Declaration, ...] = (
    ("base_frame", "fr3_link0", "TF frame of targets, limits and workspace", FREE),
    ("tip_frame", "fr3_hand_tcp", "TF frame that is moved; chunks for another are refused", FREE),
    ("controller", "pose", "kind of arm driver that setpoints are streamed to: see docs/nodes/arm.md", FREE),
    ("gripper", "move", "kind of gripper driver that goals are sent to: see docs/nodes/arm.md", FREE),
    ("rate", 100.0, "Hz, of setpoints", real(50.0, 500.0)),
    ("realtime_priority", 0, "of SCHED_FIFO, 1 to 99, for the whole node; 0 asks for none", whole(0, 99)),
    ("linear_velocity", 0.25, "m/s, norm", real(0.001, 2.0)),
    ("linear_acceleration", 1.0, "m/s^2, norm", real(0.01, 13.0)),
    ("linear_jerk", 20.0, "m/s^3, norm", real(0.1, 6500.0)),
    ("angular_velocity", 1.0, "rad/s, norm", real(0.001, 2.5)),
    ("angular_acceleration", 5.0, "rad/s^2, norm", real(0.01, 25.0)),
    ("angular_jerk", 100.0, "rad/s^3, norm", real(0.1, 12500.0)),
    ("linear_step", 0.02, "m, largest step between two targets, whatever their rate", real(0.0001, 0.1)),
    ("angular_step", 0.1, "rad, largest turn between two targets, whatever their rate", real(0.0005, 0.5)),
    ("workspace_lower", [0.25, -0.45, 0.012], "m, corner x y z of the box the tip stays in, base frame", FREE),
    ("workspace_upper", [0.80, 0.45, 0.60], "m, corner x y z of the box the tip stays in, base frame", FREE),
    ("stay_in", [], "m, further boxes the tip may be in, six numbers each: lower, then upper corner x y z", BOXES),
    ("stay_out", [], "m, boxes the tip stays out of, six numbers each: lower, then upper corner x y z", BOXES),
    ("table_height", 0.0, "m, height in the base frame the tip stays above", real(-10.0, 10.0)),
    ("tilt", 1.2, "rad, largest angle between the tip's z axis and tilt_direction; 3.14159 bounds nothing", TILT),
    ("tilt_direction", [0.0, 0.0, -1.0], "x y z of the base frame", FREE),
    ("patience", 0.12, "s, how long the arm goes on after a chunk was due and did not come", real(0.02, 2.0)),
    ("first_interval", 0.6, "s, when the second chunk is due after the first", real(0.05, 5.0)),
    ("seam", "blend", "how chunks are joined: replace, blend, or rtc (in-painted by the policy)", FREE),
    ("seam_tolerance", 0.01, "m, largest gap of a chunk that continues the committed tail (rtc)", real(0.0001, 0.2)),
    ("seam_angle", 0.1, "rad, the same for the rotation", real(0.001, 1.0)),
    ("row_error", 0.0025, "m, by which rows may be moved to make a smooth motion of a chunk; 0: none", real(0.0, 0.02)),
    ("row_angle", 0.02, "rad, the same for the rotation", real(0.0, 0.2)),
    ("crossfade", 0.15, "s, over which blend and rtc close the gap between two chunks", real(0.0, 1.0)),
    ("lead", 0.05, "s, by which the arm follows its target late; rows are commanded so much earlier", real(0.0, 0.5)),
    ("adapt_lead", True, "correct lead by the lag that is seen while the arm moves", FREE),
    ("following_error", 0.05, "m, tip further than this from its target: hold, start afresh there", real(0.005, 1.0)),
    ("following_angle", 0.3, "rad, the same for the tip's rotation", real(0.02, 3.0)),
    ("tf_wait", 0.06, "s, how long a chunk waits for the transform at its stamp", real(0.0, 0.5)),
    ("tf_timeout", 0.08, "s, age of the tip's transform beyond which the arm holds", real(0.01, 1.0)),
    ("gripper_threshold", 0.01, "m, change of the wanted width that makes a new gripper goal", real(0.001, 0.08)),
    ("state_rate", 20.0, "Hz, of arm/execution_state", real(5.0, 100.0)),
    ("armed_at_start", False, "arm by itself, once, as soon as every guard passes", FREE),
    ("speed", 1.0, "of the pace: slows every motion; others may ask for less (arm/set_speed)", real(0.05, 1.0)),
    ("deadman_timeout", 0.0, "s, oldest word of the operator's switch (topic deadman); 0 needs none", real(0.0, 5.0)),
    ("contact_force", 30.0, "N, norm of the external force on the tip that stops the arm; 0 is off", real(0.0, 200.0)),
    ("contact_torque", 8.0, "Nm, norm of the external torque about the tip that does; 0 is off", real(0.0, 50.0)),
    ("contact_filter", 0.02, "s, time constant of the low-pass on both", real(0.0, 1.0)),
    ("wrench_timeout", 0.1, "s without an external wrench after which the arm holds", real(0.01, 2.0)),
    ("home_position", [0.40, 0.0, 0.30], "m, x y z of the tip in the base frame: where arm/home goes", FREE),
    ("home_rotation", [3.14159265, 0.0, 0.0], "rad, roll pitch yaw of the tip there", FREE),
    ("latency_budget", 0.5, "s from an image to its chunk in force; more is counted", real(0.01, 10.0)),
    *POSTURE_DECLARATIONS,
    *LINK_DECLARATIONS,
    *CONTROLLER_DECLARATIONS,
    *GRIPPER_DECLARATIONS,
)


def limits_from(values: dict[str, Any]) -> Limits:
    """Return the limits of parameter values. Raises ValueError where they bound nothing or cannot brake in time."""
    orders = ("velocity", "acceleration", "jerk", "step")
    names = [f"{kind}_{order}" for kind in ("linear", "angular") for order in orders]
    limits = Limits(
        **{name: values[name] for name in (*names, "table_height")},
        lower=tuple(values["workspace_lower"]),
        upper=tuple(values["workspace_upper"]),
        stay_in=_boxes("stay_in", values["stay_in"]),
        stay_out=_boxes("stay_out", values["stay_out"]),
        tilt=min(values["tilt"], math.pi),
        tilt_direction=tuple(values["tilt_direction"]),
    )
    limits.check_hold(1.0 / values["rate"])
    return limits


def _boxes(name: str, numbers: Sequence[float] | None) -> tuple[Box, ...]:
    """Return the boxes of six numbers each. Raises ValueError where the numbers are no boxes."""
    numbers = list(numbers or [])
    if len(numbers) % 6 or not all(isinstance(number, float) for number in numbers):
        raise ValueError(
            f"expected six numbers in m, with a decimal point, for each box of {name}, got {len(numbers)}: {numbers}"
        )
    six = [numbers[start : start + 6] for start in range(0, len(numbers), 6)]
    return tuple(Box((x, y, z), (far_x, far_y, far_z)) for x, y, z, far_x, far_y, far_z in six)


def settings_from(values: dict[str, Any]) -> Settings:
    """Return the executor's settings of parameter values. Raises ValueError where they contradict each other."""
    names = (
        "patience",
        "first_interval",
        "crossfade",
        "lead",
        "adapt_lead",
        "following_error",
        "following_angle",
        "seam",
        "seam_tolerance",
        "seam_angle",
        "row_error",
        "row_angle",
    )
    return Settings(period=1.0 / values["rate"], **{name: values[name] for name in names})


def gate_from(values: dict[str, Any]) -> GripperGate:
    """Return the gripper's hysteresis of parameter values."""
    return GripperGate(threshold=values["gripper_threshold"], maximum=values["gripper_largest"])


def home_from(values: dict[str, Any]) -> Array:
    """Return base_from_home (4, 4) of parameter values. Raises ValueError where they are no pose."""
    place, turn = list(values["home_position"]), list(values["home_rotation"])
    for name, numbers in (("home_position", place), ("home_rotation", turn)):
        if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"expected three finite numbers for {name}, got {numbers}")
    return transform(place, Rotation.from_euler("xyz", turn).as_quat().tolist())
