"""The camera's clock and ours: the single place where a frame gets its stamp in system time.

librealsense dates a frame by one of three clocks. Two of them are system time already: ``global_time`` (the device's
clock, fitted to the host's by librealsense) and ``system_time`` (arrival at the host). The third, ``hardware_clock``,
counts from the device's start, and a recording is dated when it was made; both are mapped by an offset.
Guarded by tests/unit/test_camera_clock.py.
"""

from __future__ import annotations

from collections import deque

SYSTEM_CLOCKS = ("global_time", "system_time")
# s over which the offset is the smallest: clocks drift by some 20 us/s, so it is wrong by 0.4 ms at most.
WINDOW = 20.0
# s by which a clock must jump to be taken for another one; a frame is never on its way for so long.
JUMP = 1.0
# s, longest plausible time from the middle of the exposure to the beginning of the readout.
LONGEST_READOUT = 0.2


class ClockMap:
    """Takes stamps of a device to system time.

    The offset of a foreign clock is the smallest difference of arrival and stamp within WINDOW: of all frames, that
    one waited least on its way. What even it waited, some ms of USB transfer, stays in the stamps: they are late by
    it, never early.

    Args:
        foreign: whether no stamp is system time, whatever its domain says, as in a recording.
        fixed: keep the first offset, as for a recording that is read faster than it was made.
    """

    def __init__(self, foreign: bool = False, fixed: bool = False) -> None:
        self._foreign, self._fixed = foreign, fixed
        self._domain = ""
        self._newest = float("-inf")
        self._differences: deque[tuple[float, float]] = deque()  # (arrival, difference), differences rising
        self.jumps = 0
        """How often the device's clock jumped or changed."""

    def to_system(self, stamp: float, domain: str, arrival: float) -> float:
        """Return the system time in s of a stamp in s of the clock ``domain``, read at ``arrival`` (system time, s)."""
        if domain != self._domain or stamp < self._newest - JUMP or self._jumped(stamp, arrival):
            self.jumps += bool(self._domain)
            self._differences.clear()
            self._domain, self._newest = domain, stamp
        self._newest = max(self._newest, stamp)
        if self.is_system:
            return stamp
        difference = arrival - stamp
        if self._fixed and self._differences:
            return stamp + self.offset
        while self._differences and self._differences[-1][1] >= difference:
            self._differences.pop()
        self._differences.append((arrival, difference))
        while self._differences[0][0] < arrival - WINDOW:
            self._differences.popleft()
        return stamp + self._differences[0][1]

    @property
    def is_system(self) -> bool:
        """Whether stamps are system time as they come."""
        return not self._foreign and self._domain in SYSTEM_CLOCKS

    @property
    def offset(self) -> float:
        """What is added to a stamp, s."""
        return self._differences[0][1] if self._differences else 0.0

    def __str__(self) -> str:
        if not self._domain:
            return "unknown: no frame yet"
        return f"{'recording' if self._foreign else self._domain}, offset {self.offset:+.6f} s"

    def _jumped(self, stamp: float, arrival: float) -> bool:
        return not self._fixed and bool(self._differences) and abs(arrival - stamp - self.offset) > JUMP


def readout_delay(frame_timestamp: int | None, sensor_timestamp: int | None) -> float:
    """Return s from the middle of the exposure to the instant a frame is dated by, 0 where the camera does not tell.

    Args:
        frame_timestamp: us of the device's clock when readout began, which librealsense dates the frame by.
        sensor_timestamp: us of the same clock in the middle of the exposure.
    """
    if frame_timestamp is None or sensor_timestamp is None:
        return 0.0
    delay = (frame_timestamp - sensor_timestamp) * 1e-6
    return delay if 0.0 <= delay <= LONGEST_READOUT else 0.0
