"""`ros2 launch`: a launch file by path, or by package and name."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription, LaunchDescriptionSource, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import get_launch_description_from_python_launch_file

# What launch itself understands without a declaration.
_BUILT_IN = ("emulate_tty", "launch-prefix", "launch-prefix-filter", "sigkill_timeout", "sigterm_timeout")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ros2 launch`."""
    parser.add_argument(
        "-n",
        "--noninteractive",
        default=not sys.stdin.isatty(),
        action="store_true",
        help="Run the launch system non-interactively, with no terminal associated",
    )
    parser.add_argument("-d", "--debug", action="store_true", help="Log more, tracebacks too")
    parser.add_argument(
        "-s", "--show-args", "--show-arguments", action="store_true", help="Show arguments of the launch file"
    )
    parser.add_argument(
        "-a", "--show-all-subprocesses-output", action="store_true", help="Show all output of all launched processes"
    )
    parser.add_argument("--launch-prefix", help="Command to put before all executables (e.g. 'gdb -ex run --args')")
    parser.add_argument("--launch-prefix-filter", help="Regular expression: only executables that match get the prefix")
    parser.add_argument("package_name", help="Name of the ROS package which contains the launch file, or a path")
    parser.add_argument("launch_file_name", nargs="?", help="Name of the launch file")
    parser.add_argument(
        "launch_arguments",
        nargs="*",
        help="Arguments to the launch file; '<name>:=<value>' (for duplicates, last one wins)",
    )
    parser.set_defaults(main=main, parser=parser)


def main(args: argparse.Namespace) -> int | str:
    """Launch, or show the arguments; return 0, 1 or a message."""
    given = list(args.launch_arguments)
    if os.path.isfile(args.package_name):
        path = args.package_name
        if args.launch_file_name is not None:
            given.insert(0, args.launch_file_name)
    else:
        path = _file_in_package(args.package_name, args.launch_file_name)
    if args.launch_prefix is None and args.launch_prefix_filter is not None:
        return "--launch-prefix must be specified if --launch-prefix-filter is provided"
    if args.launch_prefix is not None:
        given.append(f"launch-prefix:={args.launch_prefix}")
    if args.launch_prefix_filter is not None:
        given.append(f"launch-prefix-filter:={args.launch_prefix_filter}")
    if args.show_all_subprocesses_output:
        os.environ["OVERRIDE_LAUNCH_PROCESS_OUTPUT"] = "both"
    arguments = parse_launch_arguments(given)
    try:
        description = get_launch_description_from_python_launch_file(path)
    except Exception as error:
        if args.debug:
            raise
        return f"launch file '{path}' cannot be loaded: {type(error).__name__}: {error} (--debug shows where)"
    if args.show_args:
        print_arguments(description)
        return 0
    check_arguments(description, arguments, path)
    service = LaunchService(argv=given, noninteractive=args.noninteractive, debug=args.debug)
    include = IncludeLaunchDescription(
        LaunchDescriptionSource(description, path, "interpreted python launch file"), launch_arguments=arguments.items()
    )
    service.include_launch_description(LaunchDescription([include]))
    return service.run()


def _file_in_package(package_name: str, file_name: str | None) -> str:
    try:
        share = Path(get_package_share_directory(package_name))
    except (PackageNotFoundError, ValueError) as error:
        what = "no such file, and " if "/" in package_name or package_name.endswith(".py") else ""
        raise RuntimeError(f"{what}Package '{package_name}' not found: {error}") from error
    there = sorted(share.rglob("*.launch.py"))
    if file_name is None:
        raise RuntimeError(
            f"No launch file named: package '{package_name}' has {', '.join(path.name for path in there) or 'none'}"
        )
    found = [path for path in sorted(share.rglob(file_name)) if path.is_file()]
    if not found:
        raise RuntimeError(
            f"file '{file_name}' was not found in the share directory of package '{package_name}' which is at "
            f"'{share}'; launch files there: {', '.join(path.name for path in there) or 'none'}"
        )
    if len(found) > 1:
        raise RuntimeError(
            f"file '{file_name}' was found more than once in the share directory of package '{package_name}': "
            f"[{', '.join(repr(str(path)) for path in found)}]"
        )
    return str(found[0])


def parse_launch_arguments(given: list[str]) -> dict[str, str]:
    """Return `name:=value` arguments by name.

    Raises:
        RuntimeError: for an argument of another form.
    """
    arguments: dict[str, str] = {}
    for argument in given:
        name, separator, value = argument.partition(":=")
        if not separator or not name or not value:
            raise RuntimeError(f"malformed launch argument '{argument}', expected format '<name>:=<value>'")
        arguments[name] = value
    return arguments


def check_arguments(description: LaunchDescription, arguments: dict[str, str], path: str) -> None:
    """Raise RuntimeError for arguments that the launch file does not declare: a misspelt one would do nothing."""
    known = [argument.name for argument in description.get_launch_arguments()]
    unknown = [name for name in arguments if name not in known and name not in _BUILT_IN]
    if unknown:
        raise RuntimeError(
            f"unknown launch argument{'s' if len(unknown) > 1 else ''} {', '.join(repr(name) for name in unknown)}: "
            f"'{os.path.basename(path)}' has {', '.join(known) or 'no arguments'} (--show-args explains them)"
        )


def print_arguments(description: LaunchDescription) -> None:
    """Print the arguments of a launch description with descriptions and defaults."""
    print("Arguments (pass arguments as '<name>:=<value>'):")
    arguments = description.get_launch_arguments()
    for argument in arguments:
        print(f"\n    '{argument.name}':{'*' if argument._conditionally_included else ''}")
        default = ""
        if argument.default_value is not None:
            default = f"\n        (default: {' + '.join(one.describe() for one in argument.default_value)})"
        print(f"        {argument.description}{default}")
    if not arguments:
        print("\n  No arguments.")
    elif any(argument._conditionally_included for argument in arguments):
        print("\n* argument(s) which are only used if specific conditions occur")
