"""Child processes of tests: logged, waited for with a bound, and proven gone afterwards."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from support.waiting import wait_until


def session_members(session: int) -> list[tuple[int, str]]:
    """(pid, command line) of every live process in the session, zombies left out."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            state, member_of = fields[0], int(fields[3])
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended between listing and reading
        if member_of == session and state not in "ZX":
            members.append((int(folder.name), command))
    return members


class ManagedProcess:
    """A process in a session of its own whose stdout and stderr go to one log file."""

    def __init__(
        self,
        arguments: Sequence[str],
        log_file: Path,
        environment: Mapping[str, str],
        working_directory: Path | None = None,
    ) -> None:
        self.arguments = list(arguments)
        self.log_file = log_file
        with log_file.open("wb") as log:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=working_directory,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, and the id of its group and session."""
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, None while it runs."""
        return self.process.poll()

    @property
    def output(self) -> str:
        """Everything written so far to stdout and stderr."""
        return self.log_file.read_text(errors="replace")

    def _said(self) -> str:
        return f"{self.arguments} (exit status {self.returncode}); its output ends:\n{self.output[-4000:]}"

    def wait_for(self, condition: Callable[[], bool], timeout: float, description: str) -> None:
        """Wait until ``condition()``; AssertionError with the end of the log when that takes too long or it exits."""
        ended_before = False

        def met() -> bool:
            nonlocal ended_before
            if condition():
                return True
            if ended_before:
                raise AssertionError(f"ended before: {description}: {self._said()}")
            ended_before = self.returncode is not None  # look once more: it may have spoken last
            return False

        try:
            wait_until(met, timeout, description)
        except AssertionError as error:
            if "ended before" in str(error):
                raise
            raise AssertionError(f"{error}: {self._said()}") from None

    def wait_for_output(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """Wait until the log holds the regular expression; returns the first match."""
        found: list[re.Match[str]] = []

        def seen() -> bool:
            match = re.search(pattern, self.output, re.MULTILINE)
            if match:
                found.append(match)
            return match is not None

        self.wait_for(seen, timeout, f"output matching {pattern!r}")
        return found[0]

    def wait_for_exit(self, timeout: float = 30.0) -> int:
        """Wait for the end of the process; returns its exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout:g} s: {self._said()}") from None

    def send_signal(self, number: signal.Signals, whole_group: bool = False) -> None:
        """Signal the process, or as a terminal's Ctrl-C does its whole group."""
        if whole_group:
            os.killpg(self.pid, number)
        else:
            self.process.send_signal(number)

    def survivors(self) -> list[tuple[int, str]]:
        """(pid, command line) of what still lives of its session."""
        return session_members(self.pid)

    def stop(self, timeout: float = 20.0) -> None:
        """SIGINT, wait for the end, and prove that nothing of the session survives; else SIGKILL and AssertionError."""
        try:
            if self.returncode is None:
                self.send_signal(signal.SIGINT)
                self.wait_for_exit(timeout)
            wait_until(lambda: not self.survivors(), 5.0, f"the end of every child of {self.arguments}")
        except AssertionError as error:
            left = self.survivors()
            for pid, _ in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait(10.0)
            raise AssertionError(f"{error}\nsurvivors, killed now: {left}\n{self._said()}") from None


class ProcessStarter:
    """Starts managed processes and stops all of them, last started first."""

    def __init__(self, log_folder: Path, environment: Mapping[str, str]) -> None:
        self._log_folder = log_folder
        self._environment = dict(environment)
        self._started: list[ManagedProcess] = []

    def __call__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        working_directory: Path | None = None,
    ) -> ManagedProcess:
        """Start ``arguments`` in the workspace's environment, with ``environment`` added to it."""
        log_file = self._log_folder / f"{len(self._started):02d}-{Path(arguments[0]).name}.log"
        process = ManagedProcess(
            arguments, log_file, {**self._environment, **(environment or {})}, working_directory=working_directory
        )
        self._started.append(process)
        return process

    def stop_all(self) -> None:
        """Stop every process that still runs; one AssertionError naming every complaint."""
        complaints = []
        for process in reversed(self._started):
            try:
                process.stop()
            except AssertionError as error:
                complaints.append(str(error))
        if complaints:
            raise AssertionError("\n\n".join(complaints))
