"""`ros2 pkg`: list, prefix and executables, from the ament index."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
    get_packages_with_prefixes,
)

from ..verbs import add_verbs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "executables": ("Output a list of package specific executables", _add_executables_arguments, _executables),
            "list": ("Output a list of available packages", _add_no_arguments, _list),
            "prefix": ("Output the prefix path of a package", _add_prefix_arguments, _prefix),
        },
    )


def executable_paths(package_name: str) -> list[Path]:
    """Return the executables of a package, sorted.

    Raises:
        RuntimeError: if there is no such package.
    """
    try:
        folder = Path(get_package_prefix(package_name)) / "lib" / package_name
    except (PackageNotFoundError, ValueError) as error:
        raise RuntimeError(f"Package '{package_name}' not found; see `ros2 pkg list`") from error
    return sorted(path for path in folder.rglob("*") if path.is_file() and os.access(path, os.X_OK))


def _add_no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def _list(args: argparse.Namespace) -> None:
    for name in sorted(get_packages_with_prefixes()):
        print(name)


def _add_prefix_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package_name", help="The package name")
    parser.add_argument("--share", action="store_true", help="Show share directory for the package")


def _prefix(args: argparse.Namespace) -> str | None:
    try:
        print((get_package_share_directory if args.share else get_package_prefix)(args.package_name))
    except (PackageNotFoundError, ValueError):
        return f"Package not found: '{args.package_name}'; see `ros2 pkg list`"
    return None


def _add_executables_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package_name", nargs="?", help="The package name")
    parser.add_argument("--full-path", action="store_true", help="Show full path of each executable")


def _executables(args: argparse.Namespace) -> None:
    names = [args.package_name] if args.package_name is not None else sorted(get_packages_with_prefixes())
    for name in names:
        for path in executable_paths(name):
            print(path if args.full_path else f"{name} {path.name}")
