"""What the arm node tells of itself: the message of its state, the pairs of its diagnostics.

Guarded by tests/graph/test_arm_node.py.
"""

from __future__ import annotations

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from vipa_msgs.msg import ExecutionState
from vipa_policy.control.executor import Executor
from vipa_policy.instruction import InstructionLatch
from vipa_policy.nodes.conversions import pose_from_matrix, stamp_from_seconds

TOLD_HOLDS = 3


def execution_state(
    executor: Executor, latch: InstructionLatch, base: str, stamp: Time, tracking_error: float
) -> ExecutionState:
    """Return the message of what is executed at a stamp; ``tracking_error`` in m."""
    committed, gripper = executor.committed()
    return ExecutionState(
        header=Header(frame_id=base, stamp=stamp),
        state=int(executor.state),
        stopped=executor.stopped,
        chunk_id=executor.chunk_id,
        rows_consumed=executor.rows_consumed,
        target=pose_from_matrix(executor.base_from_tip),
        committed=[pose_from_matrix(pose) for pose in committed],
        committed_gripper=[float(width) for width in gripper],
        tracking_error=tracking_error,
        hold_reason=executor.hold_reason,
        seam=executor.seam.policy if executor.chunk_id else "",
        seam_gap=executor.seam.gap if executor.chunk_id else 0.0,
        heard=latch.heard,
        heard_stamp=stamp_from_seconds(latch.heard_stamp),
    )


def motion_values(executor: Executor) -> dict[str, str]:
    """Return what is followed and how, as pairs for the diagnostics."""
    seam = executor.seam
    return {
        "state": executor.state.name,
        "chunk": str(executor.chunk_id),
        "pace": f"{executor.pace:.3f}",
        "lead (s)": f"{executor.lead:.3f}",
        "seam": f"{seam.policy} {seam.gap:.4f} m {seam.angle:.3f} rad" if seam.chunk else "",
        "last holds": "; ".join(
            f"{ending.stamp:.2f} s: {ending.reason}" for ending in list(executor.endings)[-TOLD_HOLDS:]
        ),
    }
