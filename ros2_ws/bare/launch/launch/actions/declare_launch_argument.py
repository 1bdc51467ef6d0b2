"""Declaration of a launch argument."""

from __future__ import annotations

from collections.abc import Iterable

from ..action import Action
from ..condition import Condition
from ..launch_context import LaunchContext
from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions


class DeclareLaunchArgument(Action):
    """An argument that the command line or an including launch file may give.

    Without a default it must be given; with choices it must be one of them.

    Raises:
        RuntimeError: on construction for empty choices or a default that is none of them; when executed
            for a missing value or one that is no choice.
    """

    def __init__(
        self,
        name: str,
        *,
        default_value: SomeSubstitutionsType | None = None,
        description: str | None = None,
        choices: Iterable[str] | None = None,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        self.__name = name
        self.__choices = None if choices is None else list(choices)
        self.__default_value = None if default_value is None else normalize_to_list_of_substitutions(default_value)
        if self.__choices is not None:
            if not self.__choices:
                raise RuntimeError(f'launch argument "{name}" has an empty list of choices; leave it out for any value')
            if isinstance(default_value, str) and default_value not in self.__choices:
                raise RuntimeError(
                    f'Provided default_value "{default_value}" of launch argument "{name}" '
                    f'is not in provided choices "{self.__choices}".'
                )
        self.__description = self._describe_argument(description)
        # Set by LaunchDescription.get_launch_arguments.
        self._conditionally_included = False

    def _describe_argument(self, description: str | None) -> str:
        if self.__choices is None:
            return "no description given" if description is None else description
        if description is None:
            return f"One of: {self.__choices}"
        return f"{description}{'' if description.endswith('.') else '.'} Valid choices are: {self.__choices}"

    @property
    def name(self) -> str:
        """Name of the argument and of the launch configuration that it sets."""
        return self.__name

    @property
    def default_value(self) -> list[Substitution] | None:
        """The default, None for a required argument."""
        return self.__default_value

    @property
    def description(self) -> str:
        """Description and choices for people."""
        return self.__description

    @property
    def choices(self) -> list[str] | None:
        """The valid values, None for any."""
        return self.__choices

    def describe(self) -> str:
        """Return a description for people."""
        return f"DeclareLaunchArgument({self.name})"

    def execute(self, context: LaunchContext) -> None:
        """Set the configuration to its default where it is not set, and check it."""
        if self.name not in context.launch_configurations:
            if self.default_value is None:
                get_logger(__name__).error(
                    f'Required launch argument "{self.name}" (description: "{self.description}") was not provided'
                )
                raise RuntimeError(f'Required launch argument "{self.name}" was not provided.')
            context.launch_configurations[self.name] = perform_substitutions(context, self.default_value)
        value = context.launch_configurations[self.name]
        if self.__choices is not None and value not in self.__choices:
            message = (
                f'Argument "{self.name}" provided value "{value}" is not valid. Valid options are: {self.__choices}'
            )
            get_logger(__name__).error(message)
            raise RuntimeError(message)
