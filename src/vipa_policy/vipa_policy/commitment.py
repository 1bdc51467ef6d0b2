"""What the arm is committed to while the next chunk is predicted, from what the arm tells: the single place for it.

The rows are the arm's, and so is the time they are dated in: what it consumed of its plans. A new chunk will begin at
the place that had been consumed when the arm of its picture was commanded (``control.timeline``), so a row's time in it
is what was, or will be, consumed from there to the row. By the clock, an arm that sets out, or that limits slow, would
be told of as further than it is, and the next chunk would begin that much ahead of it. The policy node and the closed
loop without a graph share it. Guarded by tests/unit/test_commitment.py, tests/graph/test_inpainting_node.py and
tests/sim/test_closed_loop.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vipa_policy.contract import ActionContract
from vipa_policy.geometry import Array
from vipa_policy.observation import CommittedTail

REMEMBERED = 10  # chunks whose rows may still be followed, and that the expected delay is taken over
OLDEST = 0.3  # s, age of what the arm told beyond which it says nothing about now
TOLD = 20  # what the arm told lately, 20 times a second, reaches back to any picture that is still used


@dataclass(frozen=True)
class Followed:
    """What the arm tells of the chunk it follows.

    Attributes:
        stamp: s, when it told. chunk: identifier.
        consumed: s of plan time, of all chunks, that were gone through until then.
        ahead: s of plan time from there to the first row of ``base_from_tip``.
        lead: s by which the arm follows its command late.
        base_from_tip: (n, 4, 4), rows not yet gone through, as they will be executed; none where nothing is followed.
        gripper: (n,) m.
        frame: name of the base frame.
    """

    stamp: float
    chunk: int
    consumed: float
    ahead: float
    lead: float
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
    """Remembers chunks that were published and what the arm made of them.

    The arm may be heard in another thread than that which publishes and asks for the tail.
    """

    def __init__(self) -> None:
        self._published: deque[Published] = deque(maxlen=REMEMBERED)
        self._delays: deque[float] = deque(maxlen=REMEMBERED)
        self._followed: Followed | None = None
        self._consumed: tuple[tuple[float, float], ...] = ()

    def followed(self, followed: Followed) -> None:
        """Take what the arm tells."""
        told = self._consumed
        if told and (followed.stamp < told[-1][0] or followed.consumed < told[-1][1]):
            told = ()  # a clock that was set back, an arm node that was started again
        # Replaced whole, and before what is told: who asks meanwhile never sees a part of it.
        self._consumed = (*told[1 - TOLD :], (followed.stamp, followed.consumed))
        self._followed = followed

    def published(self, chunk: Published, delay: float) -> None:
        """Take a chunk that was published ``delay`` s of ROS time after its prediction had begun."""
        self._published.append(chunk)
        self._delays.append(delay)

    def tail(
        self,
        contract: ActionContract,
        instruction: str,
        now: float,
        captured: float,
        camera_from: Callable[[str], Array],
    ) -> CommittedTail | None:
        """Return what the arm will go on with, None where it follows no chunk for these words, or is not heard.

        Rows are frozen for the longest of the recent delays, as real-time chunking has it, and one period more: the row
        under way when the chunk comes is executed from the old one.

        Args:
            contract: of the policy, which is that of the chunks published.
            instruction: the words in force. What was begun for other words is nothing to go on with.
            now: s, when the prediction begins.
            captured: s, stamp of the new image.
            camera_from: looks up (4, 4) from a frame to the reference camera's, at the new image's stamp.
        """
        followed = self._followed
        if followed is None or not len(followed.base_from_tip) or not abs(now - followed.stamp) <= OLDEST:
            return None
        chunk = next((one for one in self._published if one.identifier == followed.chunk), None)
        if chunk is None or chunk.instruction != instruction:
            return None
        begin = self._consumed_until(captured - followed.lead)
        return CommittedTail(
            contract=contract,
            base_from_tip=followed.base_from_tip,
            gripper=followed.gripper,
            first_due=captured + followed.consumed + followed.ahead - begin,
            frozen_until=captured + self._consumed_until(now) - begin + max(self._delays) + contract.control_period,
            camera_from_base=camera_from(followed.frame),
        )

    def _consumed_until(self, time: float) -> float:
        """Return the s of plan time that were gone through at a time in s, after the last telling at its last pace."""
        stamps, consumed = np.array(self._consumed).T
        if time <= stamps[-1] or len(stamps) < 2:
            return float(np.interp(time, stamps, consumed))
        pace = (consumed[-1] - consumed[-2]) / max(stamps[-1] - stamps[-2], 1e-9)
        return float(consumed[-1] + min(pace, 1.0) * (time - stamps[-1]))
