"""Actions around events: emit, register and unregister handlers, log, end the launch."""

from __future__ import annotations

from collections.abc import Iterable

from ..action import Action
from ..condition import Condition
from ..event import Event
from ..event_handler import BaseEventHandler
from ..events import Shutdown as ShutdownEvent
from ..events.process import ProcessExited
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions


class EmitEvent(Action):
    """Emits an event."""

    def __init__(self, *, event: Event, condition: Condition | None = None) -> None:
        super().__init__(condition=condition)
        if not isinstance(event, Event):
            raise TypeError(f"EmitEvent expects a launch.Event, got {event!r}")
        self.__event = event

    @property
    def event(self) -> Event:
        """The event."""
        return self.__event

    def execute(self, context: LaunchContext) -> None:
        """Emit it."""
        context.emit_event_sync(self.__event)


class Shutdown(EmitEvent):
    """Ends the launch; as `on_exit` of a process it makes that process required."""

    def __init__(self, *, reason: str = "reason not given", condition: Condition | None = None) -> None:
        super().__init__(event=ShutdownEvent(reason=reason), condition=condition)

    def execute(self, context: LaunchContext) -> None:
        """Say which process was required, if one was, and emit the event."""
        event = context.get_locals_as_dict().get("event")
        if isinstance(event, ProcessExited):
            get_logger("launch").info(f"process[{event.process_name}] was required: shutting down launched system")
        super().execute(context)


class RegisterEventHandler(Action):
    """Registers an event handler, for events after the one that is being handled."""

    def __init__(self, event_handler: BaseEventHandler, *, condition: Condition | None = None) -> None:
        super().__init__(condition=condition)
        self.__event_handler = event_handler

    @property
    def event_handler(self) -> BaseEventHandler:
        """The handler."""
        return self.__event_handler

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return what the handler may yield."""
        text, entities = self.__event_handler.describe()
        return [(text, entities)] if entities else []

    def execute(self, context: LaunchContext) -> None:
        """Register it."""
        context.register_event_handler(self.__event_handler)


class UnregisterEventHandler(Action):
    """Forgets an event handler."""

    def __init__(self, event_handler: BaseEventHandler, *, condition: Condition | None = None) -> None:
        super().__init__(condition=condition)
        self.__event_handler = event_handler

    def execute(self, context: LaunchContext) -> None:
        """Forget it."""
        context.unregister_event_handler(self.__event_handler)


class LogInfo(Action):
    """Logs a line for the user."""

    def __init__(self, *, msg: SomeSubstitutionsType, condition: Condition | None = None) -> None:
        super().__init__(condition=condition)
        self.__msg = normalize_to_list_of_substitutions(msg)

    @property
    def msg(self) -> list[Substitution]:
        """The line."""
        return self.__msg

    def execute(self, context: LaunchContext) -> None:
        """Log it."""
        get_logger("launch.user").info(perform_substitutions(context, self.__msg))
