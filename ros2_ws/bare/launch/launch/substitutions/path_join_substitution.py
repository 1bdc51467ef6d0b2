"""Paths put together from parts, and the path of the launch file."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..launch_context import LaunchContext
from ..substitution import Substitution
from ..utilities import normalize_to_list_of_substitutions
from .substitution_failure import SubstitutionFailure


class PathJoinSubstitution(Substitution):
    """The parts joined as by os.path.join; each part is text or one substitution."""

    def __init__(self, substitutions: Iterable[str | Substitution]) -> None:
        self.__substitutions = normalize_to_list_of_substitutions(substitutions)

    @property
    def substitutions(self) -> list[Substitution]:
        """The parts."""
        return self.__substitutions

    def describe(self) -> str:
        """Return a description for people."""
        return f"PathJoin('{' + '.join(one.describe() for one in self.substitutions)}')"

    def perform(self, context: LaunchContext) -> str:
        """Return the joined path."""
        return os.path.join(*(context.perform_substitution(one) for one in self.substitutions))


class ThisLaunchFile(Substitution):
    """The path of the launch file that is being visited."""

    _local = "current_launch_file_path"

    def describe(self) -> str:
        """Return a description for people."""
        return f"{type(self).__name__}()"

    def perform(self, context: LaunchContext) -> str:
        """Return the path; SubstitutionFailure outside launch files."""
        known = context.get_locals_as_dict()
        if self._local not in known:
            raise SubstitutionFailure(f"{type(self).__name__} used outside of a launch file")
        return known[self._local]


class ThisLaunchFileDir(ThisLaunchFile):
    """The directory of the launch file that is being visited."""

    _local = "current_launch_file_directory"
