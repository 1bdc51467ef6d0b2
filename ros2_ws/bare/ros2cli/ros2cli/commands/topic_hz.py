"""`ros2 topic hz`: how often messages arrive."""

from __future__ import annotations

import argparse
import math
import time
from collections import deque
from typing import Any

import rclpy
from rclpy.qos import qos_profile_sensor_data

from ..graph import add_graph_arguments, check_interrupted, command_node
from ..verbs import whole_number
from .topic_echo import message_type_of

_WINDOW = 10000
_REPORT_PERIOD_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ros2 topic hz`."""
    add_graph_arguments(parser)
    parser.add_argument("topic_name", help="Name of the ROS topic to listen to (e.g. '/chatter')")
    parser.add_argument(
        "-w",
        "--window",
        type=whole_number,
        default=_WINDOW,
        metavar="WINDOW",
        help=f"window size, in # of messages, for calculating rate (default: {_WINDOW})",
    )
    parser.add_argument("--filter", dest="filter_expr", metavar="EXPR", help="Only count messages m of this expression")
    parser.add_argument("--wall-time", action="store_true", help=argparse.SUPPRESS)  # always so here


class Rate:
    """Statistics of the times between messages."""

    def __init__(self, window: int) -> None:
        self._intervals: deque[float] = deque(maxlen=max(window, 1))
        self._last_s: float | None = None
        self._reported_s: float | None = None

    def on_message(self, now_s: float) -> None:
        """Count a message that arrived at a time in seconds."""
        if self._last_s is not None:
            self._intervals.append(now_s - self._last_s)
            if self._reported_s is None:
                self._reported_s = now_s
        self._last_s = now_s

    def report(self) -> str | None:
        """Return the figures if messages came for a report period since the last report, else None."""
        if self._last_s is None or self._reported_s is None or self._last_s < self._reported_s + _REPORT_PERIOD_S:
            return None
        self._reported_s = self._last_s
        count = len(self._intervals)
        mean = sum(self._intervals) / count
        deviation = math.sqrt(sum((one - mean) ** 2 for one in self._intervals) / count)
        return (
            f"average rate: {1.0 / mean if mean > 0.0 else 0.0:.3f}\n\tmin: {min(self._intervals):.3f}s "
            f"max: {max(self._intervals):.3f}s std dev: {deviation:.5f}s window: {count}"
        )


def main(args: argparse.Namespace) -> None:
    """Print the rate about once a second, until interrupted."""
    with command_node() as node:
        message_type = message_type_of(node, args.topic_name, args.spin_time)
        rate = Rate(args.window)

        def on_message(message: Any) -> None:
            # The user's own expression on the user's own machine.
            if args.filter_expr is None or eval(args.filter_expr, {}, {"m": message}):
                rate.on_message(time.monotonic())

        node.create_subscription(message_type, args.topic_name, on_message, qos_profile_sensor_data)
        while True:
            rclpy.spin_once(node, timeout_sec=_REPORT_PERIOD_S)
            check_interrupted()
            line = rate.report()
            if line is not None:
                print(line)
