"""Running a process: its start, output, signals, end and respawn."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..action import Action
from ..condition import Condition
from ..conditions import evaluate_condition_expression
from ..event import Event
from ..event_handler import EventHandler
from ..event_handlers import OnProcessExit, OnShutdown
from ..events.process import ProcessExited, ProcessStarted, ShutdownProcess, SignalProcess
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..logging import get_logger, get_output_loggers
from ..some_entities_type import SomeEntitiesType
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..substitutions import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from ..utilities.child_process import ChildProcess


@dataclass(frozen=True)
class PreparedProcess:
    """What is to be run, with all substitutions worked out; `name` is unique in the launch."""

    name: str
    cmd: list[str]
    cwd: str | None
    env: dict[str, str]


class ExecuteLocal(Action):
    """Base of the actions that run a process; subclasses say which in `_prepare`.

    On shutdown the process gets SIGINT, after `sigterm_timeout` seconds SIGTERM, after `sigkill_timeout`
    more SIGKILL. `on_exit` is what to visit when it exits, or a callable of (event, context).
    """

    def __init__(
        self,
        *,
        shell: bool = False,
        sigterm_timeout: SomeSubstitutionsType | None = None,
        sigkill_timeout: SomeSubstitutionsType | None = None,
        emulate_tty: bool = False,
        output: SomeSubstitutionsType | dict[str, Any] = "log",
        output_format: str = "[{this.name}] {line}",
        log_cmd: bool = False,
        on_exit: SomeEntitiesType | Callable[[ProcessExited, LaunchContext], Any] | None = None,
        respawn: bool | SomeSubstitutionsType = False,
        respawn_delay: float | None = None,
        respawn_max_retries: int = -1,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        self.__shell = shell
        self.__timeouts = {
            name: normalize_to_list_of_substitutions(LaunchConfiguration(name, default=5) if given is None else given)
            for name, given in (("sigterm_timeout", sigterm_timeout), ("sigkill_timeout", sigkill_timeout))
        }
        self.__emulate_tty = emulate_tty
        output = os.environ.get("OVERRIDE_LAUNCH_PROCESS_OUTPUT", output)
        self.__output: dict[str, Any] | list[Substitution] = (
            output if isinstance(output, dict) else normalize_to_list_of_substitutions(output)
        )
        self.__output_format = output_format
        self.__log_cmd = log_cmd
        self.__on_exit = on_exit
        self.__respawn = normalize_to_list_of_substitutions(str(respawn) if isinstance(respawn, bool) else respawn)
        self.__respawn_delay = respawn_delay
        self.__respawns_left = respawn_max_retries

        self.__prepared: PreparedProcess | None = None
        self.__child: ChildProcess | None = None
        self.__return_code: int | None = None
        self.__respawns = False
        self.__sigterm_after_s = 0.0
        self.__sigkill_after_s = 0.0
        self.__stopped: asyncio.Future[None] | None = None
        self.__completed: asyncio.Future[None] | None = None
        self.__escalations: list[asyncio.TimerHandle] = []
        self.__partial_lines = {"stdout": b"", "stderr": b""}

    def _prepare(self, context: LaunchContext) -> PreparedProcess:
        raise NotImplementedError(f"{type(self).__name__} does not override _prepare()")

    @property
    def process_details(self) -> dict[str, Any] | None:
        """Name, cmd, cwd, env and (once started) pid; None before execution."""
        if self.__prepared is None:
            return None
        details = {"action": self, **vars(self.__prepared)}
        if self.__child is not None:
            details["pid"] = self.__child.pid
        return details

    @property
    def return_code(self) -> int | None:
        """The return code, None if the process has not exited."""
        return self.__return_code

    @property
    def shell(self) -> bool:
        """Whether a shell runs the command."""
        return self.__shell

    @property
    def name(self) -> Any:
        """The name in the log once executed, e.g. `talker-1`."""
        return None if self.__prepared is None else self.__prepared.name

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return what `on_exit` is known to yield."""
        return list(self.__on_exit) if isinstance(self.__on_exit, list) else []

    def get_asyncio_future(self) -> asyncio.Future[None] | None:
        """Return what is done once the process has exited for good."""
        return self.__completed

    def execute(self, context: LaunchContext) -> None:
        """Start the process, and register what becomes of it.

        Raises:
            RuntimeError: if the action was executed before.
        """
        loop = context.asyncio_loop
        assert loop is not None, "actions are executed by a running LaunchService"
        if self.__prepared is not None:
            raise RuntimeError(f"action of process '{self.name}' executed more than once: {self.describe()}")
        prepared = self.__prepared = self._prepare(context)
        if context.is_shutdown:
            return
        self.__sigterm_after_s = self._seconds(context, "sigterm_timeout")
        self.__sigkill_after_s = self._seconds(context, "sigkill_timeout")
        self.__respawns = evaluate_condition_expression(context, self.__respawn)
        if "emulate_tty" in context.launch_configurations:
            self.__emulate_tty = evaluate_condition_expression(context, [LaunchConfiguration("emulate_tty")])
        output = self.__output if isinstance(self.__output, dict) else perform_substitutions(context, self.__output)
        self.__loggers = dict(zip(("stdout", "stderr"), get_output_loggers(prepared.name, output), strict=True))

        self.__stopped = loop.create_future()
        self.__completed = loop.create_future()
        context.register_event_handler(EventHandlerOf(ShutdownProcess, self.__on_request))
        context.register_event_handler(EventHandlerOf(SignalProcess, self.__on_request))
        context.register_event_handler(OnShutdown(on_shutdown=lambda event, context: self.__stop(loop)))
        if self.__on_exit is not None:
            context.register_event_handler(OnProcessExit(target_action=self, on_exit=self.__on_exit))
        task = loop.create_task(self.__run(context, loop, prepared))
        task.add_done_callback(self.__complete)

    def _seconds(self, context: LaunchContext, name: str) -> float:
        text = perform_substitutions(context, self.__timeouts[name])
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"{name} must be a number of seconds, got '{text}'") from None

    def __complete(self, task: asyncio.Task[None]) -> None:
        assert self.__completed is not None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.__completed.set_exception(error)
        else:
            self.__completed.set_result(None)

    async def __run(self, context: LaunchContext, loop: asyncio.AbstractEventLoop, prepared: PreparedProcess) -> None:
        assert self.__stopped is not None
        while not self.__stopped.done() and not context.is_shutdown:
            if not await self.__run_once(context, loop, prepared):
                return
            if not self.__respawns or self.__respawns_left == 0 or self.__stopped.done():
                return
            self.__respawns_left -= 1
            if self.__respawn_delay:
                await asyncio.wait([self.__stopped], timeout=self.__respawn_delay)

    async def __run_once(
        self, context: LaunchContext, loop: asyncio.AbstractEventLoop, prepared: PreparedProcess
    ) -> bool:
        """Run the process to its end; False if it cannot be started."""
        logger = get_logger(prepared.name)
        command = " ".join(part for part in prepared.cmd if part.strip())
        if self.__log_cmd:
            logger.info(f"process details: cmd='{command}', cwd='{prepared.cwd}', custom_env?=True")
        try:
            child = ChildProcess(
                loop=loop,
                command=prepared.cmd,
                cwd=prepared.cwd,
                env=prepared.env,
                shell=self.__shell,
                emulate_tty=self.__emulate_tty,
                on_output=self.__on_output,
                kill_after_s=self.__sigkill_after_s,
            )
        except (OSError, ValueError) as error:
            logger.error(f"cannot start the process: {error} (cmd '{command}', cwd '{prepared.cwd}')")
            return False
        self.__child = child
        logger.info(f"process started with pid [{child.pid}]")
        details: dict[str, Any] = {"action": self, **vars(prepared), "pid": child.pid}
        context.emit_event_sync(ProcessStarted(**details))
        self.__return_code = await child.exited
        for escalation in self.__escalations:
            escalation.cancel()
        for stream, rest in self.__partial_lines.items():
            if rest:
                self.__on_output(stream, b"\n")
        if self.__return_code == 0:
            logger.info(f"process has finished cleanly [pid {child.pid}]")
        else:
            logger.error(f"process has died [pid {child.pid}, exit code {self.__return_code}, cmd '{command}'].")
        context.emit_event_sync(ProcessExited(returncode=self.__return_code, **details))
        return True

    def __on_output(self, stream: str, data: bytes) -> None:
        *lines, self.__partial_lines[stream] = (self.__partial_lines[stream] + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", errors="replace")
            self.__loggers[stream].info("%s", self.__output_format.format(line=text, this=self))

    def __on_request(self, event: Event, context: LaunchContext) -> None:
        assert isinstance(event, (ShutdownProcess, SignalProcess))
        if not event.process_matcher(self):
            return
        if isinstance(event, SignalProcess):
            self.__send(event.signal)
        elif context.asyncio_loop is not None:
            self.__stop(context.asyncio_loop)

    def __stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to stop the process for good."""
        assert self.__stopped is not None
        if self.__stopped.done():
            return
        self.__stopped.set_result(None)
        if not self.__send(signal.SIGINT):
            return
        total_s = self.__sigterm_after_s + self.__sigkill_after_s
        self.__escalations = [
            loop.call_later(self.__sigterm_after_s, self.__escalate, self.__sigterm_after_s, "SIGINT", "SIGTERM"),
            loop.call_later(total_s, self.__escalate, total_s, "SIGTERM", "SIGKILL"),
        ]

    def __escalate(self, after_s: float, sent: str, wanted: str) -> None:
        get_logger(self.name).error(
            f"process[{self.name}] failed to terminate '{after_s:g}' seconds after receiving '{sent}', "
            f"escalating to '{wanted}'"
        )
        self.__send(signal.Signals[wanted])

    def __send(self, number: signal.Signals) -> bool:
        if self.__child is None or self.__child.exited.done():
            return False
        get_logger(self.name).info(f"sending signal '{number.name}' to process[{self.name}]")
        return self.__child.send_signal(number)


class EventHandlerOf(EventHandler):
    """Calls a function for every event of a type."""

    def __init__(self, event_type: type[Event], function: Callable[[Event, LaunchContext], None]) -> None:
        super().__init__(matcher=lambda event: isinstance(event, event_type))
        self.__function = function

    def handle(self, event: Event, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Call the function."""
        super().handle(event, context)
        self.__function(event, context)
        return []
