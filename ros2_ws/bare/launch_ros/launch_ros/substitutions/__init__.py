"""Packages and their executables, found in the ament index."""

from __future__ import annotations

import os
import shutil

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch import LaunchContext, SomeSubstitutionsType, Substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

__all__ = ["ExecutableInPackage", "FindPackage", "FindPackagePrefix", "FindPackageShare"]


class FindPackage(Substitution):
    """Base of the substitutions about a package; subclasses override `find`."""

    def __init__(self, package: SomeSubstitutionsType) -> None:
        self.__package = normalize_to_list_of_substitutions(package)

    @property
    def package(self) -> list[Substitution]:
        """The package's name."""
        return self.__package

    def find(self, package_name: str) -> str:
        """Return a directory of the package; PackageNotFoundError if there is no such package."""
        raise NotImplementedError(f"{type(self).__name__} does not override find()")

    def describe(self) -> str:
        """Return a description for people."""
        return f"{type(self).__name__}(pkg={' + '.join(one.describe() for one in self.package)})"

    def perform(self, context: LaunchContext) -> str:
        """Return the directory."""
        return self.find(perform_substitutions(context, self.package))


class FindPackagePrefix(FindPackage):
    """The prefix that a package is installed under."""

    def find(self, package_name: str) -> str:
        """Return the prefix."""
        return get_package_prefix(package_name)


class FindPackageShare(FindPackage):
    """The share directory of a package."""

    def find(self, package_name: str) -> str:
        """Return the share directory."""
        return get_package_share_directory(package_name)


class ExecutableInPackage(FindPackagePrefix):
    """The path of an executable in lib/<package>."""

    def __init__(self, executable: SomeSubstitutionsType, package: SomeSubstitutionsType) -> None:
        super().__init__(package)
        self.__executable = normalize_to_list_of_substitutions(executable)

    @property
    def executable(self) -> list[Substitution]:
        """The executable's name."""
        return self.__executable

    def describe(self) -> str:
        """Return a description for people."""
        executable = " + ".join(one.describe() for one in self.executable)
        return f"ExecInPkg(pkg={' + '.join(one.describe() for one in self.package)}, exec={executable})"

    def perform(self, context: LaunchContext) -> str:
        """Return the path; SubstitutionFailure if the package has no such executable."""
        executable = perform_substitutions(context, self.executable)
        package = perform_substitutions(context, self.package)
        libexec = os.path.join(super().perform(context), "lib", package)
        if not os.path.isdir(libexec):
            raise SubstitutionFailure(f"package '{package}' has no executables: directory '{libexec}' does not exist")
        path = shutil.which(executable, path=libexec)
        if path is None:
            there = ", ".join(sorted(os.listdir(libexec))) or "nothing"
            raise SubstitutionFailure(
                f"executable '{executable}' not found on the libexec directory '{libexec}', which holds: {there}"
            )
        return path
