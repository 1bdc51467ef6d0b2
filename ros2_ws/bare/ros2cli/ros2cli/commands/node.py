"""`ros2 node`: list and info."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from rclpy.action.graph import get_action_client_names_and_types_by_node, get_action_server_names_and_types_by_node

from ..graph import add_graph_arguments, command_node, full_node_names, is_hidden, require_node, settle
from ..verbs import add_verbs

_DUPLICATES = (
    "WARNING: Be aware that there are nodes in the graph that share an exact name, which can have unintended side "
    "effects."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "info": ("Output information about a node", _add_info_arguments, _info),
            "list": ("Output a list of available nodes", _add_list_arguments, _list),
        },
    )


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("-a", "--all", action="store_true", help="Display all nodes even hidden ones")
    parser.add_argument("-c", "--count-nodes", action="store_true", help="Only display the number of nodes discovered")


def _list(args: argparse.Namespace) -> None:
    with command_node() as node:
        settle(node, args.spin_time)
        names = sorted(full_node_names(node, include_hidden=args.all))
    if args.count_nodes:
        print(len(names))
        return
    if len(set(names)) < len(names):
        print(_DUPLICATES, file=sys.stderr)
    for name in names:
        print(name)


def _add_info_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("node_name", help="Node name to request information")
    parser.add_argument("--include-hidden", action="store_true", help="Display hidden topics, services and actions too")


def _info(args: argparse.Namespace) -> None:
    with command_node() as node:
        full_name = require_node(node, args)
        settle(node, args.spin_time)
        namespace, _, name = full_name.rpartition("/")
        of_node = (name, namespace or "/")
        print(full_name)
        sections: list[tuple[str, Iterable[Any]]] = [
            ("Subscribers", node.get_subscriber_names_and_types_by_node(*of_node)),
            ("Publishers", node.get_publisher_names_and_types_by_node(*of_node)),
            ("Service Servers", node.get_service_names_and_types_by_node(*of_node)),
            ("Service Clients", node.get_client_names_and_types_by_node(*of_node)),
            ("Action Servers", get_action_server_names_and_types_by_node(node, *of_node)),
            ("Action Clients", get_action_client_names_and_types_by_node(node, *of_node)),
        ]
        for title, names_and_types in sections:
            print(f"  {title}:")
            shown = sorted(pair for pair in names_and_types if args.include_hidden or not is_hidden(pair[0]))
            print(*(f"    {one}: {', '.join(types)}" for one, types in shown), sep="\n")
