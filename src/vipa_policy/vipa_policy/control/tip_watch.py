"""Whether a measured tip can be where it is said to be: the single place that takes no jump of TF for a motion.

An arm that is commanded within limits, or pushed by hand, does not go centimetres from one look to the next; a jump
is a wrong transform. Believed, it would draw the command after it. Guarded by tests/unit/test_control_tip_watch.py.
"""

from __future__ import annotations

import math

from vipa_policy.control.limits import Limits
from vipa_policy.geometry import Array, rotation_angle

# Twice the commanded speed, and no less than a hand pushes an arm: m/s and rad/s.
SPEED_SHARE = 2.0
PUSHED = (0.5, 2.0)
# m and rad that noise and an arm that swings may add.
MARGIN = (0.02, 0.1)
# m and rad from its command within which an arm is where it should be: it follows late.
EXPECTED = (0.03, 0.15)


class TipWatch:
    """Remembers the last believed pose.

    Args:
        limits: of the commanded motion.
    """

    def __init__(self, limits: Limits) -> None:
        self._speeds = (
            max(SPEED_SHARE * limits.linear_velocity, PUSHED[0]),
            max(SPEED_SHARE * limits.angular_velocity, PUSHED[1]),
        )
        self._believed: tuple[Array, float] | None = None
        self._seen = -math.inf

    def believe(self, base_from_tip: Array, stamp: float) -> None:
        """Take a pose (4, 4) stamped ``stamp`` (s) as true, wherever it is: nothing moves that it could mislead."""
        self._believed, self._seen = (base_from_tip, stamp), stamp

    def look(self, base_from_tip: Array, stamp: float, commanded: Array | None = None) -> str:
        """Judge a pose (4, 4) stamped ``stamp`` (s); returns what is wrong with it, "" where it is believed.

        One that jumped is not believed until it is back near where the arm was, or where it was ``commanded`` (4, 4).
        """
        expected = commanded is not None and _within(commanded, base_from_tip, *EXPECTED)
        if self._believed is None or expected:
            self.believe(base_from_tip, stamp)
            return ""
        before, since = self._believed
        if stamp < self._seen:
            since = self._seen = stamp  # a clock that was set back
        # While nothing is believed the arm is held: it has no more time to get away in than from one look to the next.
        elapsed = max(stamp - max(since, self._seen), 0.0)
        self._seen = max(self._seen, stamp)
        reach = (speed * elapsed + margin for speed, margin in zip(self._speeds, MARGIN, strict=True))
        if not _within(before, base_from_tip, *reach):
            way, turn = math.dist(before[:3, 3], base_from_tip[:3, 3]), rotation_angle(before, base_from_tip)
            return (
                f"jumped {way:.3f} m and {turn:.2f} rad within {elapsed:.2f} s, which no arm does; mend TF, or stop "
                "and resume to start from there"
            )
        self.believe(base_from_tip, stamp)
        return ""


def _within(one: Array, other: Array, way: float, turn: float) -> bool:
    return math.dist(one[:3, 3], other[:3, 3]) <= way and rotation_angle(one, other) <= turn
