"""`ros2 lifecycle`: nodes, get, set and list, through the nodes' lifecycle services."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lifecycle_msgs.srv import ChangeState, GetAvailableTransitions, GetState
from rclpy.node import Node

from ..graph import add_graph_arguments, call_service, command_node, full_node_names, require_node, settle, wait_until
from ..verbs import add_verbs

_GET_STATE = "lifecycle_msgs/srv/GetState"
_TRANSITION_S = 120.0  # configuring a node may load a model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "get": ("Get lifecycle state for one or more nodes", _add_get_arguments, _get),
            "list": ("Output a list of available transitions", _add_list_arguments, _list),
            "nodes": ("Output a list of nodes with lifecycle", _add_nodes_arguments, _nodes),
            "set": ("Trigger lifecycle state transition", _add_set_arguments, _set),
        },
    )


def _add_nodes_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("-a", "--all", action="store_true", help="Display all nodes even hidden ones")
    parser.add_argument("-c", "--count-nodes", action="store_true", help="Only display the number of nodes discovered")


def _add_get_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("node_name", nargs="?", help="Name of the ROS node; without one, all nodes are asked")


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("node_name", help="Name of the ROS node")
    parser.add_argument("-a", "--all", action="store_true", help="Display all existing transitions")


def _add_set_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("node_name", help="Name of the ROS node")
    parser.add_argument("transition", help="The lifecycle transition: its name or its number")


def _has_lifecycle(node: Node, full_name: str) -> bool:
    services = dict(node.get_service_names_and_types())
    return _GET_STATE in services.get(f"{full_name}/get_state", [])


def _lifecycle_nodes(node: Node, spin_time: float | None, include_hidden: bool = False) -> list[str]:
    settle(node, spin_time)
    return [name for name in sorted(set(full_node_names(node, include_hidden))) if _has_lifecycle(node, name)]


def _require_lifecycle_node(node: Node, args: argparse.Namespace) -> str:
    name = require_node(node, args)
    if not wait_until(node, lambda: _has_lifecycle(node, name), 5.0):
        raise LookupError(f"Node not found: '{name}' is there, but it has no lifecycle")
    return name


def _state(node: Node, name: str) -> str:
    state = call_service(node, GetState, f"{name}/get_state", GetState.Request()).current_state
    return f"{state.label} [{state.id}]"


def _transitions(node: Node, name: str, service: str = "get_available_transitions") -> list[Any]:
    request = GetAvailableTransitions.Request()
    return list(call_service(node, GetAvailableTransitions, f"{name}/{service}", request).available_transitions)


def _nodes(args: argparse.Namespace) -> None:
    with command_node() as node:
        names = _lifecycle_nodes(node, args.spin_time, args.all)
    print(*([len(names)] if args.count_nodes else names), sep="\n", end="\n" if names or args.count_nodes else "")


def _get(args: argparse.Namespace) -> int | None:
    with command_node() as node:
        if args.node_name is not None:
            print(_state(node, _require_lifecycle_node(node, args)))
            return None
        failed = False
        for name in _lifecycle_nodes(node, args.spin_time):
            try:
                print(f"{name}: {_state(node, name)}")
            except RuntimeError as error:
                failed = True
                print(f"Exception while calling service of node '{name}': {error}", file=sys.stderr)
    return 1 if failed else None


def _list(args: argparse.Namespace) -> None:
    with command_node() as node:
        name = _require_lifecycle_node(node, args)
        for one in _transitions(node, name, "get_transition_graph" if args.all else "get_available_transitions"):
            print(
                f"- {one.transition.label} [{one.transition.id}]\n"
                f"\tStart: {one.start_state.label}\n\tGoal: {one.goal_state.label}"
            )


def _set(args: argparse.Namespace) -> str | None:
    with command_node() as node:
        name = _require_lifecycle_node(node, args)
        transitions = [one.transition for one in _transitions(node, name)]
        wanted = [one for one in transitions if args.transition in (one.label, str(one.id))]
        if not wanted:
            offered = "".join(f"\n- {one.label} [{one.id}]" for one in transitions)
            return f"Unknown transition requested, available ones are:{offered}"
        request = ChangeState.Request(transition=wanted[0])
        if not call_service(node, ChangeState, f"{name}/change_state", request, _TRANSITION_S).success:
            return f"Transitioning failed: '{name}' is now {_state(node, name)}"
    print("Transitioning successful")
    return None
