"""`ros2 topic`: list, info and type here; echo, hz and pub in modules of their own."""

from __future__ import annotations

import argparse
from typing import Any

from ..graph import absolute, add_graph_arguments, command_node, is_hidden, search_seconds, settle, wait_until
from ..verbs import add_verbs
from . import topic_echo, topic_hz, topic_pub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "echo": ("Output messages from a topic", topic_echo.add_arguments, topic_echo.main),
            "hz": ("Print the average receiving rate to screen", topic_hz.add_arguments, topic_hz.main),
            "info": ("Print information about a topic", _add_info_arguments, _info),
            "list": ("Output a list of available topics", _add_list_arguments, _list),
            "pub": ("Publish a message to a topic", topic_pub.add_arguments, topic_pub.main),
            "type": ("Print a topic's type", _add_topic_arguments, _type),
        },
    )


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("-t", "--show-types", action="store_true", help="Additionally show the topic type")
    parser.add_argument(
        "-c", "--count-topics", action="store_true", help="Only display the number of topics discovered"
    )
    parser.add_argument("--include-hidden-topics", action="store_true", help="Consider hidden topics as well")


def _list(args: argparse.Namespace) -> None:
    with command_node() as node:
        settle(node, args.spin_time)
        topics = [
            (name, types)
            for name, types in sorted(node.get_topic_names_and_types())
            if args.include_hidden_topics or not is_hidden(name)
        ]
    if args.count_topics:
        print(len(topics))
        return
    for name, types in topics:
        print(f"{name} [{', '.join(types)}]" if args.show_types else name)


def _add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("topic_name", help="Name of the ROS topic (e.g. '/chatter')")


def _add_info_arguments(parser: argparse.ArgumentParser) -> None:
    _add_topic_arguments(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="Also print node, type hash, GUID and QoS of every endpoint"
    )


def _types(node: Any, args: argparse.Namespace) -> list[str]:
    name = absolute(args.topic_name)
    types = wait_until(node, lambda: dict(node.get_topic_names_and_types()).get(name), search_seconds(args))
    if not types:
        raise LookupError(f"Unknown topic '{args.topic_name}'; see `ros2 topic list`")
    return types


def _info(args: argparse.Namespace) -> None:
    with command_node() as node:
        types = _types(node, args)
        settle(node, args.spin_time)
        name = absolute(args.topic_name)
        end = "\n\n" if args.verbose else "\n"
        print(f"Type: {types[0] if len(types) == 1 else types}", end=end)
        for what, count, endpoints in (
            ("Publisher", node.count_publishers, node.get_publishers_info_by_topic),
            ("Subscription", node.count_subscribers, node.get_subscriptions_info_by_topic),
        ):
            print(f"{what} count: {count(name)}", end=end)
            for endpoint in endpoints(name) if args.verbose else ():
                print(endpoint, end=end)


def _type(args: argparse.Namespace) -> None:
    with command_node() as node:
        print(*_types(node, args), sep="\n")
