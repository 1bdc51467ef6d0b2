"""Launch descriptions from Python launch files."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from ..launch_description import LaunchDescription
from ..launch_description_source import LaunchDescriptionSource
from ..some_substitutions_type import SomeSubstitutionsType


class InvalidPythonLaunchFileError(Exception):
    """The file is no Python launch file."""


def load_python_launch_file_as_module(python_launch_file_path: str) -> ModuleType:
    """Run a launch file as a module of its own; raises what the file raises."""
    loader = SourceFileLoader("python_launch_file", python_launch_file_path)
    spec = spec_from_loader(loader.name, loader)
    if spec is None:
        raise RuntimeError(f"cannot load launch file '{python_launch_file_path}'")
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def get_launch_description_from_python_launch_file(python_launch_file_path: str) -> LaunchDescription:
    """Return what `generate_launch_description()` of the file returns.

    Raises:
        InvalidPythonLaunchFileError: if the file has no such function, or it returns something else.
    """
    module = load_python_launch_file_as_module(python_launch_file_path)
    if not hasattr(module, "generate_launch_description"):
        raise InvalidPythonLaunchFileError(
            f"launch file at '{python_launch_file_path}' does not contain the required function "
            "'generate_launch_description()'"
        )
    description = module.generate_launch_description()
    if not isinstance(description, LaunchDescription):
        raise InvalidPythonLaunchFileError(
            f"generate_launch_description() of '{python_launch_file_path}' must return a launch.LaunchDescription, "
            f"it returned {type(description).__name__}"
        )
    return description


class PythonLaunchDescriptionSource(LaunchDescriptionSource):
    """A launch file in Python; the path may hold substitutions."""

    def __init__(self, launch_file_path: SomeSubstitutionsType) -> None:
        super().__init__(None, launch_file_path, "interpreted python launch file")

    def _get_launch_description(self, location: str) -> LaunchDescription:
        return get_launch_description_from_python_launch_file(location)
