"""Environment variables and executables on the PATH."""

from __future__ import annotations

import shutil

from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .substitution_failure import SubstitutionFailure


class EnvironmentVariable(Substitution):
    """The value of an environment variable of the launch."""

    def __init__(self, name: SomeSubstitutionsType, *, default_value: SomeSubstitutionsType | None = None) -> None:
        self.__name = normalize_to_list_of_substitutions(name)
        self.__default = None if default_value is None else normalize_to_list_of_substitutions(default_value)

    @property
    def name(self) -> list[Substitution]:
        """The name of the variable."""
        return self.__name

    @property
    def default_value(self) -> list[Substitution] | None:
        """What is taken where the variable is not set."""
        return self.__default

    def describe(self) -> str:
        """Return a description for people."""
        return f"EnvVar({' + '.join(one.describe() for one in self.name)})"

    def perform(self, context: LaunchContext) -> str:
        """Return the value, else the default; SubstitutionFailure if there is neither."""
        name = perform_substitutions(context, self.name)
        if name in context.environment:
            return context.environment[name]
        if self.__default is None:
            raise SubstitutionFailure(f"environment variable '{name}' does not exist")
        return perform_substitutions(context, self.__default)


class FindExecutable(Substitution):
    """The path of an executable on the PATH."""

    def __init__(self, *, name: SomeSubstitutionsType) -> None:
        self.__name = normalize_to_list_of_substitutions(name)

    @property
    def name(self) -> list[Substitution]:
        """The name of the executable."""
        return self.__name

    def describe(self) -> str:
        """Return a description for people."""
        return f"FindExec({' + '.join(one.describe() for one in self.name)})"

    def perform(self, context: LaunchContext) -> str:
        """Return the path; SubstitutionFailure if there is none."""
        name = perform_substitutions(context, self.name)
        path = shutil.which(name, path=context.environment.get("PATH"))
        if path is None:
            raise SubstitutionFailure(f"executable '{name}' not found on the PATH")
        return path
