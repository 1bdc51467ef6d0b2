"""One end of the socket between two processes of an arm: packets whole or not at all, never waiting, and the other
end's death noticed.

Guarded by tests/unit/test_franka_link.py.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

from vipa_policy.franka.frames import LARGEST, Frame, FrameError, pack, unpack


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new link; packets keep their boundaries and order."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Link:
    """Sends and receives frames.

    Args:
        end: a connected socket of packets.

    Attributes:
        closed: whether the other end has gone.
        malformed: packets received that were no frames, and the last one's fault.
        dropped: frames not sent because the other end does not read.
    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self.closed = False
        self.malformed = 0
        self.fault = ""
        self.dropped = 0

    def send(self, frame: Frame) -> bool:
        """Send a frame at once; returns False, and drops it, where the other end has gone or does not read."""
        if self.closed:
            return False
        try:
            self._end.send(pack(frame))
        except BlockingIOError:
            self.dropped += 1
            return False
        except OSError:
            self.closed = True
            return False
        return True

    def receive(self) -> Frame | None:
        """Return the next good frame that is there, None where there is none. Malformed packets are counted."""
        while not self.closed:
            try:
                packet = self._end.recv(LARGEST)
            except BlockingIOError:
                return None
            except OSError:
                self.closed = True
                return None
            if not packet:
                self.closed = True
                return None
            try:
                return unpack(packet)
            except FrameError as error:
                self.malformed += 1
                self.fault = str(error)
        return None

    def frames(self, most: int = 64) -> Iterator[Frame]:
        """Return the frames that are there, at most so many."""
        for _ in range(most):
            frame = self.receive()
            if frame is None:
                return
            yield frame

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` s until something can be received, or the other end goes; returns whether it did."""
        if self.closed:
            return True
        return bool(select.select([self._end], [], [], timeout)[0])

    def fileno(self) -> int:
        """Return the socket's descriptor, to be waited for."""
        return self._end.fileno()

    def close(self) -> None:
        """Let the other end know that this one has gone."""
        self.closed = True
        self._end.close()
