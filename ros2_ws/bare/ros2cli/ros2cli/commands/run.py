"""`ros2 run`: an executable of a package."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from .pkg import executable_paths


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ros2 run`."""
    parser.add_argument("--prefix", help="Command to put before the executable (e.g. --prefix 'gdb -ex run --args')")
    parser.add_argument("package_name", help="Name of the ROS package")
    parser.add_argument("executable_name", help="Name of the executable")
    parser.add_argument("argv", nargs=argparse.REMAINDER, help="Pass arbitrary arguments to the executable")
    parser.set_defaults(main=main, parser=parser)


def main(args: argparse.Namespace) -> str:
    """Become the executable: signals then reach it, and nothing is left behind when it is stopped."""
    found = [path for path in executable_paths(args.package_name) if path.name == args.executable_name]
    if not found:
        there = ", ".join(path.name for path in executable_paths(args.package_name)) or "none"
        return f"No executable found: package '{args.package_name}' has no '{args.executable_name}'. It has: {there}"
    if len(found) > 1:
        return "Multiple executables found:" + "".join(f"\n- {path}" for path in found)
    command = [*shlex.split(args.prefix or ""), str(found[0]), *args.argv]
    sys.stdout.flush()
    os.execvp(command[0], command)
