"""The pose target an arm driver takes, and what it refuses. Guarded by tests/graph/test_cell_node.py."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from vipa_policy.geometry import Array, transform
from vipa_sim.cell import BASE_FRAME, Cell

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


def aim(node: Node, cell: Cell, target: Array) -> None:
    """Aim the arm at a pose (4, 4), and say so where it is out of reach."""
    if not cell.set_target(target):
        node.get_logger().warning("target out of the arm's reach: going as near as it gets", throttle_duration_sec=1.0)


class TargetInput:
    """Aims the arm at the newest good target from ``target_pose``."""

    def __init__(self, node: Node, cell: Cell, largest_jump: float) -> None:
        """Subscribe on ``node``.

        Args:
            node: the cell's.
            cell: whose arm is aimed.
            largest_jump: m from the target before, and from where the arm is, beyond which a target is refused, as a
                real controller would.
        """
        self._node = node
        self._cell = cell
        self._largest_jump = largest_jump
        self._reference: Array | None = None
        self._not_before_ns = 0
        self._pending: Array | None = None
        self.accepted = 0
        self.refused = 0
        self._subscription = node.create_subscription(PoseStamped, "target_pose", self._receive, TARGET_QOS)

    def restart(self, stamp_ns: int) -> None:
        """Forget all targets stamped before ``stamp_ns`` (ns); jumps are measured from where the arm is now."""
        self._reference, self._not_before_ns, self._pending = self._cell.base_from_tip, stamp_ns, None

    def update(self, now: float) -> None:
        """Aim at the target that came since the last call, if one did."""
        target, self._pending = self._pending, None
        if target is not None:
            aim(self._node, self._cell, target)

    def _receive(self, message: PoseStamped) -> None:
        try:
            target = read_target(message, BASE_FRAME)
            self._check_continuity(message, target)
        except TargetError as refusal:
            self.refused += 1
            self._node.get_logger().error(f"target refused: {refusal}", throttle_duration_sec=1.0)
            return
        self.accepted += 1
        self._pending = self._reference = target

    def _check_continuity(self, message: PoseStamped, target: Array) -> None:
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        # A publisher without a clock stamps 0: such targets pass here and are held to the jump alone.
        if 0 < stamp_ns < self._not_before_ns:
            raise TargetError("it was made before the cell was reset; the arm stays at its start pose")
        references = [self._cell.base_from_tip] + ([] if self._reference is None else [self._reference])
        jump = min(float(np.linalg.norm(target[:3, 3] - reference[:3, 3])) for reference in references)
        if jump > self._largest_jump:
            raise TargetError(
                f"it jumps {jump:.3f} m from where the arm is, more than {self._largest_jump} m; "
                "start from the measured pose and stream small steps"
            )
