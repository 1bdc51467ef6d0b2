"""Where the tip is measured to be, and what is wrong with that: the single place where the arm node reads TF for it.

Guarded by tests/graph/test_arm_node.py.
"""

from __future__ import annotations

from rclpy.time import Time
from tf2_ros import Buffer, TransformException

from vipa_policy.clock_watch import FUTURE_TOLERANCE
from vipa_policy.control.tip_watch import TipWatch
from vipa_policy.errors import VipaError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import matrix_from_transform, seconds_of


class MeasuredTip:
    """The newest transform of the tip in the base frame.

    Args:
        buffer: of TF.
        base, tip: frames.
        timeout: s, age beyond which the transform says nothing about now.
        watch: that takes no jump for a motion.
    """

    def __init__(self, buffer: Buffer, base: str, tip: str, timeout: float, watch: TipWatch) -> None:
        self._buffer, self._watch = buffer, watch
        self._base, self._tip, self._timeout = base, tip, timeout
        self.pose: Array | None = None
        """(4, 4) base_from_tip, the last one that was believed; None before the first."""
        self.stamp = float("-inf")
        """s, of the pose."""
        self.commanded: Array | None = None
        """(4, 4), where the tip should be; None where it is not commanded."""
        self.trusting = True
        """Whether a jump is believed: where a person must release the arm, which then starts from there."""

    def look(self, now: float) -> str:
        """Look the tip up at ``now`` (s); returns what is wrong with it, "" if nothing is."""
        try:
            found = self._buffer.lookup_transform(self._base, self._tip, Time())
            pose, stamp = matrix_from_transform(found.transform), seconds_of(found.header.stamp)
        except (TransformException, VipaError) as error:
            return f"no transform from {self._tip} to {self._base}: {error}"
        age = now - stamp
        if age < -FUTURE_TOLERANCE:
            return f"TF of {self._tip} is stamped {-age:.2f} s in the future; check clocks and use_sim_time"
        if age > self._timeout:
            return f"TF of {self._tip} is {age:.2f} s old, more than {self._timeout} s: is the arm there?"
        if self.trusting:
            self._watch.believe(pose, stamp)
        elif jump := self._watch.look(pose, stamp, self.commanded):
            return f"TF of {self._tip} {jump}"
        self.pose, self.stamp = pose, stamp
        return ""
