"""Launch descriptions in launch descriptions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from ..action import Action
from ..condition import Condition
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..launch_description_source import LaunchDescriptionSource
from ..launch_description_sources import PythonLaunchDescriptionSource
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .opaque_function import OpaqueFunction
from .set_launch_configuration import SetLaunchConfiguration

_FILE = "current_launch_file_path"
_DIRECTORY = "current_launch_file_directory"


class IncludeLaunchDescription(Action):
    """Yields another launch description, with arguments set for it.

    The arguments stay set after it, unless a GroupAction around it ends their scope.

    Raises:
        RuntimeError: when executed, if an argument without default is not given.
    """

    def __init__(
        self,
        launch_description_source: LaunchDescriptionSource | SomeSubstitutionsType,
        *,
        launch_arguments: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] | None = None,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        if not isinstance(launch_description_source, LaunchDescriptionSource):
            launch_description_source = PythonLaunchDescriptionSource(launch_description_source)
        self.__source = launch_description_source
        self.__launch_arguments = tuple(launch_arguments or ())

    @property
    def launch_description_source(self) -> LaunchDescriptionSource:
        """Where the launch description comes from."""
        return self.__source

    @property
    def launch_arguments(self) -> tuple[tuple[SomeSubstitutionsType, SomeSubstitutionsType], ...]:
        """The arguments given to it."""
        return self.__launch_arguments

    def describe(self) -> str:
        """Return a description for people."""
        return f"IncludeLaunchDescription({self.__source.location})"

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the launch description, if it can be had before the launch runs."""
        description = self.__source.try_get_launch_description_without_context()
        return [] if description is None else [description]

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Set the arguments and yield the launch description."""
        outer = {name: context.get_locals_as_dict().get(name) for name in (_FILE, _DIRECTORY)}
        description = self.__source.get_launch_description(context)
        context.extend_locals(self._file_locals())

        given = self._argument_names(context)
        for argument, includes in description.get_launch_arguments_with_include_launch_description_actions():
            if argument._conditionally_included or argument.default_value is not None:
                continue
            inner = [
                name for include in includes or [] for name in include._argument_names(LaunchContext(), strict=False)
            ]
            if argument.name not in given + inner:
                raise RuntimeError(
                    f"Included launch description missing required argument '{argument.name}' "
                    f"(description: '{argument.description}'), given: [{', '.join(given)}]"
                )

        def restore(context: LaunchContext) -> None:
            if outer[_FILE] is not None:
                context.extend_locals(outer)

        return [
            *(SetLaunchConfiguration(name, value) for name, value in self.__launch_arguments),
            description,
            OpaqueFunction(function=restore),
        ]

    def _file_locals(self) -> dict[str, Any]:
        location = self.__source.location
        path = os.path.abspath(location)
        return {_FILE: path, _DIRECTORY: os.path.dirname(path) if os.path.exists(path) else location}

    def _argument_names(self, context: LaunchContext, strict: bool = True) -> list[str]:
        """Names of the arguments given; those that only a running launch can name are left out if not strict."""
        names = []
        for name, _ in self.__launch_arguments:
            parts: list[Substitution] = normalize_to_list_of_substitutions(name)
            try:
                names.append(perform_substitutions(context, parts))
            except Exception:
                if strict:
                    raise
        return names
