"""`ros2 service`: list, type and call."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from rosidl_runtime_py import set_message_fields
from rosidl_runtime_py.utilities import get_service

from ..graph import (
    absolute,
    add_graph_arguments,
    command_node,
    is_hidden,
    result_of,
    search_seconds,
    settle,
    wait_until,
)
from ..verbs import add_verbs, load_yaml, positive_float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "call": ("Call a service", _add_call_arguments, _call),
            "list": ("Output a list of available services", _add_list_arguments, _list),
            "type": ("Output a service's type", _add_type_arguments, _type),
        },
    )


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("-t", "--show-types", action="store_true", help="Additionally show the service type")
    parser.add_argument("-c", "--count-services", action="store_true", help="Only display the number of services")
    parser.add_argument("--include-hidden-services", action="store_true", help="Consider hidden services as well")


def _list(args: argparse.Namespace) -> None:
    with command_node() as node:
        settle(node, args.spin_time)
        services = [
            (name, types)
            for name, types in sorted(node.get_service_names_and_types())
            if args.include_hidden_services or not is_hidden(name)
        ]
    if args.count_services:
        print(len(services))
        return
    for name, types in services:
        print(f"{name} [{', '.join(types)}]" if args.show_types else name)


def _add_type_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("service_name", help="Name of the ROS service (e.g. '/talker/list_parameters')")


def _type(args: argparse.Namespace) -> str | None:
    name = absolute(args.service_name)
    with command_node() as node:
        types = wait_until(node, lambda: dict(node.get_service_names_and_types()).get(name), search_seconds(args))
    if not types:
        return f"Unknown service '{args.service_name}'; see `ros2 service list`"
    print(*types, sep="\n")
    return None


def _add_call_arguments(parser: argparse.ArgumentParser) -> None:
    add_graph_arguments(parser)
    parser.add_argument("service_name", help="Name of the ROS service to call to (e.g. '/add_two_ints')")
    parser.add_argument("service_type", help="Type of the ROS service (e.g. 'std_srvs/srv/Empty')")
    values = parser.add_mutually_exclusive_group()
    values.add_argument(
        "values", nargs="?", default="{}", help="Values to fill the request with in YAML format (e.g. '{a: 1, b: 2}')"
    )
    values.add_argument("--stdin", action="store_true", help="Read values from standard input")
    parser.add_argument("-r", "--rate", metavar="N", type=positive_float, help="Repeat the call at a rate in Hz")
    parser.add_argument("--timeout", metavar="N", type=positive_float, help="Give up after N seconds (default: never)")


def checked_service_type(name: str) -> Any:
    """Return a service class by name; RuntimeError if there is no such service."""
    try:
        return get_service(name)
    except (AttributeError, ModuleNotFoundError, ValueError) as error:
        raise RuntimeError(
            f"The passed service type is invalid: '{name}' ({error}). Expected a name like std_srvs/srv/Trigger of an "
            "installed package"
        ) from error


def _call(args: argparse.Namespace) -> str | None:
    service_type = checked_service_type(args.service_type)
    request = service_type.Request()
    try:
        set_message_fields(request, load_yaml(sys.stdin.read() if args.stdin else args.values, "value"))
    except (AttributeError, TypeError, ValueError) as error:
        return f"Failed to populate field: {error}"
    with command_node() as node:
        client = node.create_client(service_type, args.service_name)
        if not client.service_is_ready():
            print("waiting for service to become available...")
            if not wait_until(node, client.service_is_ready, args.timeout):
                return f"service '{args.service_name}' is not there after {args.timeout:g} s"
        while True:
            print(f"requester: making request: {request!r}\n")
            called_s = time.monotonic()
            future = client.call_async(request)
            print(f"response:\n{result_of(node, future, f'service {args.service_name}', args.timeout)!r}\n")
            if args.rate is None:
                return None
            wait_until(node, lambda: None, called_s + 1.0 / args.rate - time.monotonic())
