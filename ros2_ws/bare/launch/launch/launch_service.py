"""The service that runs launch descriptions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from .event import Event
from .event_handlers import OnIncludeLaunchDescription, OnShutdown
from .events import IncludeLaunchDescription, Shutdown
from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .launch_description_entity import LaunchDescriptionEntity
from .logging import get_logger, launch_config, log_launch_config
from .utilities import visit_all_entities_and_collect_futures


class LaunchService:
    """Visits launch descriptions and looks after what they start, until all of it has ended.

    SIGINT, SIGTERM, SIGQUIT and SIGHUP stop every process and end the run with return code 0.

    Args:
        argv: launch arguments as given on the command line, for `context.argv`.
        noninteractive: whether there is no terminal, for `context.noninteractive`.
        debug: whether to log tracebacks and details.
    """

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False, debug: bool = False) -> None:
        launch_config.level = logging.DEBUG if debug else logging.INFO
        self.__logger = get_logger("launch")
        self.__context = LaunchContext(argv=argv, noninteractive=noninteractive)
        self.__context.register_event_handler(OnIncludeLaunchDescription())
        self.__context.register_event_handler(OnShutdown(on_shutdown=self.__on_shutdown))
        self.__futures: list[asyncio.Future[Any]] = []
        self.__loop: asyncio.AbstractEventLoop | None = None
        self.__thread: threading.Thread | None = None
        self.__lock = threading.RLock()
        self.__shutting_down = False
        self.__interrupted = False

    @property
    def context(self) -> LaunchContext:
        """The context of what this service runs."""
        return self.__context

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop while the service runs, else None."""
        return self.__loop

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        """Visit a launch description, at once if the service runs, else when it does; from any thread."""
        self.emit_event(IncludeLaunchDescription(launch_description))

    def emit_event(self, event: Event) -> None:
        """Queue an event, from any thread."""
        with self.__lock:
            loop = self.__loop
            if loop is None or threading.current_thread() is self.__thread:
                self.__context.emit_event_sync(event)
                return
        asyncio.run_coroutine_threadsafe(self.__context.emit_event(event), loop).result()

    def shutdown(self, force_sync: bool = False) -> None:
        """Stop everything and end the run, from any thread; nothing happens where nothing runs."""
        with self.__lock:
            if self.__loop is not None:
                self.__loop.call_soon_threadsafe(self.__begin_shutdown, "LaunchService.shutdown() called")

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run until shut down, or (by default) idle; return 0, or 1 if an action or event raised.

        Raises:
            RuntimeError: outside the main thread, which signals need, or if the service runs already.
        """
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(self.run_async(shutdown_when_idle=shutdown_when_idle))
        finally:
            loop.close()

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Do as `run` does, in a running loop of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("LaunchService can only be run in the main thread.")
        return_code = 0
        next_event: asyncio.Task[Event] | None = None
        with self.__running(asyncio.get_running_loop()) as loop:
            log_launch_config(logger=self.__logger)
            while True:
                try:
                    queue = self.__context._event_queue
                    idle = not self.__unfinished() and queue.empty() and (next_event is None or not next_event.done())
                    if idle and self.__shutting_down:
                        break
                    if idle and shutdown_when_idle:
                        self.__begin_shutdown("idle")
                        continue
                    if next_event is None:
                        next_event = loop.create_task(queue.get())
                    await asyncio.wait([next_event, *self.__unfinished()], return_when=asyncio.FIRST_COMPLETED)
                    if next_event.done():
                        event, next_event = next_event.result(), None
                        self.__process(event)
                except asyncio.CancelledError:
                    self.__logger.error("run task was canceled")
                    return_code = 1
                    self.__begin_shutdown("run task was canceled")
                except Exception as error:  # noqa: BLE001 launch files may raise anything: stop what runs, report it
                    self.__logger.debug(traceback.format_exc())
                    message = f"Caught exception in launch (see debug for traceback): {error}"
                    self.__logger.error(message)
                    return_code = 1
                    self.__begin_shutdown(message)
            if next_event is not None:
                next_event.cancel()
        return return_code

    def __unfinished(self) -> list[asyncio.Future[Any]]:
        """Return the futures to wait for; raises the exception of one that has failed."""
        waiting = self.__futures + self.__context._completion_futures
        self.__futures = [future for future in waiting if not future.done()]
        self.__context._completion_futures = []
        for future in waiting:
            if future.done() and not future.cancelled():
                error = future.exception()
                if error is not None:
                    raise error
        return self.__futures

    def __process(self, event: Event) -> None:
        self.__logger.debug(f"processing event: '{event}'")
        first_error: Exception | None = None
        for handler in tuple(self.__context._event_handlers):
            if not handler.matches(event):
                continue
            self.__context._push_locals()
            try:
                yielded = handler.handle(event, self.__context)
                for entity in _entities(yielded):
                    found = visit_all_entities_and_collect_futures(entity, self.__context)
                    self.__futures.extend(future for _, future in found)
            except Exception as error:  # noqa: BLE001 the other handlers, which stop processes, must run all the same
                first_error = first_error or error
            finally:
                self.__context._pop_locals()
        if first_error is not None:
            raise first_error

    def __on_shutdown(self, event: Shutdown, context: LaunchContext) -> None:
        self.__shutting_down = True
        self.__context._set_is_shutdown(True)

    def __begin_shutdown(self, reason: str, due_to_sigint: bool = False) -> None:
        if not self.__shutting_down:
            self.__shutting_down = True
            self.__context._set_is_shutdown(True)
            self.__context.emit_event_sync(Shutdown(reason=reason, due_to_sigint=due_to_sigint))

    def __on_signal(self, number: signal.Signals) -> None:
        message = f"user interrupted with {'ctrl-c (SIGINT)' if number == signal.SIGINT else number.name}"
        if self.__interrupted:
            self.__logger.warning(f"{message} again, ignoring...")
            return
        self.__interrupted = True
        self.__logger.warning(message)
        reason = "ctrl-c (SIGINT)" if number == signal.SIGINT else number.name
        self.__begin_shutdown(reason, due_to_sigint=number == signal.SIGINT)

    @contextlib.contextmanager
    def __running(self, loop: asyncio.AbstractEventLoop) -> Iterator[asyncio.AbstractEventLoop]:
        with self.__lock:
            if self.__loop is not None:
                raise RuntimeError("LaunchService cannot be run multiple times concurrently.")
            self.__loop = loop
            self.__thread = threading.current_thread()
            self.__context._set_asyncio_loop(loop)
            # A queue belongs to the loop that first waits for it.
            queue: asyncio.Queue[Event] = asyncio.Queue()
            while not self.__context._event_queue.empty():
                queue.put_nowait(self.__context._event_queue.get_nowait())
            self.__context._event_queue = queue
        handled = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored under nohup
            handled.append(signal.SIGHUP)
        previous = {number: signal.getsignal(number) for number in handled}
        for number in handled:
            loop.add_signal_handler(number, self.__on_signal, number)
        try:
            yield loop
        finally:
            for number, handler in previous.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)
            with self.__lock:
                self.__context._set_asyncio_loop(None)
                self.__loop = self.__thread = None
                self.__shutting_down = self.__interrupted = False
                self.__context._set_is_shutdown(False)


def _entities(yielded: Any) -> list[LaunchDescriptionEntity]:
    found = [] if yielded is None else [yielded] if isinstance(yielded, LaunchDescriptionEntity) else list(yielded)
    for entity in found:
        if not isinstance(entity, LaunchDescriptionEntity):
            raise TypeError(f"an event handler must return actions, it returned {entity!r}")
    return found
