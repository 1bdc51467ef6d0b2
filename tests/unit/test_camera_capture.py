"""The capture thread around a made-up camera: it hands on, survives what comes, and ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from support.waiting import wait_until

from vipa_policy.camera.capture import Capture
from vipa_policy.camera.connection import Connection, ConnectionSettings, State
from vipa_policy.camera.driver import CameraDescription, CameraFrame
from vipa_policy.camera.optics import StreamCalibration
from vipa_policy.errors import CameraError

LENS = StreamCalibration(4, 3, np.eye(3), "plumb_bob", (0.0,) * 5)
DESCRIPTION = CameraDescription("Made up", "1", "", "", "", 30.0, LENS, LENS, np.eye(4), 0.001)
QUICK = ConnectionSettings(retry_first=0.01, retry_longest=0.02, reset_after=0)


class Paced:
    """A driver with a frame every few ms, and an error wherever a test wants one."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.number = 0
        self.is_open = False

    def open(self) -> CameraDescription:
        self.is_open = True
        return DESCRIPTION

    def read(self, timeout: float) -> CameraFrame | None:
        threading.Event().wait(0.002)
        if self.errors:
            raise self.errors.pop()
        self.number += 1
        return CameraFrame(np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), np.uint16), 0, 0.0, self.number)

    def reset(self) -> None:
        raise CameraError("nothing to reset")

    def close(self) -> None:
        self.is_open = False

    def trouble(self) -> str:
        return ""

    def facts(self) -> dict[str, str]:
        return {}


def capture(driver: Paced, receive: Callable[[CameraDescription, CameraFrame], None]) -> Capture:
    made = Capture(lambda wait: Connection(driver, QUICK, time.monotonic, wait), receive)
    made.start()
    return made


def test_frames_are_handed_on_in_order_until_the_end() -> None:
    driver, numbers = Paced(), list[int]()
    running = capture(driver, lambda description, frame: numbers.append(frame.number))
    wait_until(lambda: len(numbers) >= 5, 10.0, "five frames")
    assert running.end()
    assert numbers == list(range(1, len(numbers) + 1))
    assert not driver.is_open
    assert running.connection.state is State.CLOSED


def test_whatever_a_camera_raises_the_thread_goes_on() -> None:
    driver, numbers = Paced(), list[int]()
    running = capture(driver, lambda description, frame: numbers.append(frame.number))
    for error in (ValueError("odd"), MemoryError(), CameraError("lost")):
        wait_until(lambda: running.connection.state is State.STREAMING, 10.0, "frames before an error")
        seen = len(numbers)
        driver.errors.append(error)
        wait_until(lambda seen=seen: not driver.errors and len(numbers) > seen + 3, 10.0, "frames after an error")  # type: ignore[misc]
    assert running.connection.losses == 3
    assert running.end()


def test_a_receiver_that_fails_is_told_and_tried_again() -> None:
    driver, numbers = Paced(), list[int]()
    reasons = []

    def receive(description: CameraDescription, frame: CameraFrame) -> None:
        if frame.number == 3:
            raise RuntimeError("publisher is gone")
        numbers.append(frame.number)
        reasons.append(running.connection.losses)

    running = capture(driver, receive)
    wait_until(lambda: 10 in numbers, 10.0, "frames after the failure")
    assert 3 not in numbers
    assert reasons[-1] == 1
    assert running.end()


def test_an_end_does_not_wait_for_the_next_attempt() -> None:
    driver = Paced()
    slow = ConnectionSettings(retry_first=1000.0, retry_longest=1000.0)
    running = Capture(lambda wait: Connection(driver, slow, time.monotonic, wait), lambda description, frame: None)
    driver.errors.append(CameraError("lost"))
    running.start()
    wait_until(lambda: running.connection.state is State.WAITING, 10.0, "the loss")
    assert running.end()
