"""The arm's ExecutionState as what it is committed to. Guarded by tests/graph/test_inpainting_node.py."""

from __future__ import annotations

import numpy as np

from vipa_msgs.msg import ExecutionState
from vipa_policy import commitment
from vipa_policy.commitment import Followed, Published
from vipa_policy.nodes.conversions import matrix_from_pose, seconds_of

__all__ = ["Commitment", "Published"]


class Commitment(commitment.Commitment):
    """``vipa_policy.commitment``, fed by messages."""

    def heard(self, message: ExecutionState) -> None:
        """Take the arm's newest state."""
        following = message.state == ExecutionState.FOLLOWING
        poses = [matrix_from_pose(pose) for pose in message.committed] if following else []
        self.followed(
            Followed(
                stamp=seconds_of(message.header.stamp),
                chunk=message.chunk_id,
                consumed=message.consumed,
                ahead=message.ahead,
                lead=message.lead,
                base_from_tip=np.array(poses).reshape(-1, 4, 4),
                gripper=np.array(message.committed_gripper[: len(poses)], dtype=float),
                frame=message.header.frame_id,
            )
        )
