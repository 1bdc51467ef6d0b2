"""When a camera is opened, given up, reset and tried again: a made-up driver, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vipa_policy.camera.connection import SLICE, Connection, ConnectionSettings, State
from vipa_policy.camera.driver import CameraDescription, CameraFrame, FrameError, RecordingEnded
from vipa_policy.camera.optics import StreamCalibration
from vipa_policy.errors import CameraError

LENS = StreamCalibration(4, 3, np.eye(3), "plumb_bob", (0.0,) * 5)
DESCRIPTION = CameraDescription("Made up", "1", "", "", "", 30.0, LENS, LENS, np.eye(4), 0.001)
FRAME = CameraFrame(np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), np.uint16), 0, 0.0, 1)
SETTINGS = ConnectionSettings(
    first_frame=5.0, silence=1.0, retry_first=0.5, retry_longest=4.0, settled=3.0, reset_after=3, loop=True
)


class Clock:
    """Stands still except where somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        assert 0.0 < seconds <= SLICE
        self.now += seconds


class FakeDriver:
    """A camera that is plugged in, or not, and streams, or not."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plugged = True
        self.outcome: CameraFrame | CameraError | None = FRAME
        self.complaint = ""
        self.is_open = False
        self.opened_at: list[float] = []
        self.resets: list[float] = []
        self.reset_works = True

    def open(self) -> CameraDescription:
        assert not self.is_open, "opened twice"
        self.opened_at.append(self.clock.now)
        if not self.plugged:
            raise CameraError("no RealSense camera")
        self.is_open = True
        return DESCRIPTION

    def read(self, timeout: float) -> CameraFrame | None:
        assert self.is_open
        self.clock.now += timeout / 3 if self.outcome is FRAME else timeout
        if isinstance(self.outcome, CameraError):
            raise self.outcome
        return self.outcome

    def reset(self) -> None:
        assert not self.is_open, "reset while streaming"
        self.resets.append(self.clock.now)
        if not self.reset_works:
            raise CameraError("it does not listen")

    def close(self) -> None:
        self.is_open = False

    def trouble(self) -> str:
        return self.complaint

    def facts(self) -> dict[str, str]:
        return {}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def driver(clock: Clock) -> FakeDriver:
    return FakeDriver(clock)


def connect(driver: FakeDriver, settings: ConnectionSettings = SETTINGS, reset_first: bool = False) -> Connection:
    return Connection(driver, settings, driver.clock, driver.clock.wait, reset_first)


def run(connection: Connection, until: Callable[[], bool], driver: FakeDriver, most: float = 60.0) -> int:
    """Step until a condition holds; returns how many frames came."""
    deadline, frames = driver.clock.now + most, 0
    while not until():
        assert driver.clock.now < deadline, (connection.state, connection.reason)
        before = driver.clock.now
        frames += connection.step() is not None
        assert driver.clock.now - before <= SLICE + 1e-9, "a step took longer than its slice"
    return frames


def run_for(connection: Connection, seconds: float, driver: FakeDriver) -> int:
    end = driver.clock.now + seconds
    return run(connection, lambda: driver.clock.now >= end, driver)


def test_frames_come_from_an_open_camera(driver: FakeDriver) -> None:
    connection = connect(driver)
    assert (connection.state, connection.description) == (State.CLOSED, None)
    assert run_for(connection, 1.0, driver) > 20
    assert (connection.state, connection.reason) == (State.STREAMING, "")
    assert connection.description is DESCRIPTION
    connection.close()
    assert not driver.is_open
    assert (connection.state, connection.description) == (State.CLOSED, None)


def test_without_a_camera_it_is_looked_for_again_ever_more_rarely(driver: FakeDriver) -> None:
    driver.plugged = False
    connection = connect(driver)
    run_for(connection, 20.0, driver)
    assert (connection.state, connection.reason) == (State.WAITING, "no RealSense camera")
    assert 0.0 < connection.next_attempt <= 4.0
    pauses = np.diff(driver.opened_at)
    np.testing.assert_allclose(pauses[:5], [0.5, 1.0, 2.0, 4.0, 4.0], atol=1e-6)
    # What is not there cannot be reset.
    assert driver.resets == []
    driver.plugged = True
    assert run_for(connection, 5.0, driver) > 0
    assert (connection.state, connection.losses, connection.reconnects) == (State.STREAMING, 0, 0)


def test_unplugged_and_plugged_in_again(driver: FakeDriver) -> None:
    connection = connect(driver)
    run_for(connection, 10.0, driver)
    driver.plugged, driver.outcome = False, None
    lost_at = driver.clock.now
    run(connection, lambda: connection.state is State.WAITING, driver)
    assert driver.clock.now - lost_at == pytest.approx(SETTINGS.silence, abs=2 * SLICE)
    assert connection.reason.startswith("no frame for 1 s: nothing comes")
    assert connection.description is None
    assert not driver.is_open
    run_for(connection, 3.0, driver)
    driver.plugged, driver.outcome = True, FRAME
    run(connection, lambda: connection.state is State.STREAMING, driver, SETTINGS.retry_longest + 1.0)
    assert (connection.losses, connection.reconnects, connection.resets) == (1, 1, 0)
    assert connection.last_loss.startswith("no frame for 1 s: nothing comes")


def test_a_camera_lost_with_an_error_is_told_by_it(driver: FakeDriver) -> None:
    connection = connect(driver)
    run_for(connection, 1.0, driver)
    driver.outcome = CameraError("the camera was lost: no such device")
    connection.step()
    assert (connection.state, connection.reason) == (State.WAITING, "the camera was lost: no such device")
    assert not driver.is_open


def test_withheld_frames_count_as_silence_with_the_reason(driver: FakeDriver) -> None:
    connection = connect(driver)
    run_for(connection, 1.0, driver)
    driver.outcome, driver.complaint = None, "depth repeats bit for bit"
    run(connection, lambda: connection.state is State.WAITING, driver)
    assert connection.reason == "no frame for 1 s: depth repeats bit for bit"


def test_an_error_in_one_frame_costs_that_frame_only(driver: FakeDriver) -> None:
    connection = connect(driver)
    run_for(connection, 1.0, driver)
    driver.outcome = FrameError("depth cannot be aligned")
    connection.step()
    assert (connection.state, connection.errors) == (State.STREAMING, 1)
    driver.outcome = FRAME
    assert connection.step() is FRAME
    driver.outcome = FrameError("depth cannot be aligned")
    run(connection, lambda: connection.state is State.WAITING, driver)
    assert connection.reason == "no frame for 1 s: depth cannot be aligned"


def test_the_first_frame_may_take_longer(driver: FakeDriver) -> None:
    driver.outcome = None
    connection = connect(driver)
    run_for(connection, 4.0, driver)
    assert (connection.state, connection.reason) == (State.STARTING, "waiting for the first frame")
    run(connection, lambda: connection.state is State.WAITING, driver, 2.0)
    assert connection.reason.startswith("no first frame for 5 s")
    assert connection.losses == 0


def test_a_camera_that_opens_but_never_streams_is_reset(driver: FakeDriver) -> None:
    driver.outcome = None
    connection = connect(driver)
    run(connection, lambda: bool(driver.resets), driver)
    assert len(driver.opened_at) == 3
    assert connection.resets == 1
    assert connection.reason.startswith("hardware reset (3 attempts in vain, the last one: no first frame for 5 s")
    driver.outcome = FRAME
    run(connection, lambda: connection.state is State.STREAMING, driver)
    assert len(driver.resets) == 1


def test_resets_can_be_ruled_out(driver: FakeDriver) -> None:
    driver.outcome = None
    connection = connect(driver, replace(SETTINGS, reset_after=0))
    run_for(connection, 50.0, driver)
    assert driver.resets == []


def test_a_reset_that_fails_is_told_and_the_camera_tried_again(driver: FakeDriver) -> None:
    driver.reset_works = False
    connection = connect(driver)
    run_for(connection, 1.0, driver)
    connection.request_reset("as asked for by service")
    connection.step()
    assert connection.reason == "hardware reset (as asked for by service): it does not listen"
    assert (connection.resets, connection.state) == (0, State.WAITING)
    run(connection, lambda: connection.state is State.STREAMING, driver)


def test_a_reset_at_the_start_comes_before_anything_else(driver: FakeDriver) -> None:
    connection = connect(driver, reset_first=True)
    run(connection, lambda: connection.state is State.STREAMING, driver)
    assert driver.resets[0] < driver.opened_at[0]
    assert (connection.resets, connection.losses) == (1, 0)


def test_streaming_for_a_while_forgives_earlier_attempts(driver: FakeDriver) -> None:
    connection = connect(driver)
    for _ in range(5):
        run(connection, lambda: connection.state is State.STREAMING, driver)
        run_for(connection, SETTINGS.settled + 1.0, driver)
        driver.outcome = CameraError("lost")
        connection.step()
        assert connection.next_attempt == pytest.approx(SETTINGS.retry_first)
        driver.outcome = FRAME
    assert driver.resets == []


def test_a_camera_lost_again_and_again_is_tried_ever_more_rarely_and_reset(driver: FakeDriver) -> None:
    connection = connect(driver)
    for pause in (0.5, 1.0, 2.0):
        run(connection, lambda: connection.state is State.STREAMING, driver)
        driver.outcome = CameraError("lost")
        connection.step()
        assert connection.next_attempt == pytest.approx(pause)
        driver.outcome = FRAME
    connection.step()
    assert len(driver.resets) == 1


def test_a_recording_begins_again_at_its_end(driver: FakeDriver) -> None:
    connection = connect(driver)
    run_for(connection, 1.0, driver)
    driver.outcome = RecordingEnded("played to its end")
    connection.step()
    driver.outcome = FRAME
    before = driver.clock.now
    run(connection, lambda: connection.state is State.STREAMING, driver)
    assert driver.clock.now - before < 2 * SLICE
    assert connection.losses == 0


def test_a_recording_that_is_not_looped_ends(driver: FakeDriver) -> None:
    connection = connect(driver, replace(SETTINGS, loop=False))
    run_for(connection, 1.0, driver)
    driver.outcome = RecordingEnded("played to its end")
    assert run_for(connection, 20.0, driver) == 0
    assert (connection.state, connection.reason) == (State.ENDED, "played to its end")
    assert len(driver.opened_at) == 1
    assert not driver.is_open


def test_a_recording_without_a_good_frame_is_no_busy_loop(driver: FakeDriver) -> None:
    driver.outcome = RecordingEnded("played to its end")
    connection = connect(driver, replace(SETTINGS, reset_after=0))
    run_for(connection, 20.0, driver)
    assert connection.reason == "played to its end, without a single good frame: it holds none"
    assert len(driver.opened_at) < 10
