"""The base of actions: entities that do something, perhaps under a condition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .condition import Condition
from .launch_context import LaunchContext
from .launch_description_entity import LaunchDescriptionEntity


class Action(LaunchDescriptionEntity):
    """An intention; it is executed when visited, if its condition holds."""

    def __init__(self, *, condition: Condition | None = None) -> None:
        self.__condition = condition

    @property
    def condition(self) -> Condition | None:
        """The condition given on construction."""
        return self.__condition

    def describe(self) -> str:
        """Return a description for people."""
        return f"Action({type(self).__name__})"

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities that executing the action yields, as far as known; for subclasses to override."""
        return []

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the sub-entities of an action without condition."""
        return self.get_sub_entities() if self.condition is None else []

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return the sub-entities of an action with a condition."""
        if self.condition is None:
            return []
        return [(f"Conditionally included by {self.describe()}", self.get_sub_entities())]

    def visit(self, context: LaunchContext) -> Any:
        """Execute the action if its condition holds."""
        if self.__condition is None or self.__condition.evaluate(context):
            return self.execute(context)
        return None

    def execute(self, context: LaunchContext) -> Any:
        """Do what the action is for; return further entities to visit, or None. The base does nothing."""
        return None
