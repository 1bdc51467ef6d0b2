"""Actions after a time."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable
from typing import Any

from ..action import Action
from ..condition import Condition
from ..event_handler import EventHandler
from ..events import Shutdown, TimerEvent
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .opaque_function import OpaqueFunction


class TimerAction(Action):
    """Yields actions once, `period` seconds after it is executed, unless cancelled."""

    def __init__(
        self,
        *,
        period: float | SomeSubstitutionsType,
        actions: Iterable[LaunchDescriptionEntity],
        cancel_on_shutdown: bool | SomeSubstitutionsType = True,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        if isinstance(period, str):
            warnings.warn("TimerAction: give 'period' as a float or a substitution, not as text", stacklevel=2)
        self.__period = normalize_to_list_of_substitutions(str(period) if isinstance(period, (int, float)) else period)
        self.__actions = list(actions)
        self.__cancel_on_shutdown = normalize_to_list_of_substitutions(
            str(cancel_on_shutdown) if isinstance(cancel_on_shutdown, bool) else cancel_on_shutdown
        )
        self.__cancelled = False
        self.__handle: asyncio.TimerHandle | None = None
        self.__completed: asyncio.Future[None] | None = None
        self.__locals: dict[str, Any] = {}

    @property
    def actions(self) -> list[LaunchDescriptionEntity]:
        """What is yielded when the time has passed."""
        return self.__actions

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return the actions."""
        return [("the time passes without the timer being cancelled", self.__actions)]

    def cancel(self) -> None:
        """Never yield the actions; no error if they were already."""
        self.__cancelled = True
        if self.__handle is not None:
            self.__handle.cancel()
        self._complete()

    def _complete(self) -> None:
        if self.__completed is not None and not self.__completed.done():
            self.__completed.set_result(None)

    def execute(self, context: LaunchContext) -> None:
        """Start the timer."""
        loop = context.asyncio_loop
        assert loop is not None, "actions are executed by a running LaunchService"
        if self.__cancelled or (context.is_shutdown and self._ends_with_launch(context)):
            return
        period = float(perform_substitutions(context, self.__period))
        self.__completed = loop.create_future()
        self.__locals = context.get_locals_as_dict()

        def fire() -> None:
            context.emit_event_sync(TimerEvent(timer_action=self))
            # Completed only after the event is queued: a launch with work in its queue is not idle.
            self._complete()

        def yield_actions(context: LaunchContext) -> list[LaunchDescriptionEntity]:
            context.extend_locals({name: value for name, value in self.__locals.items() if name != "current_entity"})
            return [] if self.__cancelled else self.__actions

        context.register_event_handler(
            EventHandler(
                matcher=lambda event: isinstance(event, TimerEvent) and event.timer_action is self,
                entities=OpaqueFunction(function=yield_actions),
                handle_once=True,
            )
        )
        if self._ends_with_launch(context):
            context.register_event_handler(
                EventHandler(
                    matcher=lambda event: isinstance(event, Shutdown),
                    entities=OpaqueFunction(function=lambda context: self.cancel()),
                )
            )
        self.__handle = loop.call_later(period, fire)

    def _ends_with_launch(self, context: LaunchContext) -> bool:
        return perform_substitutions(context, self.__cancel_on_shutdown).strip().lower() in ("true", "1")

    def get_asyncio_future(self) -> asyncio.Future[None] | None:
        """Return what is done once the timer has fired or was cancelled."""
        return self.__completed
