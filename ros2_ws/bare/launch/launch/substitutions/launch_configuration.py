"""The value of a launch configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .substitution_failure import SubstitutionFailure


class LaunchConfiguration(Substitution):
    """The value of a launch argument or configuration; a default that is no text is made text."""

    def __init__(self, variable_name: SomeSubstitutionsType, *, default: Any = None) -> None:
        self.__variable_name = normalize_to_list_of_substitutions(variable_name)
        self.__default: list[Substitution] | None = None
        if default is not None:
            single = isinstance(default, (str, Substitution)) or not isinstance(default, Iterable)
            items = [default] if single else list(default)
            self.__default = normalize_to_list_of_substitutions(
                [item if isinstance(item, (str, Substitution)) else str(item) for item in items]
            )

    @property
    def variable_name(self) -> list[Substitution]:
        """The name of the configuration."""
        return self.__variable_name

    def describe(self) -> str:
        """Return a description for people."""
        return f"LaunchConfig({' + '.join(one.describe() for one in self.variable_name)})"

    def perform(self, context: LaunchContext) -> str:
        """Return the value, else the default.

        Raises:
            SubstitutionFailure: if there is neither.
        """
        name = perform_substitutions(context, self.variable_name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self.__default is None:
            raise SubstitutionFailure(f"launch configuration '{name}' does not exist")
        return perform_substitutions(context, self.__default)
