"""The thread a camera is read in: the single place where frames leave it.

Guarded by tests/unit/test_camera_capture.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from vipa_policy.camera.connection import Connection
from vipa_policy.camera.driver import CameraDescription, CameraFrame


class Capture:
    """Steps a connection in a thread of its own until it is ended.

    Args:
        make: makes the connection of a function that waits at most so many s, shorter where the capture ends.
        receive: is given every frame with the description of its camera, in the capture's thread.
    """

    def __init__(
        self,
        make: Callable[[Callable[[float], object]], Connection],
        receive: Callable[[CameraDescription, CameraFrame], None],
    ) -> None:
        self._ending = threading.Event()
        self.connection = make(self._ending.wait)
        self._receive = receive
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, timeout: float = 3.0) -> bool:
        """End, letting the camera go; returns whether that was done within ``timeout`` s. No frame comes afterwards."""
        self._ending.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                frame = self.connection.step()
                description = self.connection.description
                if frame is not None and description is not None and not self._ending.is_set():
                    self._receive(description, frame)
            except Exception as error:  # noqa: BLE001 (whatever it is, the camera goes on)
                self.connection.lose(f"unexpected {type(error).__name__}: {error}")
        self.connection.close()
