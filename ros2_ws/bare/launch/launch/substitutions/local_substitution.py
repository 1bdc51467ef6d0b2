"""Values that exist while an event is handled."""

from __future__ import annotations

from ..launch_context import LaunchContext
from ..substitution import Substitution
from .substitution_failure import SubstitutionFailure


class LocalSubstitution(Substitution):
    """A value in `context.locals`: `event.reason` is the attribute `reason` of the local `event`."""

    def __init__(self, expression: str, description: str | None = None) -> None:
        self.__expression = expression
        self.__description = description

    @property
    def expression(self) -> str:
        """Name of the local, with attributes after dots."""
        return self.__expression

    def describe(self) -> str:
        """Return a description for people."""
        return f"LocalVar('{self.__expression if self.__description is None else self.__description}')"

    def perform(self, context: LaunchContext) -> str:
        """Return the value as text; SubstitutionFailure if it does not exist."""
        value = context.locals
        for name in self.__expression.split("."):
            try:
                value = getattr(value, name)
            except AttributeError as error:
                raise SubstitutionFailure(f"local '{self.__expression}' does not exist now: {error}") from error
        return str(value)
