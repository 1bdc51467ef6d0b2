"""Events of processes: started, exited, and requests to signal or stop them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...event import Event

if TYPE_CHECKING:
    from ...actions.execute_local import ExecuteLocal

__all__ = [
    "ProcessExited",
    "ProcessStarted",
    "ProcessTargetedEvent",
    "RunningProcessEvent",
    "ShutdownProcess",
    "SignalProcess",
]


class RunningProcessEvent(Event):
    """Something about one process."""

    name = "launch.events.process.RunningProcessEvent"

    def __init__(
        self,
        *,
        action: ExecuteLocal,
        name: str,
        cmd: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
        pid: int,
    ) -> None:
        self.__action = action
        self.__process_name = name
        self.__cmd = cmd
        self.__cwd = cwd
        self.__env = env
        self.__pid = pid

    @property
    def action(self) -> ExecuteLocal:
        """The action that runs the process."""
        return self.__action

    @property
    def execute_process_action(self) -> ExecuteLocal:
        """The action that runs the process."""
        return self.__action

    @property
    def process_name(self) -> str:
        """The name in the log, e.g. `talker-1`."""
        return self.__process_name

    @property
    def cmd(self) -> list[str]:
        """Command and arguments."""
        return self.__cmd

    @property
    def cwd(self) -> str | None:
        """Working directory, None for the launch's own."""
        return self.__cwd

    @property
    def env(self) -> dict[str, str] | None:
        """The environment of the process."""
        return self.__env

    @property
    def pid(self) -> int:
        """The process id."""
        return self.__pid


class ProcessStarted(RunningProcessEvent):
    """A process has started."""

    name = "launch.events.process.ProcessStarted"


class ProcessExited(RunningProcessEvent):
    """A process has exited."""

    name = "launch.events.process.ProcessExited"

    def __init__(
        self,
        *,
        returncode: int,
        action: ExecuteLocal,
        name: str,
        cmd: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
        pid: int,
    ) -> None:
        super().__init__(action=action, name=name, cmd=cmd, cwd=cwd, env=env, pid=pid)
        self.__returncode = returncode

    @property
    def returncode(self) -> int:
        """The exit code; minus the signal's number if a signal ended the process."""
        return self.__returncode


class ProcessTargetedEvent(Event):
    """A request to the processes whose actions `process_matcher` accepts."""

    name = "launch.events.process.ProcessTargetedEvent"

    def __init__(self, *, process_matcher: Callable[[ExecuteLocal], bool]) -> None:
        self.__process_matcher = process_matcher

    @property
    def process_matcher(self) -> Callable[[ExecuteLocal], bool]:
        """Which actions are meant."""
        return self.__process_matcher


class ShutdownProcess(ProcessTargetedEvent):
    """Stop processes: SIGINT, and what follows if they do not obey."""

    name = "launch.events.process.ShutdownProcess"


class SignalProcess(ProcessTargetedEvent):
    """Send a signal to processes."""

    name = "launch.events.process.SignalProcess"

    def __init__(
        self, *, signal_number: str | signal.Signals | int, process_matcher: Callable[[ExecuteLocal], bool]
    ) -> None:
        super().__init__(process_matcher=process_matcher)
        if isinstance(signal_number, str):
            self.__signal = signal.Signals[signal_number]
        else:
            self.__signal = signal.Signals(signal_number)

    @property
    def signal(self) -> signal.Signals:
        """The signal."""
        return self.__signal

    @property
    def signal_name(self) -> str:
        """The signal's name, e.g. SIGINT."""
        return self.__signal.name
