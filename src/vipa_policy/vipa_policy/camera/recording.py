"""Writes pictures as a recording that librealsense plays like a camera: the single place that makes .db3 files.

For tests and for trying the node without a camera; ``vipa_sim.camera_recording`` fills one from the simulated cell.
Guarded by tests/unit/test_camera_realsense.py.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipa_policy.camera.realsense import load_librealsense
from vipa_policy.errors import CameraError
from vipa_policy.geometry import Array

COLOUR_SENSOR, DEPTH_SENSOR = "RGB Camera", "Stereo Module"


@dataclass(frozen=True)
class RecordedLens:
    """A stream of the camera that is made up.

    Attributes:
        width: px.
        height: px.
        matrix: (3, 3) pinhole matrix, px.
        model: name of librealsense's distortion model.
        coefficients: five of it.
    """

    width: int
    height: int
    matrix: Array
    model: str = "none"
    coefficients: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class RecordedCamera:
    """The camera that is made up.

    Attributes:
        colour: its colour stream.
        depth: its depth stream.
        colour_from_depth: (4, 4) between the optical frames.
        rate: Hz.
        depth_unit: m, one step of depth.
        domain: name of librealsense's clock that frames are dated by.
        name: of the model.
        serial: number.
    """

    colour: RecordedLens
    depth: RecordedLens
    colour_from_depth: Array = field(default_factory=lambda: np.eye(4))
    rate: int = 30
    depth_unit: float = 0.001
    domain: str = "hardware_clock"
    name: str = "Recorded RGB-D camera"
    serial: str = "000000000000"


class RecordingWriter:
    """A recording that is being written; use it as a context manager.

    librealsense plays frames at the times they were *written*: with ``paced`` they are written in their stamps' time.

    Args:
        path: of the new .db3 file. Raises CameraError where there is one, or where it cannot be written.
        camera: what to tell of the camera.
        paced: write each frame when it is due, so that the recording plays as fast as its stamps say.
    """

    def __init__(self, path: Path, camera: RecordedCamera, paced: bool = False) -> None:
        if path.suffix != ".db3" or path.exists():
            raise CameraError(f"expected the name of a new .db3 file, got {path}; choose another name")
        self._rs = rs = load_librealsense()
        self._camera, self._paced = camera, paced
        self._origin: float | None = None
        self._device = rs.software_device()
        self._device.register_info(rs.camera_info.name, camera.name)
        self._device.register_info(rs.camera_info.serial_number, camera.serial)
        self._depth = self._device.add_sensor(DEPTH_SENSOR)
        self._colour = self._device.add_sensor(COLOUR_SENSOR)
        self._depth.add_read_only_option(rs.option.depth_units, camera.depth_unit)
        depth = self._depth.add_video_stream(self._stream(rs.stream.depth, rs.format.z16, 0, camera.depth))
        colour = self._colour.add_video_stream(self._stream(rs.stream.color, rs.format.rgb8, 1, camera.colour))
        depth.register_extrinsics_to(colour, _extrinsics(rs, camera.colour_from_depth))
        self._profiles = (colour, depth)
        try:
            self._recorder = rs.recorder(str(path), self._device)
        except RuntimeError as error:
            raise CameraError(f"the recording {path} cannot be written: {error}") from error
        self._sinks = []
        for sensor in self._recorder.query_sensors():
            profile = depth if sensor.get_info(rs.camera_info.name) == DEPTH_SENSOR else colour
            sensor.open(profile)
            # Frames must go somewhere to be recorded; nobody reads them here.
            sensor.start(rs.frame_queue(1))
            self._sinks.append(sensor)

    def write(
        self,
        rgb: NDArray[np.uint8],
        depth: NDArray[np.uint16],
        stamp: float,
        number: int,
        exposure_to_readout: float | None = None,
        depth_stamp: float | None = None,
        depth_number: int | None = None,
    ) -> None:
        """Write one instant.

        Args:
            rgb: (height, width, 3) uint8 of the colour stream's size.
            depth: (height, width) uint16 in steps of the camera's unit, of the depth stream's size, not aligned.
            stamp: s of the camera's clock.
            number: the camera's count of frames.
            exposure_to_readout: s from the middle of the exposure to ``stamp``; None tells nothing of it.
            depth_stamp: s of the camera's clock; None is ``stamp``.
            depth_number: the camera's count of depth frames; None is ``number``.
        """
        self._pace(stamp)
        if exposure_to_readout is not None:
            kinds = self._rs.frame_metadata_value
            microseconds = round(stamp * 1e6)
            self._colour.set_metadata(kinds.frame_timestamp, microseconds)
            self._colour.set_metadata(kinds.sensor_timestamp, microseconds - round(exposure_to_readout * 1e6))
        colour_profile, depth_profile = self._profiles
        frame = self._frame(depth, depth_profile, stamp if depth_stamp is None else depth_stamp, 2)
        frame.frame_number = number if depth_number is None else depth_number
        frame.depth_units = self._camera.depth_unit
        self._depth.on_video_frame(frame)
        frame = self._frame(rgb, colour_profile, stamp, 3)
        frame.frame_number = number
        self._colour.on_video_frame(frame)

    def close(self) -> None:
        """End the recording; it is complete afterwards."""
        sinks, self._sinks = self._sinks, []
        for sensor in sinks:
            sensor.stop()
            sensor.close()
        # The recorder writes its index when it goes.
        self._recorder = None

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _pace(self, stamp: float) -> None:
        if not self._paced:
            return
        now = time.monotonic()
        if self._origin is None:
            self._origin = now - stamp
        if (early := self._origin + stamp - now) > 0.0:
            time.sleep(early)

    def _stream(self, kind: Any, form: Any, uid: int, lens: RecordedLens) -> Any:
        stream = self._rs.video_stream()
        stream.type, stream.fmt, stream.index, stream.uid = kind, form, 0, uid
        stream.width, stream.height, stream.fps = lens.width, lens.height, self._camera.rate
        stream.bpp = 2 if form == self._rs.format.z16 else 3
        intrinsics = self._rs.intrinsics()
        intrinsics.width, intrinsics.height = lens.width, lens.height
        intrinsics.fx, intrinsics.fy = float(lens.matrix[0, 0]), float(lens.matrix[1, 1])
        intrinsics.ppx, intrinsics.ppy = float(lens.matrix[0, 2]), float(lens.matrix[1, 2])
        intrinsics.model = getattr(self._rs.distortion, lens.model)
        intrinsics.coeffs = list(lens.coefficients)
        stream.intrinsics = intrinsics
        return stream

    def _frame(self, pixels: NDArray[Any], profile: Any, stamp: float, bytes_per_pixel: int) -> Any:
        video = profile.as_video_stream_profile()
        if pixels.shape[:2] != (video.height(), video.width()) or pixels[0, 0].nbytes != bytes_per_pixel:
            raise CameraError(
                f"expected a picture of {video.height()} x {video.width()} pixels of {bytes_per_pixel} bytes, got "
                f"{pixels.shape} of {pixels.dtype}"
            )
        frame = self._rs.software_video_frame()
        frame.pixels = np.ascontiguousarray(pixels)
        frame.stride, frame.bpp = video.width() * bytes_per_pixel, bytes_per_pixel
        frame.timestamp = stamp * 1e3
        frame.domain = getattr(self._rs.timestamp_domain, self._camera.domain)
        frame.profile = video
        return frame


def _extrinsics(rs: Any, matrix: Array) -> Any:
    extrinsics = rs.extrinsics()
    extrinsics.rotation = matrix[:3, :3].T.ravel().tolist()
    extrinsics.translation = matrix[:3, 3].tolist()
    return extrinsics


def pinhole(width: int, height: int, focal: Sequence[float], centre: Sequence[float] | None = None) -> Array:
    """Return the (3, 3) matrix of focal lengths (fx, fy) and a centre, the image's middle where None; all in px."""
    cx, cy = centre if centre is not None else ((width - 1) / 2, (height - 1) / 2)
    return np.array([[focal[0], 0.0, cx], [0.0, focal[1], cy], [0.0, 0.0, 1.0]])
