"""Setting, forgetting and scoping of launch configurations and environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from ..action import Action
from ..condition import Condition
from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions


class _NamedValueAction(Action):
    def __init__(
        self, name: SomeSubstitutionsType, value: SomeSubstitutionsType, *, condition: Condition | None = None
    ) -> None:
        super().__init__(condition=condition)
        self.__name = normalize_to_list_of_substitutions(name)
        self.__value = normalize_to_list_of_substitutions(value)

    @property
    def name(self) -> list[Substitution]:
        """The name."""
        return self.__name

    @property
    def value(self) -> list[Substitution]:
        """The value."""
        return self.__value


class SetLaunchConfiguration(_NamedValueAction):
    """Sets a launch configuration."""

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        context.launch_configurations[perform_substitutions(context, self.name)] = perform_substitutions(
            context, self.value
        )


class SetEnvironmentVariable(_NamedValueAction):
    """Sets an environment variable of the processes started from here on."""

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        context.environment[perform_substitutions(context, self.name)] = perform_substitutions(context, self.value)


class AppendEnvironmentVariable(Action):
    """Appends to an environment variable, or prepends, with a separator between."""

    def __init__(
        self,
        name: SomeSubstitutionsType,
        value: SomeSubstitutionsType,
        prepend: bool = False,
        separator: SomeSubstitutionsType = ":",
        *,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        self.__name = normalize_to_list_of_substitutions(name)
        self.__value = normalize_to_list_of_substitutions(value)
        self.__separator = normalize_to_list_of_substitutions(separator)
        self.__prepend = prepend

    def execute(self, context: LaunchContext) -> None:
        """Set it."""
        name = perform_substitutions(context, self.__name)
        parts = [perform_substitutions(context, self.__value)]
        if name in context.environment:
            parts.insert(1 if self.__prepend else 0, context.environment[name])
        context.environment[name] = perform_substitutions(context, self.__separator).join(parts)


class UnsetEnvironmentVariable(Action):
    """Removes an environment variable; no error if it is not set."""

    def __init__(self, name: SomeSubstitutionsType, *, condition: Condition | None = None) -> None:
        super().__init__(condition=condition)
        self.__name = normalize_to_list_of_substitutions(name)

    def execute(self, context: LaunchContext) -> None:
        """Remove it."""
        context.environment.pop(perform_substitutions(context, self.__name), None)


class PushLaunchConfigurations(Action):
    """Begins a scope of launch configurations."""

    def execute(self, context: LaunchContext) -> None:
        """Begin the scope."""
        context._push_launch_configurations()


class PopLaunchConfigurations(Action):
    """Ends a scope of launch configurations."""

    def execute(self, context: LaunchContext) -> None:
        """End the scope."""
        context._pop_launch_configurations()


class PushEnvironment(Action):
    """Begins a scope of environment variables."""

    def execute(self, context: LaunchContext) -> None:
        """Begin the scope."""
        context._push_environment()


class PopEnvironment(Action):
    """Ends a scope of environment variables."""

    def execute(self, context: LaunchContext) -> None:
        """End the scope."""
        context._pop_environment()


class ResetEnvironment(Action):
    """Goes back to the environment that the launch began with."""

    def execute(self, context: LaunchContext) -> None:
        """Go back."""
        context._reset_environment()


class ResetLaunchConfigurations(Action):
    """Forgets all launch configurations but the given ones, which are worked out before."""

    def __init__(
        self,
        launch_configurations: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        *,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        self.__kept = launch_configurations or {}

    def execute(self, context: LaunchContext) -> None:
        """Forget them."""
        kept = {
            perform_substitutions(context, normalize_to_list_of_substitutions(name)): perform_substitutions(
                context, normalize_to_list_of_substitutions(value)
            )
            for name, value in self.__kept.items()
        }
        context.launch_configurations.clear()
        context.launch_configurations.update(kept)
