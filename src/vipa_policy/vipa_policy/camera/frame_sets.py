"""From librealsense's sets of frames to frames one can use: paired, fresh, aligned, dated. The single place for it.

A set holds the newest frame of each stream: one half of it may be one that came before, and a set with every new
half is handed out. What is left over here are sets in which both halves are new and of one instant.
Guarded by tests/unit/test_camera_frame_sets.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipa_policy.camera.clock import ClockMap, readout_delay
from vipa_policy.camera.driver import CameraFrame, FrameError
from vipa_policy.camera.health import Numbering, RepeatDetector

NANOSECONDS = 1_000_000_000


@dataclass
class Counters:
    """What went wrong since the driver was made, over all of its cameras.

    Attributes:
        colour_missed: colour frames that were numbered and never came.
        depth_missed: depth frames, likewise.
        repeated: sets withheld because a picture in them repeats bit for bit.
        unpaired: colour frames to which no depth of the same instant came.
        backwards: frames withheld because they are dated before their predecessor.
    """

    colour_missed: int = 0
    depth_missed: int = 0
    repeated: int = 0
    unpaired: int = 0
    backwards: int = 0

    def facts(self) -> dict[str, str]:
        """Return them for diagnostics."""
        return {
            "colour frames missed": str(self.colour_missed),
            "depth frames missed": str(self.depth_missed),
            "frames repeated": str(self.repeated),
            "frames unpaired": str(self.unpaired),
            "frames dated backwards": str(self.backwards),
        }


class FrameSets:
    """Judges the sets of one stream, from its opening to its end.

    Args:
        rs: the module pyrealsense2.
        align: takes a set to its aligned depth.
        filters: takes a set to one with its depth filtered.
        clock: dates frames.
        slop: s, largest difference of the stamps of colour and depth.
        counters: are counted up.
    """

    def __init__(
        self,
        rs: Any,
        align: Callable[[Any], NDArray[np.uint16]],
        filters: Callable[[Any], Any],
        clock: ClockMap,
        slop: float,
        counters: Counters,
    ) -> None:
        self._rs, self._align, self._filters, self._clock = rs, align, filters, clock
        self._slop, self._counters = slop, counters
        self._numbers = {"colour": Numbering(), "depth": Numbering()}
        self._watches = {"colour": RepeatDetector(), "depth": RepeatDetector()}
        self._delivered = (-1, -1)
        self._awaits_depth = False  # the newest colour frame was not handed out yet
        self._newest_ns = -1
        self.trouble = ""
        """Why sets were withheld since the last good one, "" where none were."""

    def take(self, frames: Any, arrival: float) -> CameraFrame | None:
        """Return the frame of a set that came at ``arrival`` (s of system time), None where it is withheld.

        Raises FrameError where its depth cannot be used.
        """
        colour, depth = frames.get_color_frame(), frames.get_depth_frame()
        trouble = self._trouble_with(colour, depth)
        if trouble:
            self.trouble = trouble
            return None
        numbers = (int(colour.get_frame_number()), int(depth.get_frame_number()))
        if numbers[0] == self._delivered[0] or numbers[1] == self._delivered[1]:
            return None  # half of it was handed out already; its other half will come
        self._delivered, self._awaits_depth = numbers, False
        try:
            pixels = self._align(self._filters(frames))
        except RuntimeError as error:
            raise FrameError(f"depth of frame {numbers[1]} cannot be filtered: {error}") from error
        stamp_ns = self._stamp(colour, arrival)
        if stamp_ns <= self._newest_ns:
            self._counters.backwards += 1
            self.trouble = "colour is dated before its predecessor"
            return None
        self._newest_ns, self.trouble = stamp_ns, ""
        picture = self._watches["colour"].picture
        if colour.profile.format() == self._rs.format.bgr8:
            picture = np.ascontiguousarray(picture[..., ::-1])
        return CameraFrame(picture, pixels, stamp_ns, _skew(colour, depth), numbers[0])

    def facts(self) -> dict[str, str]:
        """Return what diagnostics should show of this stream."""
        return {
            "clock": str(self._clock),
            "clock jumps": str(self._clock.jumps),
            "no contrast in": ", ".join(name for name, watch in self._watches.items() if watch.blank),
        }

    def _trouble_with(self, colour: Any, depth: Any) -> str:
        """Look at both halves of a set; returns why it cannot be used, "" where it can."""
        if not colour or not depth:
            return f"only {'colour' if colour else 'depth'} comes, the other stream is silent"
        if self._numbers["colour"].take(int(colour.get_frame_number())):
            self._counters.unpaired += self._awaits_depth
            self._awaits_depth = True
            self._watches["colour"].take(_copy(colour))
        if self._numbers["depth"].take(int(depth.get_frame_number())):
            self._watches["depth"].take(_copy(depth))
        self._count_missed()
        repeated = [name for name, watch in self._watches.items() if watch.repeated]
        if repeated:
            self._counters.repeated += 1
            self._awaits_depth = False
            return f"{' and '.join(repeated)} repeats bit for bit: the stream is frozen, a sensor's noise never does"
        if abs(skew := _skew(colour, depth)) > self._slop:
            return f"depth is {skew:+.3f} s from colour, more than the slop of {self._slop} s"
        return ""

    def _count_missed(self) -> None:
        self._counters.colour_missed += self._numbers["colour"].take_missed()
        self._counters.depth_missed += self._numbers["depth"].take_missed()

    def _stamp(self, frame: Any, arrival: float) -> int:
        """Return the ns of system time in the middle of a frame's exposure, where the camera tells it."""
        kinds = self._rs.frame_metadata_value
        known = [
            int(frame.get_frame_metadata(kind)) if frame.supports_frame_metadata(kind) else None
            for kind in (kinds.frame_timestamp, kinds.sensor_timestamp)
        ]
        domain = frame.get_frame_timestamp_domain().name
        dated = self._clock.to_system(frame.get_timestamp() * 1e-3, domain, arrival)
        return round((dated - readout_delay(known[0], known[1])) * NANOSECONDS)


def _skew(colour: Any, depth: Any) -> float:
    return float(depth.get_timestamp() - colour.get_timestamp()) * 1e-3


def _copy(frame: Any) -> NDArray[Any]:
    """Return the pixels of a frame, to be kept, not written to: librealsense uses its buffers again."""
    pixels = np.array(frame.get_data())
    pixels.setflags(write=False)
    return pixels
