"""What the arm is committed to while the next chunk is predicted, from what the arm tells: the single place for it.

The rows are the arm's; when they are due follows from the stamp of the chunk they came from. The policy node and the
closed loop without a graph share it. Guarded by tests/graph/test_inpainting_node.py and tests/sim/test_closed_loop.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from vipa_policy.contract import ActionContract
from vipa_policy.geometry import Array
from vipa_policy.observation import CommittedTail

REMEMBERED = 10  # chunks whose rows may still be followed, and that the expected delay is taken over
OLDEST = 0.3  # s, age of what the arm told beyond which it says nothing about now


@dataclass(frozen=True)
class Followed:
    """What the arm tells of the chunk it follows.

    Attributes:
        stamp: s, when it told. chunk: identifier. rows_consumed: rows of it that were gone through.
        base_from_tip: (n, 4, 4), rows not yet gone through, as they will be executed; none where nothing is followed.
        gripper: (n,) m.
        frame: name of the base frame.
    """

    stamp: float
    chunk: int
    rows_consumed: int
    base_from_tip: Array
    gripper: Array
    frame: str = ""


@dataclass(frozen=True)
class Published:
    """A chunk this node published: its number, its image's stamp in s, its words."""

    identifier: int
    stamp: float
    instruction: str


class Commitment:
    """Remembers chunks that were published and what the arm made of them."""

    def __init__(self) -> None:
        self._published: deque[Published] = deque(maxlen=REMEMBERED)
        self._delays: deque[float] = deque(maxlen=REMEMBERED)
        self._followed: Followed | None = None

    def followed(self, followed: Followed) -> None:
        """Take what the arm tells."""
        self._followed = followed

    def published(self, chunk: Published, delay: float) -> None:
        """Take a chunk that was published ``delay`` s of ROS time after its prediction had begun."""
        self._published.append(chunk)
        self._delays.append(delay)

    def tail(
        self, contract: ActionContract, instruction: str, now: float, camera_from: Callable[[str], Array]
    ) -> CommittedTail | None:
        """Return what the arm will go on with, None where it follows no chunk for these words, or is not heard.

        Rows are frozen for the longest of the recent delays, as real-time chunking has it, and one period more: the row
        under way when the chunk comes is executed from the old one, and the arm commands rows a little early. A row
        that was overdue when the arm told of it (limits slowed it down) counts as due then.

        Args:
            contract: of the policy, which is that of the chunks published.
            instruction: the words in force. What was begun for other words is nothing to go on with.
            now: s, when the prediction begins.
            camera_from: looks up (4, 4) from a frame to the reference camera's, at the new image's stamp.
        """
        followed = self._followed
        if followed is None or not len(followed.base_from_tip) or not abs(now - followed.stamp) <= OLDEST:
            return None
        chunk = next((one for one in self._published if one.identifier == followed.chunk), None)
        if chunk is None or chunk.instruction != instruction:
            return None
        due = chunk.stamp + (followed.rows_consumed + 1) * contract.control_period
        return CommittedTail(
            contract=contract,
            base_from_tip=followed.base_from_tip,
            gripper=followed.gripper,
            first_due=max(due, followed.stamp),
            frozen_until=now + max(self._delays) + contract.control_period,
            camera_from_base=camera_from(followed.frame),
        )
