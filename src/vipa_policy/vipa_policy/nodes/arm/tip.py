"""Where the tip is measured to be, and what is wrong with that: the single place where the arm node reads TF for it.

Guarded by tests/graph/test_arm_node.py.
"""

from __future__ import annotations

from rclpy.time import Time
from tf2_ros import Buffer, TransformException

from vipa_policy.control.timeline import FUTURE_TOLERANCE
from vipa_policy.errors import VipaError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import matrix_from_transform, seconds_of


class MeasuredTip:
    """The newest transform of the tip in the base frame.

    Args:
        buffer: of TF.
        base, tip: frames.
        timeout: s, age beyond which the transform says nothing about now.
    """

    def __init__(self, buffer: Buffer, base: str, tip: str, timeout: float) -> None:
        self._buffer = buffer
        self._base, self._tip, self._timeout = base, tip, timeout
        self.pose: Array | None = None
        """(4, 4) base_from_tip, None before the first."""
        self.stamp = float("-inf")
        """s, of the pose."""

    def look(self, now: float) -> str:
        """Look the tip up at ``now`` (s); returns what is wrong with it, "" if nothing is."""
        try:
            found = self._buffer.lookup_transform(self._base, self._tip, Time())
            self.pose = matrix_from_transform(found.transform)
            self.stamp = seconds_of(found.header.stamp)
        except (TransformException, VipaError) as error:
            return f"no transform from {self._tip} to {self._base}: {error}"
        age = now - self.stamp
        if age < -FUTURE_TOLERANCE:
            return f"TF of {self._tip} is stamped {-age:.2f} s in the future; check clocks and use_sim_time"
        if age > self._timeout:
            return f"TF of {self._tip} is {age:.2f} s old, more than {self._timeout} s: is the arm there?"
        return ""
