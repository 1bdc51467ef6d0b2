"""The calibration as a command: ``ros2 run vipa_policy calibrate eye_to_hand --out calibration.yaml``.

Guide the arm by hand; wherever it rests at a new pose that shows the board, a picture is taken, and what motion is
still missing is said. Once nothing is, the camera is solved, measured on poses held out, and the file written.
Guarded by tests/graph/test_calibration_node.py.
"""

from __future__ import annotations

import argparse
import select
import sys
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import Executor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from vipa_policy.calibration.board import Board
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.calibration.printing import write_svg
from vipa_policy.errors import VipaError
from vipa_policy.nodes.calibration_node import CalibrationNode
from vipa_policy.nodes.lifetime import Lifetime

SPINNING = 0.1  # s between two looks at the keyboard
INTERRUPTED = 130


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the command line's options and ROS's own arguments; exits with status 2 on nonsense."""
    own, ros = arguments, []
    if "--ros-args" in arguments:
        own, ros = arguments[: arguments.index("--ros-args")], arguments[arguments.index("--ros-args") :]
    parser = argparse.ArgumentParser(
        prog="calibrate",
        description="Find out where a camera is, with a ChArUco board and the arm. See docs/calibration.md.",
        epilog="ROS arguments come last, as: --ros-args -p use_sim_time:=true",
    )
    parser.add_argument("mode", nargs="?", choices=[mode.value for mode in Mode], help="who carries the camera")
    parser.add_argument("--board", default=str(Board()), help="columns x rows, square and marker in m, dictionary")
    parser.add_argument("--print", type=Path, metavar="FILE.svg", help="write the board to print, and end")
    parser.add_argument("--camera-topic", default="camera/camera", help="prefix of the camera's topics")
    parser.add_argument("--base-frame", default="fr3_link0")
    parser.add_argument("--hand-frame", default="fr3_hand")
    parser.add_argument("--root-frame", default="", help="of the camera's driver; found in tf_static if left out")
    parser.add_argument("--out", type=Path, default=Path("calibration.yaml"))
    parser.add_argument("--manual", action="store_true", help="take pictures by the service calibration/capture only")
    options = parser.parse_args(own)
    if options.mode is None and options.print is None:
        parser.error("expected eye_in_hand or eye_to_hand, or --print FILE.svg")
    return options, ros


def make_node(options: argparse.Namespace, **more: Any) -> CalibrationNode:
    """Return the calibration node with the command line's values, and ``more`` parameters."""
    values: dict[str, Any] = {
        **more,
        "mode": options.mode,
        "board": options.board,
        "camera_topic": options.camera_topic,
        "base_frame": options.base_frame,
        "hand_frame": options.hand_frame,
        "root_frame": options.root_frame,
        "output": str(options.out),
        "automatic": not options.manual,
    }
    return CalibrationNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])


def collect(node: CalibrationNode, executor: Executor, lifetime: Lifetime) -> int:
    """Spin until nothing is missing, the person at the keyboard presses Enter, or it is interrupted."""
    poses = -1
    while not lifetime.ended and node.calibration is None:
        executor.spin_once(timeout_sec=SPINNING)
        collection = node.collection
        if collection is None:
            return 1
        enough = False
        if len(collection) != poses:
            poses = len(collection)
            diversity = collection.diversity()
            enough = not diversity.missing
            print(f"calibrate: {poses} poses", *diversity.missing, sep="\n  - ", flush=True)
        if enough or _enter_was_pressed():
            try:
                node.solve()
            except VipaError as error:
                print(f"calibrate: {error}", file=sys.stderr, flush=True)
                if enough:
                    return 1
    if node.calibration is None:
        print(f"calibrate: nothing written ({lifetime.reason})", file=sys.stderr)
        return INTERRUPTED
    print(f"calibrate: written to {node.get_parameter('output').value}: {node.calibration.figures}", flush=True)
    return 0


def _enter_was_pressed() -> bool:
    if not sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0.0)[0]:
        return False
    return bool(sys.stdin.readline())


def main(arguments: list[str] | None = None) -> int:
    """Calibrate; returns 0 once written, 1 where it cannot be solved, 130 where it was interrupted."""
    options, ros = parse(sys.argv[1:] if arguments is None else arguments)
    if options.print is not None:
        try:
            write_svg(Board.parse(options.board), options.print)
        except VipaError as error:
            print(f"calibrate: {error}", file=sys.stderr)
            return 1
        print(f"calibrate: {options.print}: print at 100 %, measure a square, give its side in m with --board")
        return 0
    lifetime = Lifetime()
    rclpy.init(args=ros, signal_handler_options=SignalHandlerOptions.NO)
    executor = EventsExecutor()
    try:
        node = make_node(options)
        executor.add_node(node)
        node.start()
        print("calibrate: guide the arm; let it rest where the camera sees the board. Enter: solve now", flush=True)
        status = collect(node, executor, lifetime)
        executor.remove_node(node)
        node.destroy_node()
        return status
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
        lifetime.restore()


if __name__ == "__main__":
    sys.exit(main())
