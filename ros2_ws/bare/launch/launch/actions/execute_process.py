"""Processes given by their command line."""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from ..launch_context import LaunchContext
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution
from ..substitutions import LaunchConfiguration
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions
from .execute_local import ExecuteLocal, PreparedProcess

_numbers = itertools.count(1)

_Variables = Mapping[SomeSubstitutionsType, SomeSubstitutionsType]


class ExecuteProcess(ExecuteLocal):
    """Runs a command.

    Args:
        cmd: the program and its arguments; each is text, a substitution or a list of both.
        prefix: what to put before the command (`gdb --args`), by default the configuration `launch-prefix`.
        name: what the process is called in the log, by default the program's file name.
        cwd: working directory.
        env: the whole environment, by default the launch's.
        additional_env: variables to add to it.
        **kwargs: see ExecuteLocal.
    """

    def __init__(
        self,
        *,
        cmd: Iterable[SomeSubstitutionsType],
        prefix: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: _Variables | None = None,
        additional_env: _Variables | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.__cmd = [normalize_to_list_of_substitutions(part) for part in cmd]
        self.__prefix = normalize_to_list_of_substitutions(
            LaunchConfiguration("launch-prefix", default="") if prefix is None else prefix
        )
        self.__filtered = prefix is None
        self.__label = None if name is None else normalize_to_list_of_substitutions(name)
        self.__cwd = None if cwd is None else normalize_to_list_of_substitutions(cwd)
        self.__env = None if env is None else _normalized(env)
        self.__additional_env = _normalized(additional_env or {})

    @property
    def cmd(self) -> Any:
        """The command: substitutions before execution, text after it."""
        return self.__cmd if self.process_details is None else self.process_details["cmd"]

    def describe(self) -> str:
        """Return a description for people."""
        parts = (" + ".join(one.describe() for one in part) for part in self.__cmd)
        return f"{type(self).__name__}(cmd=[{', '.join(parts)}])"

    def _command(self, context: LaunchContext) -> list[str]:
        """Return program and arguments; for subclasses to extend."""
        return [perform_substitutions(context, part) for part in self.__cmd]

    def _prepare(self, context: LaunchContext) -> PreparedProcess:
        cmd = self._command(context)
        program = os.path.basename(cmd[0])
        wanted = perform_substitutions(context, [LaunchConfiguration("launch-prefix-filter", default="")])
        if not self.__filtered or re.match(wanted, program):
            cmd = shlex.split(perform_substitutions(context, self.__prefix)) + cmd
        label = os.path.basename(cmd[0]) if self.__label is None else perform_substitutions(context, self.__label)
        env = dict(context.environment) if self.__env is None else _performed(context, self.__env)
        env.update(_performed(context, self.__additional_env))
        return PreparedProcess(
            name=f"{label}-{next(_numbers)}",
            cmd=cmd,
            cwd=None if self.__cwd is None else perform_substitutions(context, self.__cwd),
            env=env,
        )


def _normalized(variables: _Variables) -> list[tuple[list[Substitution], list[Substitution]]]:
    return [
        (normalize_to_list_of_substitutions(name), normalize_to_list_of_substitutions(value))
        for name, value in variables.items()
    ]


def _performed(
    context: LaunchContext, variables: Iterable[tuple[list[Substitution], list[Substitution]]]
) -> dict[str, str]:
    return {perform_substitutions(context, name): perform_substitutions(context, value) for name, value in variables}
