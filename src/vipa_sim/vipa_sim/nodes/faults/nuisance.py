"""A process that disturbs a graph: a rival on the target topic, or a flood of instructions.

    python -m vipa_sim.nodes.faults.nuisance rival
    python -m vipa_sim.nodes.faults.nuisance flood "reach the red block" "reach the blue block" "juggle"

It lies in wait until something is published on ``faults/go``, so that the instant of the fault is not that of a slow
start. The rival streams the pose it heard last, without a stamp. The flood repeats the first words, now and then puts
one of the others between, and ends with the first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Empty, String

from vipa_policy.nodes.lifetime import Lifetime
from vipa_sim.nodes.launched_graph import use_image_profile

GO = "faults/go"
GO_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
RIVAL_PERIOD = 0.01  # s of wall time
FLOOD_PERIOD = 0.002
FLOOD = 2000
# One in so many instructions of a flood is another one.
OTHER_EVERY = 10


class Rival(Node):
    """Streams the last pose that somebody else streamed."""

    def __init__(self) -> None:
        super().__init__("rival")
        self._pose: PoseStamped | None = None
        self._heard = self.create_subscription(PoseStamped, "target_pose", self._take, 10)
        self._go = self.create_subscription(Empty, GO, self._begin, GO_QOS)
        self.ended = False

    def _take(self, message: PoseStamped) -> None:
        if self._pose is None or message.header.stamp != Time():
            self._pose = message

    def _begin(self, message: Empty) -> None:
        self.destroy_subscription(self._heard)
        if self._pose is None:
            self.get_logger().error("expected poses on target_pose to imitate, there were none")
            self.ended = True
            return
        self._pose.header.stamp = Time()
        self._publisher = self.create_publisher(PoseStamped, "target_pose", 10)
        self._timer = self.create_timer(RIVAL_PERIOD, lambda: self._publisher.publish(self._pose))


class Flood(Node):
    """Publishes instructions as fast as a broken client would."""

    def __init__(self, words: list[str]) -> None:
        super().__init__("flood")
        self._words = words
        self._sent = 0
        self._publisher = self.create_publisher(String, "instruction", 10)
        self._go = self.create_subscription(Empty, GO, self._begin, GO_QOS)
        self.ended = False

    def _begin(self, message: Empty) -> None:
        self._timer = self.create_timer(FLOOD_PERIOD, self._send)

    def _send(self) -> None:
        if self._sent >= FLOOD:
            self.destroy_timer(self._timer)
            self.ended = self._publisher.wait_for_all_acked()
            return
        self._sent += 1
        others = self._words[1:]
        if others and self._sent % OTHER_EVERY == 0 and self._sent < FLOOD:
            words = others[self._sent // OTHER_EVERY % len(others)]
        else:
            words = self._words[0]
        self._publisher.publish(String(data=words))


def main(arguments: list[str] | None = None) -> int:
    """Disturb until it is done or asked to end; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("rival", "flood"))
    parser.add_argument("words", nargs="*", help="of the flood: those in force, then others")
    options = parser.parse_args(arguments)
    makers: dict[str, Callable[[], Rival | Flood]] = {"rival": Rival, "flood": lambda: Flood(options.words)}
    lifetime = Lifetime()
    use_image_profile()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = makers[options.mode]()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not lifetime.ended and not node.ended:
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
