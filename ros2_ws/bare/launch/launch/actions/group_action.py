"""Groups of actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..action import Action
from ..condition import Condition
from ..launch_context import LaunchContext
from ..launch_description_entity import LaunchDescriptionEntity
from ..some_substitutions_type import SomeSubstitutionsType
from .set_launch_configuration import (
    PopEnvironment,
    PopLaunchConfigurations,
    PushEnvironment,
    PushLaunchConfigurations,
    ResetEnvironment,
    ResetLaunchConfigurations,
    SetLaunchConfiguration,
)


class GroupAction(Action):
    """Actions under one condition, and in a scope of configurations and environment of their own.

    With `scoped=False` what they set stays set; with `forwarding=False` they begin with the given
    configurations only, and the environment that the launch began with.
    """

    def __init__(
        self,
        actions: Iterable[Action],
        *,
        scoped: bool = True,
        forwarding: bool = True,
        launch_configurations: Mapping[SomeSubstitutionsType, SomeSubstitutionsType] | None = None,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        self.__actions = list(actions)
        self.__scoped = scoped
        self.__forwarding = forwarding
        self.__launch_configurations = dict(launch_configurations or {})

    def get_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the actions with what opens and closes their scope."""
        settings = [SetLaunchConfiguration(name, value) for name, value in self.__launch_configurations.items()]
        if not self.__scoped:
            return [*settings, *self.__actions]
        resets = [ResetEnvironment(), ResetLaunchConfigurations(self.__launch_configurations)]
        return [
            PushLaunchConfigurations(),
            PushEnvironment(),
            *(settings if self.__forwarding else resets),
            *self.__actions,
            PopEnvironment(),
            PopLaunchConfigurations(),
        ]

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Yield the actions."""
        return self.get_sub_entities()
