"""What is known while a launch runs: configurations, environment, events, locals."""

from __future__ import annotations

import asyncio
import collections
import os
from collections.abc import Iterable, MutableMapping
from typing import Any

from .event import Event
from .event_handler import BaseEventHandler
from .substitution import Substitution


class _Locals:
    """Read-only attribute access to the locals of a context."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__["_values"] = values

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__["_values"]
        if name not in values:
            raise AttributeError(f"context.locals has no '{name}'; it has: {', '.join(sorted(values))}")
        return values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"context.locals is read-only, cannot set '{name}'")


class LaunchContext:
    """Shared by all entities of one running launch.

    `argv` holds the arguments as given on the command line (`name:=value`), `launch_configurations`
    everything that is set, `environment` is the process's own environment.
    """

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False) -> None:
        self.__argv = list(argv) if argv is not None else []
        self.__noninteractive = noninteractive
        self._event_queue: asyncio.Queue[Event] = asyncio.Queue()
        self._event_handlers: collections.deque[BaseEventHandler] = collections.deque()
        self._completion_futures: list[asyncio.Future[Any]] = []
        self.__globals: dict[str, Any] = {}
        self.__locals: dict[str, Any] = {}
        self.__locals_stack: list[dict[str, Any]] = []
        self.__configurations: dict[str, Any] = {}
        self.__configurations_stack: list[dict[str, Any]] = []
        self.__environment_stack: list[dict[str, str]] = []
        self.__environment_at_start = dict(os.environ)
        self.__is_shutdown = False
        self.__asyncio_loop: asyncio.AbstractEventLoop | None = None

    @property
    def argv(self) -> list[str]:
        """The launch arguments as given on the command line."""
        return self.__argv

    @property
    def noninteractive(self) -> bool:
        """Whether the launch was told that it has no terminal."""
        return self.__noninteractive

    @property
    def is_shutdown(self) -> bool:
        """Whether the launch is shutting down."""
        return self.__is_shutdown

    def _set_is_shutdown(self, state: bool) -> None:
        self.__is_shutdown = state

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of the running launch, None when it does not run."""
        return self.__asyncio_loop

    def _set_asyncio_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.__asyncio_loop = loop

    def add_completion_future(self, completion_future: asyncio.Future[Any]) -> None:
        """Keep the launch from being idle until the future is done."""
        self._completion_futures.append(completion_future)

    @property
    def launch_configurations(self) -> dict[str, Any]:
        """The launch configurations in scope, by name."""
        return self.__configurations

    def _push_launch_configurations(self) -> None:
        self.__configurations_stack.append(dict(self.__configurations))

    def _pop_launch_configurations(self) -> None:
        if not self.__configurations_stack:
            raise RuntimeError("no launch configurations to go back to")
        self.__configurations = self.__configurations_stack.pop()

    @property
    def environment(self) -> MutableMapping[str, str]:
        """The environment that processes are started with."""
        return os.environ

    def _push_environment(self) -> None:
        self.__environment_stack.append(dict(os.environ))

    def _pop_environment(self) -> None:
        if not self.__environment_stack:
            raise RuntimeError("no environment to go back to")
        self._set_environment(self.__environment_stack.pop())

    def _reset_environment(self) -> None:
        self._set_environment(self.__environment_at_start)

    @staticmethod
    def _set_environment(wanted: dict[str, str]) -> None:
        os.environ.clear()
        os.environ.update(wanted)

    def extend_globals(self, extensions: dict[str, Any]) -> None:
        """Add to `locals` for good."""
        self.__globals.update(extensions)

    def extend_locals(self, extensions: dict[str, Any]) -> None:
        """Add to `locals` until the handling of the current event ends."""
        self.__locals.update(extensions)

    def _push_locals(self) -> None:
        self.__locals_stack.append(dict(self.__locals))

    def _pop_locals(self) -> None:
        if not self.__locals_stack:
            raise RuntimeError("no locals to go back to")
        self.__locals = self.__locals_stack.pop()

    def get_locals_as_dict(self) -> dict[str, Any]:
        """Return globals and locals in one dict."""
        return {**self.__globals, **self.__locals}

    @property
    def locals(self) -> Any:
        """Globals and locals as attributes, e.g. `context.locals.event`."""
        return _Locals(self.get_locals_as_dict())

    def register_event_handler(self, event_handler: BaseEventHandler, append: bool = False) -> None:
        """Register a handler, before those already there unless `append`."""
        if append:
            self._event_handlers.append(event_handler)
        else:
            self._event_handlers.appendleft(event_handler)

    def unregister_event_handler(self, event_handler: BaseEventHandler) -> None:
        """Forget a handler; ValueError if it is not registered."""
        self._event_handlers.remove(event_handler)

    def would_handle_event(self, event: Event) -> bool:
        """Return whether any handler wants the event."""
        return any(handler.matches(event) for handler in self._event_handlers)

    def emit_event_sync(self, event: Event) -> None:
        """Queue an event from the launch's own thread."""
        self._event_queue.put_nowait(event)

    async def emit_event(self, event: Event) -> None:
        """Queue an event from a coroutine of the launch's loop."""
        await self._event_queue.put(event)

    def perform_substitution(self, substitution: Substitution) -> str:
        """Return the text of a substitution."""
        return substitution.perform(self)
