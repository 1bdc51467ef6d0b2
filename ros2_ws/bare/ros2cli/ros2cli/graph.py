"""The node behind a command, and what it sees of the graph.

Discovery has no end that could be waited for: what is asked for by name is waited for, lists wait until
nothing new has turned up for a while.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

_POLL_S = 0.05
_QUIET_S = 0.7
_ALONE_S = 4.0  # before anybody was seen: on a busy machine the first answer takes seconds
_LONGEST_S = 10.0

Result = TypeVar("Result")


def add_graph_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands that look at the graph."""
    parser.add_argument(
        "--spin-time",
        type=float,
        default=None,
        metavar="SECONDS",
        help="how long to look for what is asked for (default: 10 s, lists until nothing new turns up)",
    )
    for flag in ("--no-daemon", "--use-sim-time", "-s"):
        # Accepted for the sake of scripts: there is no daemon here, and no command waits for simulated time.
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)


@contextlib.contextmanager
def command_node(name: str | None = None) -> Iterator[Node]:
    """Give a node of a hidden name, or the given one; SIGINT and SIGTERM end the block quietly."""
    rclpy.init()
    try:
        node = rclpy.create_node(name or f"_ros2cli_{os.getpid()}", start_parameter_services=False)
        try:
            yield node
        except ExternalShutdownException:
            raise KeyboardInterrupt from None
        finally:
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


def wait_until(node: Node, found: Callable[[], Result | None], seconds: float | None) -> Result | None:
    """Return what `found` returns as soon as that is neither None nor empty; at last its last answer.

    Without `seconds` it is waited for until the user interrupts.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        result = found()
        if result or (deadline is not None and time.monotonic() >= deadline):
            return result
        rclpy.spin_once(node, timeout_sec=_POLL_S)
        check_interrupted()


def settle(node: Node, spin_time: float | None) -> None:
    """Wait until the graph has been the same for a while, or for as long as the user said."""
    begin = changed = time.monotonic()
    seen: Any = None
    while rclpy.ok():
        now = time.monotonic()
        nodes = sorted(full_node_names(node, include_hidden=True))
        state = (nodes, node.get_topic_names_and_types(), node.get_service_names_and_types())
        if state != seen:
            seen, changed = state, now
        if spin_time is not None:
            enough = now - begin >= spin_time
        else:
            quiet_s = _QUIET_S if len(nodes) > 1 else _ALONE_S
            enough = now - changed >= quiet_s or now - begin >= _LONGEST_S
        if enough:
            return
        rclpy.spin_once(node, timeout_sec=_POLL_S)
    check_interrupted()


def check_interrupted() -> None:
    """Raise KeyboardInterrupt once a signal has shut rclpy down."""
    if not rclpy.ok():
        raise KeyboardInterrupt


def search_seconds(args: argparse.Namespace) -> float:
    """Return how long to look for what the user named."""
    return _LONGEST_S if args.spin_time is None else args.spin_time


def absolute(name: str) -> str:
    """Return a name with the slash of the root namespace."""
    return name if name.startswith("/") else f"/{name}"


def full_node_names(node: Node, include_hidden: bool = False) -> list[str]:
    """Return the full names of the nodes in the graph, those of commands only if hidden ones are wanted."""
    return [
        f"{namespace.rstrip('/')}/{name}"
        for name, namespace in node.get_node_names_and_namespaces()
        if include_hidden or not name.startswith("_")
    ]


def require_node(node: Node, args: argparse.Namespace) -> str:
    """Return the full name of the node that the user named, once it is there.

    Raises:
        LookupError: if it does not turn up.
    """
    wanted = absolute(args.node_name)
    if not wait_until(node, lambda: wanted in full_node_names(node, include_hidden=True), search_seconds(args)):
        raise LookupError(
            f"Node not found: '{wanted}'. There are: {', '.join(sorted(full_node_names(node))) or 'none'}"
        )
    return wanted


def is_hidden(name: str) -> bool:
    """Return whether a part of a name begins with an underscore."""
    return any(part.startswith("_") for part in name.split("/"))


def call_service(node: Node, service_type: Any, service_name: str, request: Any, seconds: float = 10.0) -> Any:
    """Call a service and return its response.

    Raises:
        RuntimeError: if the service does not turn up, does not answer in time, or fails.
    """
    client = node.create_client(service_type, service_name)
    try:
        if not wait_until(node, client.service_is_ready, seconds):
            raise RuntimeError(f"service '{service_name}' is not there after {seconds:g} s")
        return result_of(node, client.call_async(request), f"service '{service_name}'", seconds)
    finally:
        node.destroy_client(client)


def result_of(node: Node, future: Any, what: str, seconds: float | None) -> Any:
    """Return the result of a future, spinning until it is there.

    Raises:
        RuntimeError: if it is not there in time, or the future holds an exception.
    """
    wait_until(node, future.done, seconds)
    if not future.done():
        future.cancel()
        raise RuntimeError(f"{what} did not answer within {seconds:g} s")
    if future.exception() is not None:
        raise RuntimeError(f"Exception while calling {what}: {future.exception()}")
    return future.result()
