"""What a camera driver is: the single place for the types between a driver and those who use it.

Guarded by tests/unit/test_camera_realsense.py and tests/unit/test_camera_connection.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vipa_policy.camera.optics import StreamCalibration
from vipa_policy.errors import CameraError
from vipa_policy.geometry import Array


class FrameError(CameraError):
    """One frame cannot be used; the next one may."""


class RecordingEnded(CameraError):
    """A recording was played to its end."""


@dataclass(frozen=True)
class CameraFrame:
    """Colour and aligned depth of one instant. The arrays may be kept, not written to.

    Attributes:
        rgb: (height, width, 3) uint8.
        depth: (height, width) uint16, whole mm along the optical axis of the colour camera; 0 where nothing was seen.
        stamp_ns: ns of system time, of the colour image.
        skew: s, stamp of depth minus stamp of colour.
        number: the camera's own count of colour frames.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    stamp_ns: int
    skew: float
    number: int


@dataclass(frozen=True)
class CameraDescription:
    """What was opened.

    Attributes:
        name: of the model.
        serial: of the device.
        firmware: its version, "" where unknown.
        connection: for example "USB 3.2", "" where unknown.
        recording: path of the recording that is played, "" with a device.
        rate: Hz, of colour.
        colour: calibration of colour, to which depth is aligned.
        depth: calibration of depth as the sensor sees it.
        colour_from_depth: (4, 4) between the optical frames, from the factory.
        depth_unit: m, one step of the sensor's depth.
    """

    name: str
    serial: str
    firmware: str
    connection: str
    recording: str
    rate: float
    colour: StreamCalibration
    depth: StreamCalibration
    colour_from_depth: Array
    depth_unit: float


class Driver(Protocol):
    """An RGB-D camera. Used from one thread."""

    def open(self) -> CameraDescription:
        """Start streaming. Raises CameraError where there is no such camera or it cannot do what is asked."""

    def read(self, timeout: float) -> CameraFrame | None:
        """Return the next good frame, None where none came within ``timeout`` s.

        Raises FrameError on a frame that cannot be used, RecordingEnded at the end of a recording, CameraError where
        the camera was lost.
        """

    def reset(self) -> None:
        """Have the device restart itself; it must be opened anew. Raises CameraError where that is impossible."""

    def close(self) -> None:
        """Stop streaming and let the device go; harmless where it is not open."""

    def trouble(self) -> str:
        """Say why frames that did come were withheld since the last good one, "" where none were."""

    def facts(self) -> dict[str, str]:
        """Return what diagnostics should show: counters, clock."""
