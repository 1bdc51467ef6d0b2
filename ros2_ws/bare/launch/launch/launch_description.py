"""Launch descriptions: ordered entities, and the arguments found among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .action import Action
from .actions.declare_launch_argument import DeclareLaunchArgument
from .launch_context import LaunchContext
from .launch_description_entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from .actions.include_launch_description import IncludeLaunchDescription


class LaunchDescription(LaunchDescriptionEntity):
    """What `generate_launch_description()` of a launch file returns."""

    def __init__(
        self,
        initial_entities: Iterable[LaunchDescriptionEntity] | None = None,
        *,
        deprecated_reason: str | None = None,
    ) -> None:
        self.__entities = list(initial_entities) if initial_entities is not None else []
        self.__deprecated_reason = deprecated_reason

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """The entities, in order."""
        return self.__entities

    @property
    def deprecated(self) -> bool:
        """Whether a reason for deprecation was given."""
        return self.__deprecated_reason is not None

    @property
    def deprecated_reason(self) -> str | None:
        """The reason for deprecation."""
        return self.__deprecated_reason

    def add_entity(self, entity: LaunchDescriptionEntity) -> None:
        """Append an entity."""
        self.__entities.append(entity)

    def add_action(self, action: Action) -> None:
        """Append an action."""
        self.add_entity(action)

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Yield the entities."""
        if self.__deprecated_reason is not None:
            from .logging import get_logger

            path = context.get_locals_as_dict().get("current_launch_file_path")
            what = f"launch file [{path}] is deprecated" if path else "deprecated launch description"
            get_logger("launch").warning(f"{what}: {self.__deprecated_reason}")
        return self.__entities

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities."""
        return self.__entities

    def get_launch_arguments(self, conditional_inclusion: bool = False) -> list[DeclareLaunchArgument]:
        """Return the declared arguments, those of included launch files too; the first of a name counts."""
        found = self.get_launch_arguments_with_include_launch_description_actions(conditional_inclusion)
        return [argument for argument, _ in found]

    def get_launch_arguments_with_include_launch_description_actions(
        self, conditional_inclusion: bool = False
    ) -> list[tuple[DeclareLaunchArgument, list[IncludeLaunchDescription] | None]]:
        """Return each declared argument with the includes through which it was found (None: none)."""
        from .actions.include_launch_description import IncludeLaunchDescription
        from .actions.set_launch_configuration import ResetLaunchConfigurations

        declared: dict[str, tuple[DeclareLaunchArgument, list[IncludeLaunchDescription] | None]] = {}

        def search(
            entities: Iterable[LaunchDescriptionEntity],
            conditional: bool,
            includes: list[IncludeLaunchDescription] | None,
        ) -> None:
            for entity in entities:
                if isinstance(entity, DeclareLaunchArgument):
                    if entity.name not in declared:
                        entity._conditionally_included = conditional or entity.condition is not None
                        declared[entity.name] = (entity, includes)
                    continue
                if isinstance(entity, ResetLaunchConfigurations):
                    return
                inner = [*(includes or []), entity] if isinstance(entity, IncludeLaunchDescription) else includes
                search(entity.describe_sub_entities(), False, inner)
                for _, sub_entities in entity.describe_conditional_sub_entities():
                    search(sub_entities, True, inner)

        search(self.__entities, conditional_inclusion, None)
        return list(declared.values())
