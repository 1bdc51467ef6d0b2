"""Event handlers: which events, and what to do about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .event import Event
from .launch_description_entity import LaunchDescriptionEntity
from .some_entities_type import SomeEntitiesType

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class BaseEventHandler:
    """Handles the events for which `matcher` is true; `handle_once` forgets it after the first."""

    def __init__(self, *, matcher: Callable[[Event], bool], handle_once: bool = False) -> None:
        self.__matcher = matcher
        self.__handle_once = handle_once

    @property
    def handle_once(self) -> bool:
        """Whether the handler is unregistered after its first event."""
        return self.__handle_once

    def matches(self, event: Event) -> bool:
        """Return whether this handler wants the event."""
        return self.__matcher(event)

    def describe(self) -> tuple[str, list[LaunchDescriptionEntity]]:
        """Return a description and the entities that handling may yield, as far as known."""
        return (f"{type(self).__name__}(handle_once={self.handle_once})", [])

    def handle(self, event: Event, context: LaunchContext) -> Any:
        """Put the event in `context.locals.event`; subclasses return entities to visit."""
        context.extend_locals({"event": event})
        if self.handle_once:
            context.unregister_event_handler(self)
        return None


def listed(entities: SomeEntitiesType | None) -> list[LaunchDescriptionEntity]:
    """Return one entity, several, or None as a list.

    Raises:
        TypeError: if something in it is no entity.
    """
    if entities is None:
        return []
    found = list(entities) if isinstance(entities, Iterable) else [entities]
    for entity in found:
        if not isinstance(entity, LaunchDescriptionEntity):
            raise TypeError(f"expected a LaunchDescriptionEntity (an action), got {entity!r} of {type(entity)}")
    return found


class EventHandler(BaseEventHandler):
    """Yields fixed entities for the events it matches."""

    def __init__(
        self,
        *,
        matcher: Callable[[Event], bool],
        entities: SomeEntitiesType | None = None,
        handle_once: bool = False,
    ) -> None:
        super().__init__(matcher=matcher, handle_once=handle_once)
        self.__entities = listed(entities)

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """The entities given on construction."""
        return self.__entities

    def describe(self) -> tuple[str, list[LaunchDescriptionEntity]]:
        """Return a description and the entities."""
        return (super().describe()[0], self.__entities)

    def handle(self, event: Event, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Return the entities."""
        super().handle(event, context)
        return self.__entities


class ActionEventHandler(BaseEventHandler):
    """For events of an action: the action itself, any that a callable accepts, or (None) all.

    `response` is what to visit, or a callable of (event, context) that returns it.
    """

    def __init__(
        self,
        *,
        event_type: type[Event],
        action_type: type,
        target_action: Any,
        response: Any,
        handle_once: bool = False,
    ) -> None:
        if target_action is not None and not isinstance(target_action, action_type) and not callable(target_action):
            raise TypeError(
                f"target_action must be a {action_type.__name__}, a callable or None, got {type(target_action)}"
            )

        def matcher(event: Event) -> bool:
            if not isinstance(event, event_type):
                return False
            action = getattr(event, "action", None)
            if target_action is None or isinstance(target_action, action_type):
                return target_action is None or action is target_action
            return bool(target_action(action))

        super().__init__(matcher=matcher, handle_once=handle_once)
        self.__function = response if callable(response) else None
        self.__entities = [] if callable(response) else listed(response)

    def describe(self) -> tuple[str, list[LaunchDescriptionEntity]]:
        """Return a description and the fixed entities."""
        return (super().describe()[0], self.__entities)

    def handle(self, event: Event, context: LaunchContext) -> Any:
        """Return the entities, or what the callable makes of the event."""
        super().handle(event, context)
        return self.__entities if self.__function is None else self.__function(event, context)
