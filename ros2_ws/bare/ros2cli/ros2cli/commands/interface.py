"""`ros2 interface`: show, list and package."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from rosidl_runtime_py import (
    get_action_interfaces,
    get_interface_path,
    get_interfaces,
    get_message_interfaces,
    get_service_interfaces,
)

from ..verbs import add_verbs

_NESTED = re.compile(r"^([A-Za-z]\w*)(?:/([A-Za-z]\w*))?(?:\[[^\]]*\])?\s+\w+")
_PLAIN = {
    *("bool", "byte", "char", "float32", "float64", "string", "wstring"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "list": ("List all interface types available", _add_list_arguments, _list),
            "package": (
                "Output a list of available interface types within one package",
                _add_package_arguments,
                _package,
            ),
            "show": ("Output the interface definition", _add_show_arguments, _show),
        },
    )


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("-m", "--only-msgs", action="store_true", help="Print out only the message types")
    kinds.add_argument("-s", "--only-srvs", action="store_true", help="Print out only the service types")
    kinds.add_argument("-a", "--only-actions", action="store_true", help="Print out only the action types")


def _list(args: argparse.Namespace) -> None:
    for title, wanted, find in (
        ("Messages", not (args.only_srvs or args.only_actions), get_message_interfaces),
        ("Services", not (args.only_msgs or args.only_actions), get_service_interfaces),
        ("Actions", not (args.only_msgs or args.only_srvs), get_action_interfaces),
    ):
        if wanted:
            print(f"{title}:")
            for package, names in sorted(find().items()):
                for name in names:
                    print(f"    {package}/{name}")


def _add_package_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package_name", help="Name of the package (e.g. 'example_interfaces')")


def _package(args: argparse.Namespace) -> None:
    for name in get_interfaces([args.package_name]).get(args.package_name, []):
        print(f"{args.package_name}/{name}")


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("type", help="Show an interface definition (e.g. 'std_msgs/msg/String')")
    comments = parser.add_mutually_exclusive_group()
    comments.add_argument("--all-comments", action="store_true", help="Show comments of nested types too")
    comments.add_argument("--no-comments", action="store_true", help="Show no comments or whitespace")


def _show(args: argparse.Namespace) -> None:
    _print_definition(args.type, 0, not args.no_comments, args.all_comments)


def _print_definition(name: str, indent: int, comments: bool, nested_comments: bool) -> None:
    package = name.split("/")[0]
    for raw in Path(get_interface_path(name)).read_text(encoding="utf-8").splitlines():
        line = raw.rstrip() if comments else _without_comment(raw)
        if line:
            print("\t" * indent + line)
        elif comments:
            print()
        nested = _nested_type(raw, package)
        if nested is not None:
            _print_definition(nested, indent + 1, nested_comments, nested_comments)


def _without_comment(line: str) -> str:
    """Return a line without its comment; a `#` in quotes begins none."""
    quote = ""
    for position, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            return line[:position].rstrip()
    return line.rstrip()


def _nested_type(line: str, package: str) -> str | None:
    found = _NESTED.match(_without_comment(line))
    if found is None or "=" in line.split("#")[0].split('"')[0] or (found[2] is None and found[1] in _PLAIN):
        return None
    return f"{found[1]}/msg/{found[2]}" if found[2] else f"{package}/msg/{found[1]}"
