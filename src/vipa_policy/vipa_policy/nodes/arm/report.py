"""What the arm node tells of itself: the message of its state, the pairs of its diagnostics.

Guarded by tests/graph/test_arm_node.py.
"""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from vipa_msgs.msg import ExecutionState
from vipa_policy.control.executor import Executor, State
from vipa_policy.control.speed import SpeedOverride
from vipa_policy.control.supervision import ARMING_GUARDS, Mode, Supervisor, told
from vipa_policy.instruction import InstructionLatch
from vipa_policy.nodes.arm.supervision import ArmSupervision
from vipa_policy.nodes.arm.timing import Timing
from vipa_policy.nodes.arm.watch import Watch
from vipa_policy.nodes.conversions import pose_from_matrix, stamp_from_seconds

TOLD_HOLDS = 3


def execution_state(
    executor: Executor, supervision: ArmSupervision, latch: InstructionLatch, timing: Timing, tracking_error: float
) -> ExecutionState:
    """Return the message of what is executed, but for its header; ``tracking_error`` in m."""
    committed, gripper = executor.committed()
    supervisor = supervision.supervisor
    return ExecutionState(
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
        mode=int(supervisor.mode),
        mode_reason=supervisor.advice,
        guards=told(supervision.problems),
        speed=executor.speed,
        consumed=executor.consumed,
        lead=executor.lead,
        ahead=executor.ahead,
        first_due=stamp_from_seconds(executor.first_due),
        timings=timing.message(),
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


def supervision_values(supervision: ArmSupervision, watch: Watch, speed: SpeedOverride) -> dict[str, str]:
    """Return mode, guards, contact and speed as pairs for the diagnostics."""
    supervisor, board = supervision.supervisor, watch.board
    problems = board.problems
    contact = f"{watch.contact.force:.1f} {watch.contact.torque:.2f}" if watch.contact.limits.on else "off"
    values = {
        "mode": f"{supervisor.mode.name}: {supervisor.advice}" if supervisor.advice else supervisor.mode.name,
        "last modes": "; ".join(
            f"{change.stamp:.2f} s: {change.mode.name}, {change.reason}" for change in list(supervisor.changes)[-3:]
        ),
        "last recovery": supervision.recovery,
        "speed": f"{speed.factor:g}" + "".join(f"; {source} {why}" for source, why in speed.reasons.items()),
        "contact (N, N m)": contact,
    }
    for guard in ARMING_GUARDS:
        state = problems.get(guard.name, "well")
        values[f"guard {guard.name}"] = f"{state} (since {board.since(guard.name):.2f} s)"
    return values


def level_of(executor: Executor, supervisor: Supervisor) -> tuple[bytes, str]:
    """Return level and message of the diagnostics."""
    if supervisor.mode is Mode.FAULT:
        return DiagnosticStatus.ERROR, f"fault: {supervisor.advice}"
    if executor.state is State.FOLLOWING:
        return DiagnosticStatus.OK, "following"
    state = executor.state.name.lower()
    if supervisor.armed:
        return DiagnosticStatus.WARN, f"{state}: {executor.hold_reason}"
    return DiagnosticStatus.WARN, f"{supervisor.mode.name.lower()}, {state}: {supervisor.advice}"
