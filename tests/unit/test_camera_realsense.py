"""The driver on recordings of a made-up camera: librealsense's own pipeline, so this is the path a device takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.camera_recordings import (
    CAMERA,
    COLOUR_FROM_DEPTH,
    instants,
    picture,
    played,
    played_once,
    wall,
    write_recording,
)

from vipa_policy.camera.driver import CameraFrame
from vipa_policy.camera.realsense import (
    RealSenseDriver,
    RealSenseSettings,
    StreamProfile,
    choose_serial,
)
from vipa_policy.camera.recording import RecordingWriter
from vipa_policy.errors import CameraError

rs = pytest.importorskip("pyrealsense2")


def first_frame(driver: RealSenseDriver) -> CameraFrame:
    """The first frame of a recording, in the pass that gives one."""
    return next(frame for _ in range(40) for frame in played_once(driver))


def test_every_frame_is_played_bit_for_bit(tmp_path: Path) -> None:
    written = instants(CAMERA, range(1, 11))
    write_recording(tmp_path / "a.db3", written)
    driver, frames = played(tmp_path / "a.db3", range(1, 11))
    for frame, item in zip(frames, written, strict=True):
        np.testing.assert_array_equal(frame.rgb, item.rgb)
        assert frame.depth.shape == (120, 160)
        assert frame.depth.dtype == np.uint16
        assert frame.skew == 0.0
    facts = driver.facts()
    assert {facts[name] for name in facts if "frames" in name} == {"0"}


def test_stamps_keep_the_recorded_distances(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.db3", instants(CAMERA, [1, 2, 4]))
    _, frames = played(tmp_path / "a.db3", [1, 2, 4])
    first, second, fourth = (frame.stamp_ns for frame in frames)
    # The recording keeps stamps in ms as doubles: a few ns are lost.
    assert second - first == pytest.approx(1e9 / 30, abs=1000)
    assert fourth - first == pytest.approx(3e9 / 30, abs=1000)


def test_calibration_and_frames_of_the_factory(tmp_path: Path) -> None:
    distorted = replace(CAMERA.colour, model="brown_conrady", coefficients=(0.1, -0.2, 0.001, -0.002, 0.05))
    camera = replace(CAMERA, colour=distorted)
    write_recording(tmp_path / "a.db3", instants(camera, [1]), camera)
    driver = RealSenseDriver(RealSenseSettings(recording=str(tmp_path / "a.db3")))
    description = driver.open()
    driver.close()
    assert (description.serial, description.rate) == (camera.serial, 30.0)
    for lens, wanted in ((description.colour, distorted), (description.depth, CAMERA.depth)):
        assert (lens.width, lens.height) == (wanted.width, wanted.height)
        np.testing.assert_allclose(lens.matrix, wanted.matrix, rtol=1e-6)
    np.testing.assert_allclose(description.colour.coefficients, distorted.coefficients, rtol=1e-6)
    np.testing.assert_allclose(description.colour_from_depth, COLOUR_FROM_DEPTH, atol=1e-6)


def test_missing_numbers_are_counted(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.db3", instants(CAMERA, [1, 2, 5, 6, 8]))
    driver, _ = played(tmp_path / "a.db3", [1, 2, 5, 6, 8])
    facts = driver.facts()
    assert (facts["colour frames missed"], facts["depth frames missed"]) == ("3", "3")


@pytest.mark.parametrize("frozen", ["colour", "depth"])
def test_a_frozen_stream_is_withheld_however_fresh_its_stamps(tmp_path: Path, frozen: str) -> None:
    written = instants(CAMERA, range(1, 7))
    for index in (3, 4, 5):
        still = {"rgb": written[2].rgb} if frozen == "colour" else {"depth": written[2].depth}
        written[index] = replace(written[index], **still)
    write_recording(tmp_path / "a.db3", written)
    driver, _ = played(tmp_path / "a.db3", [1, 2, 3])
    assert int(driver.facts()["frames repeated"]) >= 3
    assert f"{frozen} repeats bit for bit" in driver.trouble()


def test_a_picture_without_contrast_proves_no_frozen_stream(tmp_path: Path) -> None:
    blind = [replace(item, depth=np.zeros_like(item.depth)) for item in instants(CAMERA, [1, 2, 3])]
    write_recording(tmp_path / "a.db3", blind)
    driver, _ = played(tmp_path / "a.db3", [1, 2, 3])
    assert driver.facts()["no contrast in"] == "depth"


def test_depth_of_another_instant_is_withheld(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.db3", CAMERA) as writer:
        for number, late in ((1, 0.0), (2, 0.03), (3, 0.005)):
            stamp = number / 10.0
            pixels = wall(CAMERA.depth, number)
            writer.write(picture(CAMERA.colour, number), pixels, stamp, number, depth_stamp=stamp + late)
    driver, frames = played(tmp_path / "a.db3", [1, 3])
    assert frames[1].skew == pytest.approx(0.005, abs=1e-6)
    assert driver.facts()["frames unpaired"] == "1"


def test_stamps_are_of_the_middle_of_the_exposure_where_the_camera_tells_it(tmp_path: Path) -> None:
    plain, told = tmp_path / "plain.db3", tmp_path / "told.db3"
    written = instants(CAMERA, [1])
    write_recording(plain, written)
    write_recording(told, written, exposure_to_readout=0.012)
    stamps = []
    for path in (plain, told):
        settings = RealSenseSettings(recording=str(path), real_time=False)
        stamps.append(first_frame(RealSenseDriver(settings, system_time=lambda: 1e9)).stamp_ns)
    assert stamps[0] == 1_000_000_000_000_000_000
    assert stamps[0] - stamps[1] == pytest.approx(12_000_000, abs=1000)


def test_stamps_in_system_time_are_mapped_too_when_they_are_of_another_day(tmp_path: Path) -> None:
    camera = replace(CAMERA, domain="system_time")
    write_recording(tmp_path / "a.db3", instants(camera, [1, 2]), camera)
    driver = RealSenseDriver(
        RealSenseSettings(recording=str(tmp_path / "a.db3"), real_time=False), system_time=lambda: 1e9
    )
    assert first_frame(driver).stamp_ns == 1_000_000_000_000_000_000
    assert driver.facts()["clock"].startswith("recording, offset +99999")


def test_a_recording_can_be_played_again_by_the_same_driver(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.db3", instants(CAMERA, [1, 2, 3]))
    driver = RealSenseDriver(RealSenseSettings(recording=str(tmp_path / "a.db3"), real_time=False))
    complete = 0
    for _ in range(40):
        numbers = [frame.number for frame in played_once(driver)]
        assert numbers == [1, 2, 3][3 - len(numbers) :]
        complete += len(numbers) == 3
        if complete == 2:
            break
    assert complete == 2
    # Where the count begins anew, nothing was missed.
    assert driver.facts()["colour frames missed"] == "0"
    with pytest.raises(CameraError, match="not open"):
        driver.read(0.1)


def test_frames_outlive_the_camera_and_cannot_be_changed(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.db3", written := instants(CAMERA, range(1, 30)))
    _, frames = played(tmp_path / "a.db3", range(1, 30))
    np.testing.assert_array_equal(frames[0].rgb, written[0].rgb)
    with pytest.raises(ValueError, match="read-only"):
        frames[0].rgb[0, 0, 0] = 1


def test_recordings_that_cannot_be_played_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "junk.db3").write_bytes(b"no database" * 100)
    with pytest.raises(CameraError, match=r"expected a recording at .*there is none"):
        RealSenseDriver(RealSenseSettings(recording=str(tmp_path / "none.db3"))).open()
    with pytest.raises(CameraError, match=r"junk\.db3 cannot be played"):
        RealSenseDriver(RealSenseSettings(recording=str(tmp_path / "junk.db3"))).open()
    with pytest.raises(CameraError, match="no hardware that could be reset"):
        RealSenseDriver(RealSenseSettings(recording=str(tmp_path / "junk.db3"))).reset()


def test_without_a_camera_the_reason_is_said() -> None:
    # A serial number no device has, so that the test says the same where a camera is plugged in.
    with pytest.raises(CameraError, match="no RealSense camera with serial number x"):
        RealSenseDriver(RealSenseSettings(serial="x")).open()


def test_the_device_is_chosen_by_its_serial_number() -> None:
    assert choose_serial(["1"], "") == "1"
    assert choose_serial(["1", "2"], "2") == "2"
    with pytest.raises(CameraError, match="no RealSense camera; plug one in"):
        choose_serial([], "")
    with pytest.raises(CameraError, match="several RealSense cameras: 1, 2; name one"):
        choose_serial(["1", "2"], "")
    with pytest.raises(CameraError, match="serial number 3; there is: 1, 2"):
        choose_serial(["1", "2"], "3")


def test_profiles_are_read_from_text() -> None:
    assert StreamProfile.parse("848x480x30") == StreamProfile(848, 480, 30)
    assert str(StreamProfile.parse("640, 480, 15")) == "640x480x15"
    for text in ("", "640x480", "640x480x0", "axbxc", "-1x2x3", "640x480x30x1"):
        with pytest.raises(CameraError, match="expected a stream profile like"):
            StreamProfile.parse(text)


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    write_recording(tmp_path / "a.db3", instants(CAMERA, [1]))
    for name in ("a.db3", "b.bag"):
        with pytest.raises(CameraError, match=r"expected the name of a new \.db3 file"):
            RecordingWriter(tmp_path / name, CAMERA)


def test_pictures_of_the_wrong_size_are_not_recorded(tmp_path: Path) -> None:
    with (
        RecordingWriter(tmp_path / "a.db3", CAMERA) as writer,
        pytest.raises(CameraError, match="expected a picture of 128 x 192 pixels of 2 bytes"),
    ):
        writer.write(picture(CAMERA.colour, 1), wall(CAMERA.colour, 1), 1.0, 1)
