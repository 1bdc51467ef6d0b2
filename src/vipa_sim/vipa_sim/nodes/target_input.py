"""The pose target an arm driver takes, and what it refuses. Guarded by tests/graph/test_cell_node.py."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node

from vipa_policy.geometry import Array
from vipa_policy.nodes.pose_targets import TARGET_QOS, TargetError, check_jump, read_target
from vipa_sim.cell import BASE_FRAME, Cell


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
        check_jump(target, references, self._largest_jump)
