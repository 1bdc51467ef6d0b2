"""`ros2 topic echo`: messages as YAML."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rosidl_runtime_py import message_to_csv, message_to_yaml
from rosidl_runtime_py.utilities import get_message

from ..graph import absolute, add_graph_arguments, command_node, search_seconds, wait_until
from ..qos import add_qos_arguments, qos_of_publishers
from ..verbs import positive_float, whole_number

_TRUNCATE_LENGTH = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ros2 topic echo`."""
    add_graph_arguments(parser)
    parser.add_argument("topic_name", help="Name of the ROS topic to listen to (e.g. '/chatter')")
    parser.add_argument("message_type", nargs="?", help="Type of the ROS message (e.g. 'std_msgs/msg/String')")
    add_qos_arguments(parser, "subscribe", "sensor_data")
    parser.add_argument("--csv", action="store_true", help="Output all recursive fields separated by commas")
    parser.add_argument("--field", help="Echo a selected field, sub-fields after dots (e.g. 'pose.position')")
    parser.add_argument("-f", "--full-length", action="store_true", help="Output all of long arrays, bytes and strings")
    parser.add_argument(
        "-l",
        "--truncate-length",
        type=whole_number,
        default=_TRUNCATE_LENGTH,
        help=f"Length to truncate arrays, bytes and strings to (default: {_TRUNCATE_LENGTH})",
    )
    parser.add_argument("--no-arr", action="store_true", help="Don't print array fields of messages")
    parser.add_argument("--no-str", action="store_true", help="Don't print string fields of messages")
    parser.add_argument("--flow-style", action="store_true", help="Print collections in one line")
    parser.add_argument("--once", action="store_true", help="Print the first message received and then exit")
    parser.add_argument("--timeout", metavar="N", type=positive_float, help="Exit after N seconds")
    parser.add_argument(
        "--filter", dest="filter_expr", help="Python expression over the message m; others are left out"
    )


def message_type_of(node: Any, topic_name: str, seconds: float | None) -> Any:
    """Return the message class of a topic, waiting for the topic if need be, until interrupted without `seconds`.

    Raises:
        RuntimeError: if the topic does not turn up, has several types, or one that is not installed.
    """
    name = absolute(topic_name)

    def types() -> list[str] | None:
        return dict(node.get_topic_names_and_types()).get(name)

    # Asked for at once and again when what is being discovered has had its chance, so that a topic that is
    # there already brings no warning.
    found = wait_until(node, types, 2.0)
    if not found:
        print(f"WARNING: topic [{topic_name}] does not appear to be published yet", file=sys.stderr)
        found = wait_until(node, types, seconds)
    if not found:
        raise RuntimeError(f"Could not determine the type for the passed topic '{topic_name}': it did not turn up")
    if len(found) > 1:
        raise RuntimeError(f"Cannot use topic '{topic_name}', as it contains more than one type: [{', '.join(found)}]")
    return checked_message_type(found[0])


def checked_message_type(name: str) -> Any:
    """Return a message class by name; RuntimeError if there is no such message."""
    try:
        return get_message(name)
    except (AttributeError, ModuleNotFoundError, ValueError) as error:
        raise RuntimeError(
            f"The passed message type is invalid: '{name}' ({error}). Expected a name like std_msgs/msg/String of an "
            "installed package"
        ) from error


def _printer(args: argparse.Namespace) -> Callable[[Any], bool]:
    """Return the function that prints a message, and returns whether it did."""
    fields = [part for part in (args.field or "").split(".") if part]
    if args.field is not None and not fields:
        raise RuntimeError(f"Invalid field value '{args.field}'")
    options = {
        "truncate_length": None if args.full_length else args.truncate_length,
        "no_arr": args.no_arr,
        "no_str": args.no_str,
    }

    def show(message: Any) -> bool:
        for field in fields:
            if not hasattr(message, field):
                raise RuntimeError(f"Invalid field '{args.field}': {type(message).__name__} has no field '{field}'")
            message = getattr(message, field)
        # The user's own expression on the user's own machine.
        if args.filter_expr is not None and not eval(args.filter_expr, {}, {"m": message}):
            return False
        if not hasattr(message, "get_fields_and_field_types"):
            print(message, end="\n---\n")
        elif args.csv:
            print(message_to_csv(message, **options))
        else:
            print(message_to_yaml(message, flow_style=args.flow_style, **options), end="---\n")
        return True

    return show


def main(args: argparse.Namespace) -> None:
    """Print messages, until interrupted if neither `--once` nor `--timeout` is given."""
    show = _printer(args)
    given_type = None if args.message_type is None else checked_message_type(args.message_type)
    with command_node() as node:
        seconds = args.timeout if args.timeout is not None else args.spin_time
        message_type = given_type or message_type_of(node, args.topic_name, seconds)
        if given_type is not None:
            wait_until(node, lambda: node.count_publishers(args.topic_name), min(1.0, search_seconds(args)))
        printed: list[bool] = []

        def on_message(message: Any) -> None:
            if (not args.once or not printed) and show(message):
                printed.append(True)

        profile = qos_of_publishers(node, args.topic_name, args)
        node.create_subscription(message_type, args.topic_name, on_message, profile)
        wait_until(node, lambda: args.once and bool(printed), args.timeout)
