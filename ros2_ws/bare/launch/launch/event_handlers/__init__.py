"""What to do when processes start and exit and when the launch ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..event import Event
from ..event_handler import ActionEventHandler, BaseEventHandler, listed
from ..events import IncludeLaunchDescription, Shutdown
from ..events.process import ProcessExited, ProcessStarted
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType

if TYPE_CHECKING:
    from ..actions.execute_local import ExecuteLocal
    from ..launch_context import LaunchContext

__all__ = ["OnIncludeLaunchDescription", "OnProcessExit", "OnProcessStart", "OnShutdown"]


class OnProcessStart(ActionEventHandler):
    """When a process starts: entities, or a callable of (event, context) that returns some."""

    def __init__(
        self,
        *,
        target_action: Callable[[ExecuteLocal], bool] | ExecuteLocal | None = None,
        on_start: SomeEntitiesType | Callable[[ProcessStarted, LaunchContext], Any],
        handle_once: bool = False,
    ) -> None:
        from ..actions.execute_local import ExecuteLocal

        super().__init__(
            event_type=ProcessStarted,
            action_type=ExecuteLocal,
            target_action=target_action,
            response=on_start,
            handle_once=handle_once,
        )


class OnProcessExit(ActionEventHandler):
    """When a process exits: entities, or a callable of (event, context) that returns some."""

    def __init__(
        self,
        *,
        target_action: Callable[[ExecuteLocal], bool] | ExecuteLocal | None = None,
        on_exit: SomeEntitiesType | Callable[[ProcessExited, LaunchContext], Any],
        handle_once: bool = False,
    ) -> None:
        from ..actions.execute_local import ExecuteLocal

        super().__init__(
            event_type=ProcessExited,
            action_type=ExecuteLocal,
            target_action=target_action,
            response=on_exit,
            handle_once=handle_once,
        )


class OnShutdown(BaseEventHandler):
    """When the launch ends: entities, or a callable of (event, context) that returns some."""

    def __init__(
        self,
        *,
        on_shutdown: SomeEntitiesType | Callable[[Shutdown, LaunchContext], Any],
        handle_once: bool = False,
    ) -> None:
        super().__init__(matcher=lambda event: isinstance(event, Shutdown), handle_once=handle_once)
        self.__function = on_shutdown if callable(on_shutdown) else None
        self.__entities = [] if callable(on_shutdown) else listed(on_shutdown)

    def describe(self) -> tuple[str, list[LaunchDescriptionEntity]]:
        """Return a description and the fixed entities."""
        return (super().describe()[0], self.__entities)

    def handle(self, event: Event, context: LaunchContext) -> Any:
        """Return the entities, or what the callable makes of the event."""
        super().handle(event, context)
        if self.__function is None:
            return self.__entities
        assert isinstance(event, Shutdown)
        return self.__function(event, context)


class OnIncludeLaunchDescription(BaseEventHandler):
    """Yields the launch description of an IncludeLaunchDescription event."""

    def __init__(self) -> None:
        super().__init__(matcher=lambda event: isinstance(event, IncludeLaunchDescription))

    def handle(self, event: Event, context: LaunchContext) -> Any:
        """Return the launch description."""
        super().handle(event, context)
        assert isinstance(event, IncludeLaunchDescription)
        return event.launch_description
