"""The base of what a launch description is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class LaunchDescriptionEntity:
    """Something that can be visited while a launch runs, yielding further entities."""

    def visit(self, context: LaunchContext) -> Any:
        """Do the entity's work; return further entities to visit, or None.

        Raises:
            NotImplementedError: if the subclass does not override it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not override visit()")

    def describe(self) -> str:
        """Return a description for people."""
        return repr(self)

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities that a visit always yields, as far as known before the launch runs."""
        return []

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return (condition in words, entities) for what a visit may yield."""
        return []

    def get_asyncio_future(self) -> asyncio.Future[Any] | None:
        """Return what the launch service waits for before it is idle, or None."""
        return None
