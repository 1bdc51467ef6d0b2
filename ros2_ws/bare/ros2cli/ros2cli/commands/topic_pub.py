"""`ros2 topic pub`: messages from YAML."""

from __future__ import annotations

import argparse
import sys
import time

import rclpy
from rclpy.duration import Duration
from rosidl_runtime_py import set_message_fields

from ..graph import add_graph_arguments, check_interrupted, command_node, wait_until
from ..qos import add_qos_arguments, qos_from_arguments
from ..verbs import load_yaml, positive_float, whole_number
from .topic_echo import checked_message_type

_DELIVERY_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ros2 topic pub`."""
    add_graph_arguments(parser)
    parser.add_argument("topic_name", help="Name of the ROS topic to publish to (e.g. '/chatter')")
    parser.add_argument("message_type", help="Type of the ROS message (e.g. 'std_msgs/msg/String')")
    values = parser.add_mutually_exclusive_group()
    values.add_argument(
        "values", nargs="?", default="{}", help="Values to fill the message with in YAML format (e.g. 'data: Hello')"
    )
    values.add_argument("--stdin", action="store_true", help="Read values from standard input")
    parser.add_argument(
        "-r", "--rate", metavar="N", type=positive_float, default=1.0, help="Publishing rate in Hz (default: 1)"
    )
    parser.add_argument(
        "-p", "--print", metavar="N", type=int, default=1, help="Only print every N-th published message (default: 1)"
    )
    times = parser.add_mutually_exclusive_group()
    times.add_argument("-1", "--once", action="store_true", help="Publish one message and exit")
    times.add_argument("-t", "--times", type=whole_number, default=0, help="Publish this number of times and then exit")
    parser.add_argument(
        "-w",
        "--wait-matching-subscriptions",
        type=whole_number,
        help="Wait until finding the specified number of matching subscriptions. Defaults to 1 when using "
        '"-1"/"--once"/"--times", otherwise defaults to 0',
    )
    parser.add_argument(
        "--max-wait-time-secs", type=positive_float, help="Give up waiting for subscriptions after this time"
    )
    parser.add_argument(
        "--keep-alive", metavar="N", type=positive_float, default=0.1, help="Stay N seconds after the last message"
    )
    parser.add_argument("-n", "--node-name", help="Name of the created publishing node")
    add_qos_arguments(parser, "publish", "default")


def main(args: argparse.Namespace) -> str | None:
    """Publish; return what went wrong, if something did."""
    message_type = checked_message_type(args.message_type)
    values = load_yaml(sys.stdin.read() if args.stdin else args.values, "value")
    message = message_type()
    try:
        setters = set_message_fields(message, values, expand_header_auto=True, expand_time_now=True)
    except (AttributeError, TypeError, ValueError) as error:
        return f"Failed to populate field: {error}"
    times = 1 if args.once else args.times
    wanted = args.wait_matching_subscriptions
    if wanted is None:
        wanted = 1 if times else 0
    if wanted == 0 and args.max_wait_time_secs is not None:
        return "--max-wait-time-secs option is only effective with --wait-matching-subscriptions, --once or --times"

    with command_node(args.node_name) as node:
        publisher = node.create_publisher(message_type, args.topic_name, qos_from_arguments(args))
        _wait_for_subscriptions(node, publisher, wanted, args.max_wait_time_secs)
        print("publisher: beginning loop")
        next_s = time.monotonic()
        count = 0
        while True:
            now = node.get_clock().now().to_msg()
            for setter in setters:
                setter(now)
            count += 1
            if args.print and count % args.print == 0:
                print(f"publishing #{count}: {message!r}\n")
            publisher.publish(message)
            if count == times:
                break
            next_s += 1.0 / args.rate
            while (left_s := next_s - time.monotonic()) > 0.0:
                rclpy.spin_once(node, timeout_sec=left_s)
                check_interrupted()
        # A reliable subscription has the message only once it says so: a node that is gone by then cannot repeat it.
        publisher.wait_for_all_acked(Duration(seconds=_DELIVERY_S))
        wait_until(node, lambda: None, args.keep_alive)
    return None


def _wait_for_subscriptions(
    node: rclpy.node.Node, publisher: rclpy.publisher.Publisher, wanted: int, longest_s: float | None
) -> None:
    begin = time.monotonic()
    said: float | None = None
    while (count := publisher.get_subscription_count()) < wanted:
        now = time.monotonic()
        if longest_s is not None and now - begin >= longest_s:
            raise RuntimeError(
                f"Timed out waiting for subscribers: Expected {wanted} subcribers but only got {count} subscribers"
            )
        if said is None or now - said >= 1.0:
            print(f"Waiting for at least {wanted} matching subscription(s)...")
            said = now
        rclpy.spin_once(node, timeout_sec=0.05)
        check_interrupted()
