"""Recordings of a made-up RealSense camera: a slanted wall under noise, with what was written kept for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipa_policy import geometry
from vipa_policy.camera.driver import CameraFrame, RecordingEnded
from vipa_policy.camera.realsense import RealSenseDriver, RealSenseSettings
from vipa_policy.camera.recording import RecordedCamera, RecordedLens, RecordingWriter, pinhole

PATIENCE = 0.3  # s to wait for the next frame of a recording
START = 5000.0  # s of the made-up camera's clock
COLOUR = RecordedLens(160, 120, pinhole(160, 120, (121.0, 122.0), (80.25, 58.5)))
DEPTH = RecordedLens(192, 128, pinhole(192, 128, (110.0, 110.5), (95.0, 64.5)))
COLOUR_FROM_DEPTH = geometry.transform([0.015, -0.001, 0.002], [0.01, -0.02, 0.005, 1.0])
CAMERA = RecordedCamera(COLOUR, DEPTH, COLOUR_FROM_DEPTH, serial="123456789012")
SAME_LENS = replace(CAMERA, depth=COLOUR, colour_from_depth=np.eye(4))


@dataclass(frozen=True)
class Written:
    """One instant of a recording: what was written and how it was dated (s of the camera's clock)."""

    number: int
    stamp: float
    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]


def picture(lens: RecordedLens, seed: int) -> NDArray[np.uint8]:
    """Colour noise (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (lens.height, lens.width, 3), dtype=np.uint8)


def wall(lens: RecordedLens, seed: int, unit: float = 0.001) -> NDArray[np.uint16]:
    """Depth (height, width) of a slanted wall some 0.6 m away, with 1 mm of noise, in steps of ``unit`` m."""
    columns, rows = np.meshgrid(np.arange(lens.width), np.arange(lens.height))
    metres = 0.6 + 0.0005 * columns + 0.0003 * rows
    noise = np.random.default_rng(1000 + seed).integers(-1, 2, metres.shape) * 0.001
    return np.rint((metres + noise) / unit).astype(np.uint16)


def instants(camera: RecordedCamera, numbers: Sequence[int]) -> list[Written]:
    """Instants of these frame numbers at the camera's rate."""
    return [
        Written(
            number,
            START + number / camera.rate,
            picture(camera.colour, number),
            wall(camera.depth, number, camera.depth_unit),
        )
        for number in numbers
    ]


def write_recording(
    path: Path, written: Sequence[Written], camera: RecordedCamera = CAMERA, paced: bool = False, **options: Any
) -> None:
    """Write instants as a recording."""
    with RecordingWriter(path, camera, paced) as writer:
        for item in written:
            writer.write(item.rgb, item.depth, item.stamp, item.number, **options)


def played(
    path: Path, numbers: Sequence[int] | None = None, passes: int = 40, **settings: Any
) -> tuple[RealSenseDriver, list[CameraFrame]]:
    """Every frame of a recording, read through the driver; it is closed.

    librealsense may lose the first frames of a recording, while only one of its streams runs. So it is played again
    until the frames with these numbers came, by default any frames at all; nothing else must have come even then.
    """
    for _ in range(passes):
        driver = RealSenseDriver(RealSenseSettings(recording=str(path), real_time=False, **settings))
        frames = played_once(driver)
        if frames if numbers is None else [frame.number for frame in frames] == list(numbers):
            return driver, frames
    raise AssertionError(f"expected frames {numbers}, got {[frame.number for frame in frames]}: {driver.trouble()}")


def played_once(driver: RealSenseDriver) -> list[CameraFrame]:
    """What one pass over its recording gives."""
    driver.open()
    frames: list[CameraFrame] = []
    try:
        while True:
            frame = driver.read(PATIENCE)
            if frame is not None:
                frames.append(frame)
    except RecordingEnded:
        return frames
    finally:
        driver.close()
