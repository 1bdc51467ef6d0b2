"""The watch on joint limits and singularities, for kinds of controller that command poses: measured joints to a guard.

Guarded by tests/graph/test_posture_guard.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.node import Node

from vipa_policy.control.kinematics import Kinematics
from vipa_policy.control.posture import PostureSettings, PostureWatch, Verdict
from vipa_policy.control.speed import SLOWEST
from vipa_policy.nodes.parameters import FREE, Declaration, real
from vipa_policy.nodes.robot_model import RobotModel

WATCHED = ("required", "optional", "off")
# Kinds of controller that look at the joints themselves.
JOINT_KINDS = ("joint_trajectory",)
# s from the beginning of the way home in which a hold is not one: whether it leads out shows only once the arm moves.
GRACE = 0.5

DECLARATIONS: tuple[Declaration, ...] = (
    (
        "posture_watch",
        "optional",
        "required: no arming without robot_description and joint_states; optional: watched once they are there; off",
        FREE,
    ),
    ("posture_slow_margin", 0.15, "rad to a joint's limit below which the arm goes slower", real(0.0, 1.0)),
    ("posture_hold_margin", 0.04, "rad to a joint's limit at which it holds", real(0.0, 1.0)),
    ("posture_slow_singular_value", 0.04, "m/rad, smallest of the Jacobian below which it goes slower", real(0.0, 1.0)),
    ("posture_hold_singular_value", 0.015, "m/rad, smallest of the Jacobian at which it holds", real(0.0, 1.0)),
    ("posture_timeout", 0.2, "s, oldest joint state that says something about the posture", real(0.01, 5.0)),
)


class PostureGuard:
    """Judges the joints at every look.

    Args:
        node: to listen on.
        values: of its parameters.

    Raises ValueError on values that contradict each other.
    """

    def __init__(self, node: Node, values: Mapping[str, Any]) -> None:
        if values["posture_watch"] not in WATCHED:
            raise ValueError(f"expected posture_watch of {', '.join(WATCHED)}, got {values['posture_watch']!r}")
        self._settings = PostureSettings(
            slow_margin=values["posture_slow_margin"],
            hold_margin=values["posture_hold_margin"],
            slow_singular_value=values["posture_slow_singular_value"],
            hold_singular_value=values["posture_hold_singular_value"],
        )
        self._required = values["posture_watch"] == "required"
        self._watch: PostureWatch | None = None
        self._watched: Kinematics | None = None
        self._model: RobotModel | None = None
        self._homing_since: float | None = None
        self.verdict: Verdict | None = None
        """The newest, None where there is none."""
        if values["posture_watch"] != "off" and values["controller"] not in JOINT_KINDS:
            frames = values["base_frame"], values["tip_frame"]
            self._model = RobotModel(node, *frames, values["posture_timeout"])

    def look(self, now: float, homing: bool) -> str:
        """Return what is wrong with the posture at ``now`` (s), "" where nothing is; homing: on the way home."""
        self._homing_since = (self._homing_since or now) if homing else None
        model = self._model
        if model is None or (model.kinematics is None and not self._required):
            return ""
        kinematics, joints, velocities = model.kinematics, model.joints, model.velocities
        problem = model.problem(now)
        if problem or kinematics is None or joints is None or velocities is None:
            self.verdict = None
            return problem
        if self._watch is None or self._watched is not kinematics:
            self._watch, self._watched = PostureWatch(kinematics, self._settings), kinematics
        self.verdict = self._watch.look(joints, velocities, now)
        if not self.verdict.hold or self._leads_out(now):
            return ""
        return self.verdict.reason

    @property
    def speed(self) -> tuple[float, str]:
        """Factor on the pace that the posture allows, and why; 1 where it says nothing, or holds altogether."""
        if self.verdict is None or self.verdict.hold:
            return 1.0, ""
        return max(self.verdict.factor, SLOWEST), self.verdict.reason

    def values(self) -> dict[str, str]:
        """Return figures of the posture as pairs for the diagnostics."""
        if self.verdict is None:
            return {}
        return {
            "joint margin (rad)": f"{self.verdict.margin:.3f}",
            "smallest singular value (m/rad)": f"{self.verdict.singular_value:.3f}",
            "largest joint velocity (of its limit)": f"{self.verdict.velocity_share:.2f}",
        }

    def reset(self) -> None:
        """The arm may have been moved by somebody else: the next verdict depends on its measurement alone."""
        if self._watch is not None:
            self._watch.reset()

    def destroy(self) -> None:
        """Stop listening."""
        if self._model is not None:
            self._model.destroy()

    def _leads_out(self, now: float) -> bool:
        if self._homing_since is None or self.verdict is None:
            return False
        return self.verdict.easing or now - self._homing_since < GRACE
