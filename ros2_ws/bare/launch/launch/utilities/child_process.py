"""Child processes of a launch, each in a process group of its own.

A group of its own is why ctrl-c in a terminal reaches a process once, from the launch, and why what
a process itself started is stopped with it instead of being left behind.
"""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_CHUNK = 65536
_LEFTOVER_POLL_S = 0.05


class ChildProcess:
    """A program that was started; `exited` becomes its return code once all its output was handed on.

    Args:
        loop: the loop that output and exit are reported in.
        command: program and arguments; joined by spaces for a shell.
        cwd: working directory, None for the launch's own.
        env: the whole environment.
        shell: whether a shell is to run the command.
        emulate_tty: whether the program is to find a terminal at its output, so that it does not buffer.
        on_output: called with `stdout` or `stderr` and the bytes that came.
        kill_after_s: how long what the program leaves behind in its group may take to end.

    Raises:
        OSError: if the program cannot be started.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        command: Sequence[str],
        cwd: str | None,
        env: Mapping[str, str],
        shell: bool,
        emulate_tty: bool,
        on_output: Callable[[str, bytes], None],
        kill_after_s: float,
    ) -> None:
        self._loop = loop
        self._on_output = on_output
        self._kill_after_s = kill_after_s
        self.exited: asyncio.Future[int] = loop.create_future()
        pairs = {stream: _terminal() if emulate_tty else os.pipe() for stream in ("stdout", "stderr")}
        try:
            self._process = subprocess.Popen(
                " ".join(command) if shell else list(command),
                stdin=subprocess.PIPE,
                stdout=pairs["stdout"][1],
                stderr=pairs["stderr"][1],
                cwd=cwd,
                env=dict(env),
                shell=shell,
                process_group=0,
            )
        except BaseException:
            for read_end, _ in pairs.values():
                os.close(read_end)
            raise
        finally:
            for _, write_end in pairs.values():
                os.close(write_end)
        self._read_ends = {stream: read_end for stream, (read_end, _) in pairs.items()}
        for stream, read_end in self._read_ends.items():
            os.set_blocking(read_end, False)
            loop.add_reader(read_end, self._read, stream, read_end)
        threading.Thread(target=self._watch, name=f"watch-{self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id, and id of its process group."""
        return self._process.pid

    def send_signal(self, number: int) -> bool:
        """Send a signal to the process and to what it started; False if it is gone already."""
        if self.exited.done():
            return False
        # The process is reaped by _finish only, in this same thread: until then its id is its own.
        os.killpg(self.pid, number)
        return True

    def _watch(self) -> None:
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        try:
            self._loop.call_soon_threadsafe(self._on_exit)
        except RuntimeError:
            # The loop was closed first: nobody is left to tell.
            self._process.wait()

    def _read(self, stream: str, descriptor: int) -> bool:
        """Hand on what there is to read; False at the end and where there is nothing."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            # A terminal whose other end is closed reports an error instead of an end.
            data = b""
        if data:
            self._on_output(stream, data)
            return True
        self._loop.remove_reader(descriptor)
        return False

    def _on_exit(self) -> None:
        for stream, descriptor in self._read_ends.items():
            while self._read(stream, descriptor):
                pass
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._end_leftovers(self._loop.time() + self._kill_after_s)

    def _end_leftovers(self, deadline: float) -> None:
        if not _others_in_group(self.pid):
            self.exited.set_result(self._process.wait())
            return
        os.killpg(self.pid, signal.SIGTERM if self._loop.time() < deadline else signal.SIGKILL)
        self._loop.call_later(_LEFTOVER_POLL_S, self._end_leftovers, deadline)


def _terminal() -> tuple[int, int]:
    read_end, write_end = pty.openpty()
    attributes = termios.tcgetattr(write_end)
    attributes[1] &= ~termios.OPOST  # line ends as the program writes them
    termios.tcsetattr(write_end, termios.TCSANOW, attributes)
    return read_end, write_end


def _others_in_group(group: int) -> bool:
    """Return whether a process other than the group's leader lives in the group."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == group:
            continue
        try:
            # After the name in parentheses: state, parent, process group.
            state, _, process_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it ended while it was looked at
        if int(process_group) == group and state != "Z":
            return True
    return False
