"""Settings for all nodes that follow in the scope."""

from __future__ import annotations

from typing import Any

from launch import Action, Condition, LaunchContext, SomeSubstitutionsType, Substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace

from .._node_arguments import evaluate_parameter_dict
from ..utilities import make_namespace_absolute, prefix_namespace


class PushROSNamespace(Action):
    """Puts the nodes that follow below a namespace, until the scope of a GroupAction ends."""

    def __init__(self, namespace: SomeSubstitutionsType, *, condition: Condition | None = None) -> None:
        super().__init__(condition=condition)
        self.__namespace = normalize_to_list_of_substitutions(namespace)

    @property
    def namespace(self) -> list[Substitution]:
        """The namespace."""
        return self.__namespace

    def execute(self, context: LaunchContext) -> None:
        """Set the namespace; SubstitutionFailure if it is not valid."""
        pushed = perform_substitutions(context, self.__namespace)
        previous = context.launch_configurations.get("ros_namespace")
        namespace = make_namespace_absolute(prefix_namespace(previous, pushed)) or "/"
        try:
            validate_namespace(namespace)
        except InvalidNamespaceException as error:
            raise SubstitutionFailure(
                f"The resulting namespace is invalid: [previous_namespace='{previous}', pushed_namespace='{pushed}']"
            ) from error
        context.launch_configurations["ros_namespace"] = namespace


PushRosNamespace = PushROSNamespace


class SetParameter(Action):
    """Sets a parameter of the nodes that follow, until the scope of a GroupAction ends."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, *, condition: Condition | None = None) -> None:
        super().__init__(condition=condition)
        self.__name = normalize_to_list_of_substitutions(name)
        self.__value = value

    @property
    def name(self) -> list[Substitution]:
        """The name."""
        return self.__name

    @property
    def value(self) -> Any:
        """The value as given."""
        return self.__value

    def execute(self, context: LaunchContext) -> None:
        """Set the parameter."""
        found = evaluate_parameter_dict(context, {tuple(self.__name): self.__value})
        before = context.launch_configurations.get("global_params", [])
        # A new list: one that is extended in place would outlive the scope.
        context.launch_configurations["global_params"] = [*before, *found.items()]
