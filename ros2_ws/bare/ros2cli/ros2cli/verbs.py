"""Verbs of commands, such as `list` of `ros2 topic list`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

AddArguments = Callable[[argparse.ArgumentParser], None]
Main = Callable[[argparse.Namespace], int | str | None]


def add_verbs(parser: argparse.ArgumentParser, verbs: dict[str, tuple[str, AddArguments, Main]]) -> None:
    """Give a command its verbs: for each a description, a function that adds its arguments, and its main function."""
    parser.set_defaults(parser=parser)
    sub_parsers = parser.add_subparsers(title="Verbs", metavar="Call `<verb> -h` for more detailed usage.")
    for name, (description, add_arguments, main) in verbs.items():
        verb_parser = sub_parsers.add_parser(name, help=description, description=description)
        add_arguments(verb_parser)
        verb_parser.set_defaults(main=main, parser=verb_parser)


def positive_float(text: str) -> float:
    """Return a number above zero; for argparse."""
    value = float(text)
    if not value > 0.0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{text}'")
    return value


def whole_number(text: str) -> int:
    """Return a whole number of at least zero; for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got '{text}'")
    return value


def load_yaml(text: str, what: str) -> dict[str, Any]:
    """Return a dictionary from YAML.

    Raises:
        ValueError: if the text is no YAML, or no dictionary.
    """
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"The passed {what} is no YAML: {error}") from error
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ValueError(
            f"The passed {what} needs to be a dictionary in YAML format (such as \"{{data: 'text'}}\"), got '{text}'"
        )
    return values
