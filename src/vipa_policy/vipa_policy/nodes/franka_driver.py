"""The processes of a Franka arm and its hand as the node has them: started, heard in a thread each, told apart.

Guarded by tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from vipa_policy.franka.child import Child
from vipa_policy.franka.frames import ArmState, Frame, Note

WAITING = 0.1  # s between two looks at whether the process is still there
MOVING = 0.005  # rad/s, commanded, above which an arm moves
SILENCE = 0.5  # s without a state after which a process that said it was ready no longer counts as that


class HeardChild:
    """A process whose frames are handed on in a thread.

    Args:
        module: of the process.
        settings: of the process.
        hear: takes every frame, in the thread.
        lost: takes why the process has gone, in the thread.
    """

    def __init__(
        self, module: str, settings: Mapping[str, Any], hear: Callable[[Frame], None], lost: Callable[[str], None]
    ) -> None:
        self.child = Child(module, settings)
        self._hear, self._lost = hear, lost
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=module, daemon=True)
        self._thread.start()

    def send(self, frame: Frame) -> bool:
        """Send a frame; returns whether that was possible."""
        return self.child.link.send(frame)

    def end(self, last: Frame | None = None) -> bool:
        """End the process, with a last frame to it; returns whether it ended by itself."""
        self._ending = True
        if last is not None:
            self.send(last)
        self._thread.join()
        return self.child.end()

    def _run(self) -> None:
        link = self.child.link
        while not self._ending:
            link.wait(WAITING)
            for frame in link.frames():
                self._hear(frame)
            gone = self.child.gone
            if gone and not self._ending:
                self._lost(gone)
                return


class ArmDriver:
    """What the arm's process said last, and what it was asked; every method may be called from any thread.

    Args:
        settings: of the process.
        note: takes what is to be logged: level ("debug", "info", "warning", "error", "refusal"), text.
        state: takes every state.
    """

    def __init__(
        self, settings: Mapping[str, Any], note: Callable[[str, str], None], state: Callable[[ArmState], None]
    ) -> None:
        self._note, self._on_state = note, state
        self._lock = threading.Lock()
        self._readiness, self._reason = 2, "not connected yet"
        self._recovered = threading.Event()
        self._problem = ""
        self.robot: Mapping[str, Any] | None = None
        self.state: ArmState | None = None
        self.warnings: list[str] = []
        self.last_stop = ""
        self.last_refusal = ""
        self._process = HeardChild("vipa_policy.franka.arm_process", settings, self._hear, self._lose)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.child.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        return bool(self._process.child.gone)

    def status(self, now: float) -> tuple[int, str]:
        """Return readiness, as DriverStatus has it, and why, at ``now`` (s of the monotonic clock)."""
        with self._lock:
            state = self.state
            if self._readiness == 0 and state is not None and now - state.stamp > SILENCE:
                return 2, f"the driver's process has said nothing for {now - state.stamp:.1f} s"
            return self._readiness, self._reason

    def send(self, frame: Frame) -> bool:
        """Send a frame to the process; returns whether that was possible."""
        return self._process.send(frame)

    def recover(self, patience: float) -> str:
        """Ask the process to clear a fault; returns what stands against it, "" where it is cleared."""
        self._recovered.clear()
        if not self.send(Note("recover", {})):
            return "the driver's process cannot be reached"
        if not self._recovered.wait(patience):
            return f"no answer from the driver's process for {patience} s"
        return self._problem

    def end(self) -> bool:
        """Stop the arm and end the process; returns whether it ended by itself."""
        return self._process.end(Note("end", {"reason": "the node is deactivated"}))

    def _hear(self, frame: Frame) -> None:
        if isinstance(frame, ArmState):
            self.state = frame
            self._on_state(frame)
        elif isinstance(frame, Note):
            self._take(frame)

    def _take(self, note: Note) -> None:
        values = note.values
        match note.kind:
            case "status":
                with self._lock:
                    self._readiness, self._reason = int(values["readiness"]), str(values["reason"])
                self._note("warning" if self._readiness else "info", self._reason or "ready: targets are followed")
            case "robot":
                self.robot = values
            case "recovered":
                self._problem = str(values["problem"])
                self._recovered.set()
            case "stopping":
                self.last_stop = str(values["reason"])
                # A stream that ends with the arm at rest is as it should be.
                self._note(
                    "warning" if float(values["speed"]) > MOVING else "debug", f"the arm stops: {self.last_stop}"
                )
            case "refused":
                self.last_refusal = str(values["reason"])
                self._note("refusal", f"target refused: {self.last_refusal}")
            case "warning":
                self.warnings.append(str(values["text"]))
                self._note("warning", str(values["text"]))

    def _lose(self, reason: str) -> None:
        with self._lock:
            self._readiness, self._reason = 2, f"{reason}; driver/recover starts it again"
        self._recovered.set()
        self._note("error", self._reason)


def monotonic_of(stamp_ns: int, ros_now_ns: int) -> float:
    """Return the monotonic time in s of a ROS stamp in ns, given the ROS time now in ns."""
    return time.monotonic() - (ros_now_ns - stamp_ns) * 1e-9
