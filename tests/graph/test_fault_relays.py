"""Relays pass messages on as they came, and drop, freeze, shift and thin them where a fault says so."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import rclpy
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, TransformStamped
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from vipa_policy.nodes.reception import stamp_of
from vipa_sim.nodes.faults.relays import (
    CLOCK,
    COLOUR,
    TARGET,
    Relays,
    displacing,
    drop,
    losing,
    raw,
    remappings,
    shift_stamp,
    shifting,
)
from vipa_sim.nodes.launched_graph import free_domain

pytestmark = pytest.mark.graph

PATIENCE = 20.0
RELIABLE = QoSProfile(depth=50)


class Ends:
    """What publishes into the relays, and what hears them."""

    def __init__(self, node: Node, executor: EventsExecutor) -> None:
        self.relays = Relays(node)
        self._executor = executor
        self.heard: dict[str, list[Any]] = {COLOUR: [], CLOCK: [], TARGET: []}
        kinds = {COLOUR: Image, CLOCK: Clock, TARGET: PoseStamped}
        sources = {COLOUR: raw(COLOUR), CLOCK: raw(CLOCK), TARGET: TARGET}
        sinks = {COLOUR: COLOUR, CLOCK: CLOCK, TARGET: raw(TARGET)}
        self._publishers = {
            topic: node.create_publisher(kinds[topic], source, RELIABLE) for topic, source in sources.items()
        }
        # The clock is passed on best effort, as it comes.
        effort = {CLOCK: QoSProfile(depth=50, reliability=rclpy.qos.ReliabilityPolicy.BEST_EFFORT)}
        for topic, sink in sinks.items():
            node.create_subscription(kinds[topic], sink, self.heard[topic].append, effort.get(topic, RELIABLE))

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            self._executor.spin_once(timeout_sec=0.02)

    def send(self, topic: str, message: Any) -> None:
        """Publish and wait until the relay has seen it."""
        seen: list[bytes] = []
        watch = self.relays[topic].watch

        def look(serialised: bytes) -> None:
            watch(serialised)
            seen.append(serialised)

        self.relays[topic].watch = look
        self._publishers[topic].publish(message)
        self.wait(lambda: bool(seen))
        self.relays[topic].watch = watch


@contextmanager
def ends() -> Iterator[Ends]:
    rclpy.init(domain_id=free_domain())
    node = rclpy.create_node("ends")
    executor = EventsExecutor()
    executor.add_node(node)
    try:
        yield Ends(node, executor)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def picture(second: int, pixel: int) -> Image:
    message = Image(height=1, width=3, encoding="mono8", step=3, data=bytes([pixel, 2, 3]))
    message.header.stamp, message.header.frame_id = Time(sec=second, nanosec=7), "camera"
    return message


def test_a_relay_passes_on_drops_freezes_and_opens_again() -> None:
    with ends() as made:
        heard, relay = made.heard[COLOUR], made.relays[COLOUR]
        made.send(COLOUR, picture(1, 10))
        made.wait(lambda: len(heard) == 1)
        assert heard[0] == picture(1, 10)
        relay.gate = drop
        made.send(COLOUR, picture(2, 20))
        relay.open()
        made.send(COLOUR, picture(3, 30))
        made.wait(lambda: len(heard) == 2)
        assert heard[1] == picture(3, 30)
        relay.freeze()
        made.send(COLOUR, picture(4, 40))
        made.wait(lambda: len(heard) == 3)
        assert heard[2] == picture(4, 30)  # what is seen stands still, its stamp does not
        assert relay.passed == 3


def test_the_clock_jumps_and_the_truth_is_kept() -> None:
    with ends() as made:
        made.send(CLOCK, Clock(clock=Time(sec=10, nanosec=500_000_000)))
        made.relays.jump(-5.0)
        made.send(CLOCK, Clock(clock=Time(sec=11)))
        made.wait(lambda: len(made.heard[CLOCK]) == 2)
        assert [message.clock.sec for message in made.heard[CLOCK]] == [10, 6]
        assert made.relays.now == pytest.approx(11.0)
        assert made.relays.time.of(6.01) == pytest.approx((11.01, -5.0))
        assert made.relays.time.of(10.9) == pytest.approx((10.9, 0.0))  # stamped before the jump
        made.relays.open()
        made.send(CLOCK, Clock(clock=Time(sec=12)))
        made.wait(lambda: len(made.heard[CLOCK]) == 3)
        assert made.heard[CLOCK][-1].clock.sec == 12


def test_targets_go_the_other_way_and_can_be_put_aside() -> None:
    with ends() as made:
        message = PoseStamped()
        message.pose.position.y = 0.1
        made.relays[TARGET].gate = displacing(0.2)
        made.send(TARGET, message)
        made.wait(lambda: bool(made.heard[TARGET]))
        assert made.heard[TARGET][0].pose.position.y == pytest.approx(0.3)


def test_gates_shift_one_frame_and_lose_their_share() -> None:
    transforms = [TransformStamped(child_frame_id=name) for name in ("fr3_link1", "fr3_link2")]
    shifted = shifting("fr3_link1", (0.0, 0.15, 0.0))(serialize_message(TFMessage(transforms=transforms)))
    assert shifted is not None
    places = [item.transform.translation.y for item in deserialize_message(shifted, TFMessage).transforms]
    assert places == [pytest.approx(0.15), 0.0]
    gate = losing(0.3, random.Random(1))
    assert sum(gate(b"x") is None for _ in range(2000)) == pytest.approx(600, abs=80)


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, 4.000000007), (-0.5, 1.500000007), (-5.0, 0.0)])
def test_a_shifted_stamp_is_the_only_change(seconds: float, expected: float) -> None:
    serialised = serialize_message(picture(2, 10))
    shifted = shift_stamp(serialised, seconds)
    assert stamp_of(shifted) == pytest.approx(expected, abs=1e-9)
    assert shifted[12:] == serialised[12:]


def test_names_below_raw_keep_what_is_absolute() -> None:
    assert remappings(["/tf", "joint_states"]) == ["-r", "/tf:=/raw/tf", "-r", "joint_states:=raw/joint_states"]
