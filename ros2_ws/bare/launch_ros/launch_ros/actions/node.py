"""ROS nodes as processes of a launch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, SomeSubstitutionsType
from launch.actions import ExecuteProcess
from launch.logging import get_logger
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from .._node_arguments import check_parameters, evaluate_parameters, evaluate_remappings
from ..substitutions import ExecutableInPackage
from ..utilities import make_namespace_absolute, prefix_namespace

_NAMES_IN_CONTEXT = "launch_ros_node_names"


class Node(ExecuteProcess):
    """Runs a ROS node.

    Args:
        executable: name in lib/<package>, or a path if no package is given.
        package: the package.
        name: node name, by default the one in the node's code.
        namespace: namespace, below that of PushROSNamespace unless absolute.
        exec_name: what the process is called in the log, by default the executable's name.
        parameters: list of dicts and paths of YAML files, the last word on a parameter counts.
        remappings: (from, to) pairs.
        ros_arguments: arguments after `--ros-args`.
        arguments: arguments before it.
        **kwargs: see launch.actions.ExecuteProcess.
    """

    UNSPECIFIED_NODE_NAME = "<node_name_unspecified>"
    UNSPECIFIED_NODE_NAMESPACE = "<node_namespace_unspecified>"

    def __init__(
        self,
        *,
        executable: SomeSubstitutionsType,
        package: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        namespace: SomeSubstitutionsType | None = None,
        exec_name: SomeSubstitutionsType | None = None,
        parameters: list[Any] | None = None,
        remappings: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] | None = None,
        ros_arguments: Iterable[SomeSubstitutionsType] | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        program = executable if package is None else ExecutableInPackage(package=package, executable=executable)
        given = list(ros_arguments or [])
        cmd = [program, *(arguments or []), *(["--ros-args", *given] if given else [])]
        super().__init__(cmd=cmd, name=exec_name, **kwargs)
        self.__package = package
        self.__executable = executable
        self.__name = None if name is None else normalize_to_list_of_substitutions(name)
        self.__namespace = None if namespace is None else normalize_to_list_of_substitutions(namespace)
        self.__parameters = [] if parameters is None else check_parameters(parameters)
        self.__remappings = list(remappings or [])
        for rule in self.__remappings:
            if not isinstance(rule, tuple) or len(rule) != 2:
                raise TypeError(f"a remapping is a tuple (from, to), got {rule!r}")
        self.__expanded_name = self.UNSPECIFIED_NODE_NAME
        self.__expanded_namespace = self.UNSPECIFIED_NODE_NAMESPACE
        self.__expanded_remappings: list[tuple[str, str]] = []
        self.__final_name: str | None = None
        self.__temporary_files: list[Path] = []

    @property
    def node_package(self) -> SomeSubstitutionsType | None:
        """The package as given."""
        return self.__package

    @property
    def node_executable(self) -> SomeSubstitutionsType:
        """The executable as given."""
        return self.__executable

    @property
    def node_name(self) -> str:
        """The full name, e.g. `/arm/planner`; RuntimeError before execution."""
        if self.__final_name is None:
            raise RuntimeError("cannot access 'node_name' before executing action")
        return self.__final_name

    @property
    def expanded_node_namespace(self) -> str:
        """The namespace once executed."""
        return self.__expanded_namespace

    @property
    def expanded_remapping_rules(self) -> list[tuple[str, str]]:
        """The remappings once executed."""
        return self.__expanded_remappings

    def is_node_name_fully_specified(self) -> bool:
        """Return whether name and namespace are known to the launch."""
        unknown = (self.UNSPECIFIED_NODE_NAME, self.UNSPECIFIED_NODE_NAMESPACE)
        return not any(part in self.node_name for part in unknown)

    def _command(self, context: LaunchContext) -> list[str]:
        names = self._name_arguments(context)
        parameters = self._parameter_arguments(context)
        self.__expanded_remappings = [
            *context.launch_configurations.get("ros_remaps", []),
            *evaluate_remappings(context, self.__remappings),
        ]
        remappings = [part for source, target in self.__expanded_remappings for part in ("-r", f"{source}:={target}")]
        return [*super()._command(context), "--ros-args", *names, *parameters, *remappings]

    def _name_arguments(self, context: LaunchContext) -> list[str]:
        arguments = []
        if self.__name is not None:
            self.__expanded_name = perform_substitutions(context, self.__name)
            validate_node_name(self.__expanded_name)
            arguments += ["-r", f"__node:={self.__expanded_name}"]
        given = None if self.__namespace is None else perform_substitutions(context, self.__namespace)
        base = context.launch_configurations.get("ros_namespace")
        namespace = make_namespace_absolute(prefix_namespace(base, given))
        if namespace is not None:
            validate_namespace(namespace)
            self.__expanded_namespace = namespace
            arguments += ["-r", f"__ns:={namespace}"]
        self.__final_name = prefix_namespace(self.__expanded_namespace, self.__expanded_name)
        return arguments

    def _parameter_arguments(self, context: LaunchContext) -> list[str]:
        arguments = []
        for name, value in context.launch_configurations.get("global_params", []):
            arguments += ["-p", f"{name}:={_rule(value)}"]
        for parameter in evaluate_parameters(context, self.__parameters):
            if isinstance(parameter, tuple):
                arguments += ["-p", f"{parameter[0]}:={_rule(parameter[1])}"]
                continue
            path = self._written(parameter) if isinstance(parameter, dict) else parameter
            if not path.is_file():
                get_logger(__name__).warning(f"Parameter file path is not a file: {path}")
                continue
            arguments += ["--params-file", str(path)]
        return arguments

    def _written(self, parameters: dict[str, Any]) -> Path:
        owner = self.node_name if self.is_node_name_fully_specified() else "/**"
        with tempfile.NamedTemporaryFile(mode="w", prefix="launch_params_", delete=False, encoding="utf-8") as file:
            yaml.safe_dump({owner: {"ros__parameters": _plain(parameters)}}, file, default_flow_style=False)
        self.__temporary_files.append(Path(file.name))
        return self.__temporary_files[-1]

    def execute(self, context: LaunchContext) -> None:
        """Start the node; warn if the launch has another of its full name."""
        try:
            super().execute(context)
        except BaseException:
            self._remove_temporary_files()
            raise
        future = self.get_asyncio_future()
        if future is None:
            self._remove_temporary_files()
            return
        future.add_done_callback(lambda _: self._remove_temporary_files())
        if self.is_node_name_fully_specified():
            counts = context.get_locals_as_dict().get(_NAMES_IN_CONTEXT, {})
            counts[self.node_name] = counts.get(self.node_name, 0) + 1
            context.extend_globals({_NAMES_IN_CONTEXT: counts})
            if counts[self.node_name] > 1:
                get_logger(self.name).warning(
                    f"there are now at least {counts[self.node_name]} nodes with the name {self.node_name} created "
                    "within this launch context"
                )

    def _remove_temporary_files(self) -> None:
        for path in self.__temporary_files:
            path.unlink(missing_ok=True)
        self.__temporary_files.clear()


class LifecycleNode(Node):
    """A node with managed states; it needs a name and a namespace.

    This subset neither follows its states nor changes them: `ros2 lifecycle` does.
    """

    def __init__(self, *, name: SomeSubstitutionsType, namespace: SomeSubstitutionsType, **kwargs: Any) -> None:
        super().__init__(name=name, namespace=namespace, **kwargs)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _rule(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=2**31)
    return text.removesuffix(f"...{os.linesep}").strip()
