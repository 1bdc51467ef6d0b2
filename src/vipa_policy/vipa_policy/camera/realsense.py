"""A RealSense camera, or a recording of one, through librealsense: the single place that opens and reads either.

A recording is played by the same pipeline that drives a device, so what is tested on recordings is what runs.
Guarded by tests/unit/test_camera_realsense.py.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vipa_policy.camera.alignment import Alignment
from vipa_policy.camera.clock import ClockMap
from vipa_policy.camera.driver import CameraDescription, CameraFrame, RecordingEnded
from vipa_policy.camera.filters import DepthFilters, FilterSettings
from vipa_policy.camera.frame_sets import Counters, FrameSets
from vipa_policy.camera.optics import matrix_from_extrinsics, stream_calibration
from vipa_policy.errors import CameraError


@dataclass(frozen=True)
class StreamProfile:
    """Size and rate of a stream: px, px, Hz."""

    width: int
    height: int
    rate: int

    @classmethod
    def parse(cls, text: str) -> StreamProfile:
        """Return the profile of a text like "640x480x30". Raises CameraError on any other."""
        words = text.lower().replace(",", "x").split("x")
        if len(words) != 3 or not all(word.strip().isdecimal() and int(word) > 0 for word in words):
            raise CameraError(f"expected a stream profile like '640x480x30' (width, height, Hz), got {text!r}")
        return cls(*(int(word) for word in words))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}x{self.rate}"


@dataclass(frozen=True)
class RealSenseSettings:
    """What to open and how.

    Attributes:
        serial: of the device; "" takes the only one there is.
        recording: path of a recording to play in place of a device, "" for a device.
        real_time: play a recording at the pace it was made, dropping what is not read in time; else every frame.
        colour: profile of the colour stream; a recording has its own.
        depth: profile of the depth stream; a recording has its own.
        slop: s, largest difference of the stamps of colour and depth.
        filters: of depth, before it is aligned.
    """

    serial: str = ""
    recording: str = ""
    real_time: bool = True
    colour: StreamProfile = StreamProfile(640, 480, 30)
    depth: StreamProfile = StreamProfile(848, 480, 30)
    slop: float = 0.017
    filters: FilterSettings = field(default_factory=FilterSettings)


class RealSenseDriver:
    """Streams colour and aligned depth; a ``driver.Driver``.

    Args:
        settings: what to open.
        system_time: s since the epoch; stamps are of this clock.
    """

    def __init__(self, settings: RealSenseSettings, system_time: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._system_time = system_time
        self._rs = load_librealsense()
        self._pipeline: Any = None
        self._device: Any = None
        self._counters = Counters()
        self._sets: FrameSets | None = None

    def open(self) -> CameraDescription:
        """Start streaming; see ``driver.Driver``."""
        self.close()
        pipeline, config = self._rs.pipeline(), self._rs.config()
        if self._settings.recording:
            self._request_recording(config)
        else:
            self._request_device(config)
        try:
            device = config.resolve(self._rs.pipeline_wrapper(pipeline)).get_device()
            if self._settings.recording:
                # Before the start: afterwards frames are already on their way. Even so the first may be lost, while
                # one of the two streams runs alone. Not paused meanwhile: resuming holds Python's lock, for up to 10 s.
                device.as_playback().set_real_time(self._settings.real_time)
            profile = pipeline.start(config)
        except RuntimeError as error:
            raise CameraError(self._refusal(error)) from error
        self._pipeline, self._device = pipeline, profile.get_device()
        try:
            description = self._describe(profile)
            self._sets = self._frame_sets(description)
            return description
        except (RuntimeError, CameraError) as error:
            self.close()
            raise CameraError(f"the camera cannot be used: {error}") from error

    def read(self, timeout: float) -> CameraFrame | None:
        """Return the next good frame; see ``driver.Driver``."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0.0:
            if self._pipeline is None or self._sets is None:
                raise CameraError("the camera is not open")
            try:
                came, frames = self._pipeline.try_wait_for_frames(max(1, round(left * 1000)))
            except RuntimeError as error:
                raise CameraError(f"the camera was lost: {error}") from error
            if not came:
                self._raise_if_ended()
                return None
            frame = self._sets.take(frames, self._system_time())
            if frame is not None:
                return frame
        return None

    def reset(self) -> None:
        """Have the device restart itself; see ``driver.Driver``."""
        if self._settings.recording:
            raise CameraError("a recording has no hardware that could be reset")
        self.close()
        device = choose_device(self._rs, self._settings.serial)
        try:
            device.hardware_reset()
        except RuntimeError as error:
            raise CameraError(f"the camera did not take the reset: {error}") from error

    def close(self) -> None:
        """Stop streaming; see ``driver.Driver``."""
        pipeline, self._pipeline, self._device = self._pipeline, None, None
        if pipeline is not None:
            # A device that was unplugged cannot be stopped any more, and need not be.
            with suppress(RuntimeError):
                pipeline.stop()

    def trouble(self) -> str:
        """Say why frames were withheld; see ``driver.Driver``."""
        return self._sets.trouble if self._sets is not None else ""

    def facts(self) -> dict[str, str]:
        """Return counters and the state of the clock; see ``driver.Driver``."""
        return self._counters.facts() | (self._sets.facts() if self._sets is not None else {})

    def _frame_sets(self, description: CameraDescription) -> FrameSets:
        recorded = bool(self._settings.recording)
        return FrameSets(
            self._rs,
            align=Alignment(self._rs, description),
            filters=DepthFilters(self._rs, self._settings.filters),
            clock=ClockMap(foreign=recorded, fixed=recorded and not self._settings.real_time),
            slop=self._settings.slop,
            counters=self._counters,
        )

    def _request_recording(self, config: Any) -> None:
        path = Path(self._settings.recording).expanduser()
        if not path.is_file():
            raise CameraError(f"expected a recording at {path}, there is none")
        config.enable_device_from_file(str(path), False)

    def _request_device(self, config: Any) -> None:
        rs, colour, depth = self._rs, self._settings.colour, self._settings.depth
        device = choose_device(rs, self._settings.serial)
        _prepare_sensors(rs, device)
        config.enable_device(device.get_info(rs.camera_info.serial_number))
        config.enable_stream(rs.stream.color, colour.width, colour.height, rs.format.rgb8, colour.rate)
        config.enable_stream(rs.stream.depth, depth.width, depth.height, rs.format.z16, depth.rate)

    def _refusal(self, error: RuntimeError) -> str:
        if self._settings.recording:
            return f"the recording {self._settings.recording} cannot be played: {error}"
        wanted = f"colour {self._settings.colour} and depth {self._settings.depth}"
        return f"the camera does not start with {wanted}: {error}. {self._offer()}"

    def _offer(self) -> str:
        """Say which profiles the device has; they are fewer over USB 2."""
        rs = self._rs
        try:
            device = choose_device(rs, self._settings.serial)
            modes = [profile.as_video_stream_profile() for s in device.query_sensors() for profile in s.profiles]
            offers = {
                name: sorted(
                    {
                        f"{mode.width()}x{mode.height()}x{mode.fps()}"
                        for mode in modes
                        if mode.stream_type() == stream and mode.format() == form
                    }
                )
                for name, stream, form in (
                    ("colour", rs.stream.color, rs.format.rgb8),
                    ("depth", rs.stream.depth, rs.format.z16),
                )
            }
        except (RuntimeError, CameraError) as error:
            return f"What it offers cannot be read: {error}"
        usb = info(rs, device, "usb_type_descriptor")
        return "; ".join(f"{name} it has over USB {usb or '?'}: {', '.join(modes)}" for name, modes in offers.items())

    def _describe(self, profile: Any) -> CameraDescription:
        rs = self._rs
        streams = {
            stream.stream_type(): stream.as_video_stream_profile()
            for stream in profile.get_streams()
            if stream.is_video_stream_profile()
        }
        missing = [name for name in ("color", "depth") if getattr(rs.stream, name) not in streams]
        if missing:
            raise CameraError(
                f"expected colour and depth, there is no {' and no '.join(missing)} stream; use a camera or a "
                "recording that has both"
            )
        colour, depth = streams[rs.stream.color], streams[rs.stream.depth]
        if colour.format() not in (rs.format.rgb8, rs.format.bgr8) or depth.format() != rs.format.z16:
            raise CameraError(
                f"expected colour as rgb8 or bgr8 and depth as z16, got {colour.format().name} and "
                f"{depth.format().name}; record with these formats"
            )
        extrinsics = depth.get_extrinsics_to(colour)
        device = self._device
        usb = info(rs, device, "usb_type_descriptor")
        return CameraDescription(
            name=info(rs, device, "name"),
            serial=info(rs, device, "serial_number"),
            firmware=info(rs, device, "firmware_version"),
            connection=f"USB {usb}" if usb else "",
            recording=self._settings.recording,
            rate=float(colour.fps()),
            colour=stream_calibration(colour.get_intrinsics(), rs.rs2_deproject_pixel_to_point),
            depth=stream_calibration(depth.get_intrinsics(), rs.rs2_deproject_pixel_to_point),
            colour_from_depth=matrix_from_extrinsics(extrinsics.rotation, extrinsics.translation),
            depth_unit=float(device.first_depth_sensor().get_depth_scale()),
        )

    def _raise_if_ended(self) -> None:
        if not self._settings.recording or self._device is None:
            return
        if self._device.as_playback().current_status() == self._rs.playback_status.stopped:
            raise RecordingEnded(f"the recording {self._settings.recording} was played to its end")


def load_librealsense() -> Any:
    """Return the module pyrealsense2. Raises CameraError, with what to install, where it is absent."""
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        raise CameraError(
            f"pyrealsense2 cannot be imported ({error}): pip install -r requirements/realsense.txt, or run "
            "realsense-ros, whose topics are the same"
        ) from error


def choose_device(rs: Any, serial: str) -> Any:
    """Return the device with this serial number, the only one for "".

    Raises CameraError where there is none, or several and none was named.
    """
    try:
        devices = {info(rs, device, "serial_number"): device for device in rs.context().query_devices()}
    except RuntimeError as error:
        raise CameraError(f"cameras cannot be listed: {error}") from error
    return devices[choose_serial(sorted(devices), serial)]


def choose_serial(present: Sequence[str], wanted: str) -> str:
    """Return which of the present serial numbers is meant; raises CameraError where that is not clear."""
    listed = ", ".join(present) or "none"
    if wanted:
        if wanted not in present:
            raise CameraError(f"no RealSense camera with serial number {wanted}; there is: {listed}. Is it plugged in?")
        return wanted
    if not present:
        raise CameraError("no RealSense camera; plug one in, and see that its USB device may be read (udev rules)")
    if len(present) > 1:
        raise CameraError(f"several RealSense cameras: {listed}; name one of them by its serial number")
    return present[0]


def info(rs: Any, device: Any, name: str) -> str:
    """Return a text that a device tells of itself, "" where it does not."""
    kind = getattr(rs.camera_info, name)
    return str(device.get_info(kind)) if device.supports(kind) else ""


def _prepare_sensors(rs: Any, device: Any) -> None:
    """Have stamps in system time, and a steady rate in poor light, where the sensors can."""
    for sensor in device.query_sensors():
        for name, value in (("global_time_enabled", 1.0), ("auto_exposure_priority", 0.0)):
            option = getattr(rs.option, name)
            if sensor.supports(option) and not sensor.is_option_read_only(option):
                try:
                    sensor.set_option(option, value)
                except RuntimeError as error:
                    raise CameraError(f"the camera did not take {name} = {value:g}: {error}") from error
