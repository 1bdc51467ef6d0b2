"""Parameters of the arm node: every name, default, range and meaning in one place."""

from __future__ import annotations

from typing import Any

from vipa_policy.control.executor import Settings
from vipa_policy.control.gripper import GripperGate
from vipa_policy.control.limits import Limits
from vipa_policy.nodes.parameters import FREE, Declaration, real

DECLARATIONS: tuple[Declaration, ...] = (
    ("base_frame", "fr3_link0", "TF frame of targets, limits and workspace", FREE),
    ("tip_frame", "fr3_hand_tcp", "TF frame that is moved; chunks for another are refused", FREE),
    ("rate", 100.0, "Hz, of pose targets", real(50.0, 500.0)),
    ("linear_velocity", 0.25, "m/s, norm", real(0.001, 2.0)),
    ("linear_acceleration", 1.0, "m/s^2, norm", real(0.01, 13.0)),
    ("linear_jerk", 20.0, "m/s^3, norm", real(0.1, 6500.0)),
    ("angular_velocity", 1.0, "rad/s, norm", real(0.001, 2.5)),
    ("angular_acceleration", 5.0, "rad/s^2, norm", real(0.01, 25.0)),
    ("angular_jerk", 100.0, "rad/s^3, norm", real(0.1, 12500.0)),
    ("workspace_lower", [0.25, -0.45, 0.005], "m, corner x y z of the box the tip stays in, base frame", FREE),
    ("workspace_upper", [0.80, 0.45, 0.60], "m, corner x y z of the box the tip stays in, base frame", FREE),
    ("patience", 0.12, "s, how long the arm goes on after a chunk was due and did not come", real(0.02, 2.0)),
    ("first_interval", 0.6, "s, when the second chunk is due after the first", real(0.05, 5.0)),
    ("crossfade", 0.15, "s, over which the gap between two chunks fades out", real(0.0, 1.0)),
    ("lead", 0.05, "s, by which the arm follows its target late; rows are commanded so much earlier", real(0.0, 0.5)),
    ("following_error", 0.05, "m, tip further than this from its target: hold, start afresh there", real(0.005, 1.0)),
    ("tf_wait", 0.06, "s, how long a chunk waits for the transform at its stamp", real(0.0, 0.5)),
    ("tf_timeout", 0.08, "s, age of the tip's transform beyond which the arm holds", real(0.01, 1.0)),
    ("gripper_threshold", 0.01, "m, change of the wanted width that makes a new gripper goal", real(0.001, 0.08)),
    ("state_rate", 20.0, "Hz, of arm/execution_state", real(5.0, 100.0)),
)


def limits_from(values: dict[str, Any]) -> Limits:
    """Return the limits of parameter values. Raises ValueError where they bound nothing."""
    names = [f"{kind}_{order}" for kind in ("linear", "angular") for order in ("velocity", "acceleration", "jerk")]
    return Limits(
        **{name: values[name] for name in names},
        lower=tuple(values["workspace_lower"]),
        upper=tuple(values["workspace_upper"]),
    )


def settings_from(values: dict[str, Any]) -> Settings:
    """Return the executor's settings of parameter values. Raises ValueError where they contradict each other."""
    names = ("patience", "first_interval", "crossfade", "lead", "following_error")
    return Settings(period=1.0 / values["rate"], **{name: values[name] for name in names})


def gate_from(values: dict[str, Any]) -> GripperGate:
    """Return the gripper's hysteresis of parameter values."""
    return GripperGate(threshold=values["gripper_threshold"])
