"""Where the joints should be now, from targets that came at a tenth of the rate and not quite evenly.

Targets are played back by their own stamps, a fixed delay late: as long as the next one comes within the delay, how
late it came does not matter. Between two targets the way is straight; the tracker behind it rounds the corners.
Guarded by tests/unit/test_franka_follower.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from vipa_policy.franka.limits import JOINTS, Joints

STILL: Joints = (0.0,) * JOINTS
KEPT = 128  # targets: more than fit into the longest delay at the highest rate


class Playback:
    """Targets by their stamps.

    Args:
        delay: s by which they are played back late.

    Attributes:
        speed: rad/s of the fastest joint between the last two targets: above 0, the stream has not come to rest.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._targets: deque[tuple[float, Joints]] = deque(maxlen=KEPT)
        self.speed = 0.0

    def begin(self, now: float, position: Sequence[float]) -> None:
        """Forget all targets: at ``now`` (s) the reference is at a position (7,) in rad and leaves it with the next."""
        self.speed = 0.0
        self._targets.clear()
        self._targets.append((now - self._delay, tuple(position)))

    def add(self, stamp: float, position: Sequence[float]) -> None:
        """Add a target (7,) in rad, stamped in s; one that is not later than the last is left out."""
        before, place = self._targets[-1]
        if stamp > before:
            self.speed = max(abs(b - a) for a, b in zip(place, position, strict=True)) / (stamp - before)
            self._targets.append((stamp, tuple(position)))

    def at(self, now: float) -> tuple[Joints, Joints]:
        """Return the reference at ``now`` (s): rad and rad/s (7,) each. Before ``begin`` there is none."""
        played = now - self._delay
        targets = self._targets
        while len(targets) > 1 and targets[1][0] <= played:
            targets.popleft()
        start, begin = targets[0]
        if len(targets) == 1 or played <= start:
            return begin, STILL
        stop, end = targets[1]
        scale = 1.0 / (stop - start)
        slope = tuple([(b - a) * scale for a, b in zip(begin, end, strict=True)])
        ahead = played - start
        return tuple([a + ahead * rate for a, rate in zip(begin, slope, strict=True)]), slope
