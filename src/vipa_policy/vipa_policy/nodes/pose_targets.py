"""The pose target an arm driver takes, and what it refuses: the same for every driver of this project.

Guarded by tests/graph/test_cell_node.py and tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from vipa_policy.geometry import Array, transform

# Rounding of a quaternion in single precision stays far below; an unset one (0, 0, 0, 0) or a swapped one does not.
QUATERNION_TOLERANCE = 1e-3

TARGET_QOS = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)


class TargetError(Exception):
    """A pose target that no driver would follow; the text says why and what to send instead."""


def read_target(message: PoseStamped, base_frame: str) -> Array:
    """Return base_from_tip (4, 4) of a target; raises TargetError where it is none."""
    if message.header.frame_id != base_frame:
        raise TargetError(
            f"expected a target in '{base_frame}', got one in '{message.header.frame_id}'; transform it before sending"
        )
    place, turn = message.pose.position, message.pose.orientation
    values = (place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w)
    if not all(math.isfinite(value) for value in values):
        raise TargetError(f"expected finite numbers in a target, got {values}")
    norm = math.sqrt(sum(value * value for value in values[3:]))
    if abs(norm - 1.0) > QUATERNION_TOLERANCE:
        raise TargetError(f"expected a unit quaternion x, y, z, w in a target, got one of norm {norm:.4f}")
    return transform(values[:3], values[3:])


def check_jump(target: Array, references: Sequence[Array], largest: float) -> None:
    """Raise TargetError where a target (4, 4) is more than ``largest`` m from all places it might continue."""
    jump = min(float(np.linalg.norm(target[:3, 3] - reference[:3, 3])) for reference in references)
    if jump > largest:
        raise TargetError(
            f"it jumps {jump:.3f} m from where the arm is, more than {largest} m; "
            "start from the measured pose and stream small steps"
        )
