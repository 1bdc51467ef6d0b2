"""Keeps a camera connected: opens it, notices that it was lost, tries again. The single place that decides when.

A state machine over a ``Driver``, with the clock given from outside. Nothing a camera does raises out of it.
Guarded by tests/unit/test_camera_connection.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from vipa_policy.camera.driver import CameraDescription, CameraFrame, Driver, FrameError, RecordingEnded
from vipa_policy.errors import CameraError

SLICE = 0.1  # s, longest single wait: how soon a request to end or to reset is heard


class State(Enum):
    """Where a connection stands."""

    CLOSED = "closed"
    STARTING = "starting"
    STREAMING = "streaming"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True)
class ConnectionSettings:
    """When to give a camera up and when to try again.

    Attributes:
        first_frame: s, longest time from opening to the first frame.
        silence: s without a good frame after which a streaming camera counts as lost.
        retry_first: s until the first new attempt; doubled with every further one.
        retry_longest: s, most that it grows to.
        settled: s of streaming after which attempts are counted anew.
        reset_after: attempts in a row that opened the device in vain before its hardware is reset; 0 never resets.
        loop: begin a recording again at its end.
    """

    first_frame: float = 5.0
    silence: float = 1.0
    retry_first: float = 0.5
    retry_longest: float = 5.0
    settled: float = 3.0
    reset_after: int = 3
    loop: bool = True


class Connection:
    """Hands out frames as long as there are any, and brings the camera back when there are none.

    Args:
        driver: the camera.
        settings: when to act.
        clock: s, of any clock that does not jump.
        wait: waits for s, or shorter.
        reset_first: reset the hardware before it is opened for the first time.
    """

    def __init__(
        self,
        driver: Driver,
        settings: ConnectionSettings,
        clock: Callable[[], float],
        wait: Callable[[float], object],
        reset_first: bool = False,
    ) -> None:
        self._driver, self._settings, self._clock, self._wait = driver, settings, clock, wait
        self.state = State.CLOSED
        self.reason = ""
        """Why there are no frames, "" while there are."""
        self.last_loss = ""
        """Why the camera was lost the last time while it streamed; attempts in vain do not hide it."""
        self.description: CameraDescription | None = None
        """Of the camera that is open, None where none is."""
        self.losses = self.reconnects = self.resets = self.errors = 0
        """Cameras that streamed and were lost; that came back; hardware resets; frames that could not be used."""
        self._retry_at = float("-inf")
        self._attempts = 0
        self._fruitless = 0
        self._opened_at = self._last_frame = 0.0
        self._fruitful = False  # whether a frame came since it was opened
        self._reset_wanted = "as asked for at the start" if reset_first else ""

    def step(self) -> CameraFrame | None:
        """Do the next thing, within about SLICE where the driver keeps its word; returns a frame if one came."""
        if self._reset_wanted:
            self._reset()
        elif self.state in (State.STARTING, State.STREAMING):
            return self._read()
        elif self.state is State.ENDED:
            self._wait(SLICE)
        elif (left := self._retry_at - self._clock()) > 0.0:
            self._wait(min(left, SLICE))
        else:
            self._open()
        return None

    def request_reset(self, why: str) -> None:
        """Have the hardware reset with the next step; may be called from another thread."""
        self._reset_wanted = why

    def lose(self, reason: str) -> None:
        """Close the camera for a reason, and try again later."""
        streamed = self.state is State.STREAMING
        settled = streamed and self._clock() - self._opened_at >= self._settings.settled
        opened = self.state in (State.STARTING, State.STREAMING)
        if streamed:
            self.losses, self.last_loss = self.losses + 1, reason
        self._attempts = 1 if settled else self._attempts + 1
        # A device that is not there is no reason to reset one.
        self._fruitless = 0 if settled else self._fruitless + opened
        self._close()
        pause = min(self._settings.retry_first * 2.0 ** (self._attempts - 1), self._settings.retry_longest)
        self.state, self.reason, self._retry_at = State.WAITING, reason, self._clock() + pause
        if 0 < self._settings.reset_after <= self._fruitless:
            self._reset_wanted = f"{self._fruitless} attempts in vain, the last one: {reason}"

    def close(self) -> None:
        """Let the camera go for good."""
        self._close()
        self.state, self.reason = State.CLOSED, "closed"

    @property
    def next_attempt(self) -> float:
        """Seconds until the camera is opened again, 0 where it is open or about to be."""
        return max(0.0, self._retry_at - self._clock()) if self.state is State.WAITING else 0.0

    def _open(self) -> None:
        try:
            self.description = self._driver.open()
        except CameraError as error:
            self.lose(str(error))
            return
        self.state, self.reason = State.STARTING, "waiting for the first frame"
        self._opened_at = self._last_frame = self._clock()
        self._fruitful = False

    def _read(self) -> CameraFrame | None:
        try:
            frame = self._driver.read(SLICE)
        except FrameError as error:
            self.errors += 1
            self._judge_silence(str(error))
            return None
        except RecordingEnded as ending:
            self._end(str(ending))
            return None
        except CameraError as error:
            self.lose(str(error))
            return None
        if frame is None:
            self._judge_silence("")
            return None
        self._last_frame, self._fruitful = self._clock(), True
        if self.state is State.STARTING:
            self.reconnects += self.losses > self.reconnects
            self.state, self.reason = State.STREAMING, ""
        if self._last_frame - self._opened_at >= self._settings.settled:
            self._attempts = self._fruitless = 0
        return frame

    def _judge_silence(self, error: str) -> None:
        starting = self.state is State.STARTING
        patience = self._settings.first_frame if starting else self._settings.silence
        silent = self._clock() - self._last_frame
        if silent > patience:
            cause = error or self._driver.trouble() or "nothing comes; see to cable, power and USB bandwidth"
            self.lose(f"no {'first ' if starting else ''}frame for {patience:g} s: {cause}")

    def _end(self, reason: str) -> None:
        if not self._fruitful:
            self.lose(f"{reason}, without a single good frame: {self._driver.trouble() or 'it holds none'}")
            return
        self._close()
        if not self._settings.loop:
            self.state, self.reason = State.ENDED, reason
            return
        self._open()
        if self.state is State.STARTING:
            # A seam in a recording is no loss.
            self.state, self.reason = State.STREAMING, ""

    def _reset(self) -> None:
        why, self._reset_wanted = self._reset_wanted, ""
        self._fruitless = 0
        self._close()
        try:
            self._driver.reset()
        except CameraError as error:
            self.lose(f"hardware reset ({why}): {error}")
            return
        self.resets += 1
        self.lose(f"hardware reset ({why}); waiting for the camera to come back")

    def _close(self) -> None:
        self._driver.close()
        self.description = None
