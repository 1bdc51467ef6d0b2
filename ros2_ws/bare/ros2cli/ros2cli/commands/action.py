"""`ros2 action`: info, list and send_goal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import rclpy
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.action.graph import (
    get_action_client_names_and_types_by_node,
    get_action_names_and_types,
    get_action_server_names_and_types_by_node,
)
from rclpy.node import Node
from rosidl_runtime_py import message_to_yaml, set_message_fields
from rosidl_runtime_py.utilities import get_action

from ..graph import (
    absolute,
    add_graph_arguments,
    command_node,
    full_node_names,
    result_of,
    search_seconds,
    settle,
    wait_until,
)
from ..verbs import add_verbs, load_yaml, positive_float

_CANCEL_S = 5.0
_STATUS = {
    getattr(GoalStatus, name): name.removeprefix("STATUS_") for name in dir(GoalStatus) if name.startswith("STATUS_")
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "info": ("Print information about an action", _add_info_arguments, _info),
            "list": ("Output a list of action names", _add_list_arguments, _list),
            "send_goal": ("Send an action goal", _add_send_goal_arguments, _send_goal),
        },
    )


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("-t", "--show-types", action="store_true", help="Additionally show the action type")
    parser.add_argument("-c", "--count-actions", action="store_true", help="Only display the number of actions")


def _list(args: argparse.Namespace) -> None:
    with command_node() as node:
        settle(node, args.spin_time)
        actions = sorted(get_action_names_and_types(node))
    if args.count_actions:
        print(len(actions))
        return
    for name, types in actions:
        print(f"{name} [{', '.join(types)}]" if args.show_types else name)


def _add_info_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("action_name", help="Name of the ROS action to get info (e.g. '/fibonacci')")
    parser.add_argument("-t", "--show-types", action="store_true", help="Additionally show the action type")
    parser.add_argument(
        "-c", "--count", action="store_true", help="Only display the number of action clients and action servers"
    )


def _info(args: argparse.Namespace) -> None:
    wanted = absolute(args.action_name)
    with command_node() as node:
        wait_until(node, lambda: wanted in dict(get_action_names_and_types(node)), search_seconds(args))
        settle(node, args.spin_time)
        ends = {
            "clients": _with_action(node, wanted, get_action_client_names_and_types_by_node),
            "servers": _with_action(node, wanted, get_action_server_names_and_types_by_node),
        }
    print(f"Action: {args.action_name}")
    for end, found in ends.items():
        print(f"Action {end}: {len(found)}")
        if not args.count:
            for name, types in found:
                print(f"    {name} [{', '.join(types)}]" if args.show_types else f"    {name}")


def _with_action(node: Node, action: str, look_up: Callable[..., Any]) -> list[tuple[str, list[str]]]:
    """Return the nodes for which ``look_up`` finds the action, with its types."""
    found = []
    for full_name in sorted(full_node_names(node, include_hidden=True)):
        namespace, _, name = full_name.rpartition("/")
        types = dict(look_up(node, name, namespace or "/")).get(action)
        if types:
            found.append((full_name, types))
    return found


def _add_send_goal_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("action_name", help="Name of the ROS action (e.g. '/fibonacci')")
    parser.add_argument("action_type", help="Type of the ROS action (e.g. 'example_interfaces/action/Fibonacci')")
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument("goal", nargs="?", default="{}", help="Goal request values in YAML format (e.g. '{order: 10}')")
    goal.add_argument("--stdin", action="store_true", help="Read goal from standard input")
    parser.add_argument("-f", "--feedback", action="store_true", help="Echo feedback messages for the goal")
    parser.add_argument("--timeout", metavar="N", type=positive_float, help="Give up after N seconds (default: never)")


def _send_goal(args: argparse.Namespace) -> str | None:
    try:
        action_type = get_action(args.action_type)
    except (AttributeError, ModuleNotFoundError, ValueError) as error:
        return (
            f"The passed action type is invalid: '{args.action_type}' ({error}). Expected a name like "
            "package/action/Name of an installed package"
        )
    goal = action_type.Goal()
    try:
        set_message_fields(goal, load_yaml(sys.stdin.read() if args.stdin else args.goal, "goal"))
    except (AttributeError, TypeError, ValueError) as error:
        return f"Failed to populate message fields: {error}"
    with command_node() as node:
        client = ActionClient(node, action_type, args.action_name)
        try:
            return _follow_goal(node, client, goal, args)
        finally:
            client.destroy()


def _follow_goal(node: Node, client: Any, goal: Any, args: argparse.Namespace) -> str | None:
    print("Waiting for an action server to become available...")
    if not wait_until(node, client.server_is_ready, args.timeout):
        return f"action server '{args.action_name}' is not there after {args.timeout:g} s"
    print(f"Sending goal:\n     {message_to_yaml(goal)}")
    feedback = _print_feedback if args.feedback else None
    what = f"action '{args.action_name}'"
    handle = result_of(node, client.send_goal_async(goal, feedback), what, args.timeout)
    if not handle.accepted:
        print("Goal was rejected.")
        return None
    print(f"Goal accepted with ID: {bytes(handle.goal_id.uuid).hex()}\n")
    try:
        result = result_of(node, handle.get_result_async(), what, args.timeout)
    except (KeyboardInterrupt, RuntimeError):
        # After a signal rclpy is shut down: only a goal that took too long can still be cancelled.
        if rclpy.ok():
            print("Canceling goal...")
            result_of(node, handle.cancel_goal_async(), what, _CANCEL_S)
            print("Goal canceled.")
        raise
    print(f"Result:\n    {message_to_yaml(result.result)}")
    print(f"Goal finished with status: {_STATUS.get(result.status, 'UNKNOWN')}")
    return None


def _print_feedback(feedback: Any) -> None:
    print(f"Feedback:\n    {message_to_yaml(feedback.feedback)}")
