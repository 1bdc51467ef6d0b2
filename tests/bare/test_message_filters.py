"""Guards the stand-in for message_filters: which messages are put together, and which are not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import rclpy
from hypothesis import given
from hypothesis import strategies as st
from message_filters import ApproximateTimeSynchronizer, Cache, SimpleFilter, Subscriber, TimeSynchronizer
from rclpy.clock import ClockType
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String

DISCOVERY_TIMEOUT = 30.0


def message(seconds: float, name: str = "") -> JointState:
    return JointState(header=Header(stamp=Time(nanoseconds=round(seconds * 1e9)).to_msg(), frame_id=name))


def stamp(msg: JointState) -> float:
    return Time.from_msg(msg.header.stamp).nanoseconds / 1e9


def at(seconds: float) -> Time:
    return Time(seconds=seconds, clock_type=ClockType.ROS_TIME)


class Collected:
    """Sources feeding a synchroniser, and the sets it puts out, as stamps."""

    def __init__(self, count: int) -> None:
        self.sources = [SimpleFilter() for _ in range(count)]
        self.sets: list[tuple[float, ...]] = []

    def listen(self, synchroniser: SimpleFilter) -> Collected:
        synchroniser.registerCallback(lambda *messages: self.sets.append(tuple(stamp(m) for m in messages)))
        return self

    def send(self, source: int, seconds: float) -> None:
        self.sources[source].signalMessage(message(seconds))


def exact(count: int = 2, queue_size: int = 10) -> Collected:
    collected = Collected(count)
    return collected.listen(TimeSynchronizer(collected.sources, queue_size))


def approximate(count: int = 2, queue_size: int = 10, slop: float = 0.1) -> Collected:
    collected = Collected(count)
    return collected.listen(ApproximateTimeSynchronizer(collected.sources, queue_size, slop))


def test_callbacks_get_messages_and_their_own_arguments() -> None:
    source, calls = SimpleFilter(), []
    assert source.registerCallback(lambda *arguments: calls.append(arguments), "extra", 2) == 0
    assert source.registerCallback(lambda *arguments: calls.append(arguments)) == 1
    source.signalMessage("a", "b")
    assert calls == [("a", "b", "extra", 2), ("a", "b")]


@given(st.permutations([(source, float(tick)) for source in range(3) for tick in range(1, 4)]))
def test_equal_stamps_meet_in_any_order_of_arrival(arrivals: list[tuple[int, float]]) -> None:
    collected = exact(count=3)
    for source, seconds in arrivals:
        collected.send(source, seconds)
    assert sorted(collected.sets) == [(1.0, 1.0, 1.0), (2.0, 2.0, 2.0), (3.0, 3.0, 3.0)]


def test_unequal_stamps_never_meet_exactly() -> None:
    collected = exact()
    collected.send(0, 1.0)
    collected.send(1, 1.000000001)
    assert collected.sets == []


def test_the_oldest_leaves_a_full_queue() -> None:
    collected = exact(queue_size=2)
    for seconds in (1.0, 2.0, 3.0):
        collected.send(0, seconds)
    collected.send(1, 1.0)
    assert collected.sets == []
    collected.send(1, 2.0)
    assert collected.sets == [(2.0, 2.0)]


def test_near_stamps_meet_and_the_nearest_is_taken() -> None:
    collected = approximate()
    for seconds in (1.0, 1.04, 1.2):
        collected.send(0, seconds)
    collected.send(1, 1.05)
    assert collected.sets == [(1.04, 1.05)]


def test_each_message_is_put_out_once() -> None:
    collected = approximate()
    collected.send(0, 1.0)
    collected.send(1, 1.01)
    collected.send(1, 1.02)
    assert collected.sets == [(1.0, 1.01)]
    collected.send(0, 1.03)
    assert collected.sets == [(1.0, 1.01), (1.03, 1.02)]


@pytest.mark.parametrize(("gap", "meets"), [(0.05, True), (0.1, False), (0.2, False)])
def test_the_slop_is_a_bound_that_is_not_reached(gap: float, meets: bool) -> None:
    collected = approximate(slop=0.1)
    collected.send(0, 1.0)
    collected.send(1, 1.0 + gap)
    assert bool(collected.sets) == meets


def test_the_slop_bounds_the_whole_set() -> None:
    collected = approximate(count=3, slop=0.1)
    collected.send(0, 1.00)
    collected.send(1, 1.15)
    collected.send(2, 1.07)  # within the slop of either, which are not within it of each other
    assert collected.sets == []
    collected.send(0, 1.08)
    assert collected.sets == [(1.08, 1.15, 1.07)]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), max_size=40, unique=True))
def test_sets_are_within_the_slop_and_no_message_is_used_twice(arrivals: list[tuple[int, int]]) -> None:
    collected = approximate(count=3, queue_size=5, slop=0.05)
    for source, ticks in arrivals:
        collected.send(source, ticks * 0.01)
    for stamps in collected.sets:
        assert max(stamps) - min(stamps) < 0.05
    for used in zip(*collected.sets, strict=True):
        assert len(set(used)) == len(used)


def test_headerless_messages_are_dropped_unless_allowed() -> None:
    strict = Collected(2)
    ApproximateTimeSynchronizer(strict.sources, 10, 5.0).registerCallback(lambda *found: strict.sets.append(found))
    lax = Collected(2)
    ApproximateTimeSynchronizer(lax.sources, 10, 5.0, allow_headerless=True).registerCallback(
        lambda *found: lax.sets.append(found)
    )
    for collected in (strict, lax):
        for source in collected.sources:
            source.signalMessage(String(data="now"))
    assert strict.sets == []
    assert len(lax.sets) == 1


def test_a_callback_that_fails_blocks_nothing() -> None:
    sources = [SimpleFilter(), SimpleFilter()]
    synchroniser = TimeSynchronizer(sources, 10)

    def fail(*messages: JointState) -> None:
        raise RuntimeError("the callback failed")

    synchroniser.registerCallback(fail)
    for seconds in (1.0, 2.0):
        sources[0].signalMessage(message(seconds))
        with pytest.raises(RuntimeError, match="the callback failed"):
            sources[1].signalMessage(message(seconds))


def test_cache_answers_by_time() -> None:
    source = SimpleFilter()
    cache = Cache(source, 3)
    assert cache.getLast() is None
    assert cache.getLastestTime() is None
    assert cache.getOldestTime() is None
    passed: list[float] = []
    cache.registerCallback(lambda msg: passed.append(stamp(msg)))
    for seconds in (1.0, 2.0, 3.0, 4.0):
        source.signalMessage(message(seconds))
    assert passed == [1.0, 2.0, 3.0, 4.0]
    assert [stamp(m) for m in cache.getInterval(at(0), at(3))] == [2.0, 3.0]
    assert stamp(cache.getElemAfterTime(at(2.5))) == 3.0
    assert stamp(cache.getElemBeforeTime(at(2.5))) == 2.0
    assert cache.getElemAfterTime(at(5)) is None
    assert cache.getElemBeforeTime(at(1)) is None
    assert stamp(cache.getLast()) == 4.0
    assert cache.getLastestTime().nanoseconds == 4_000_000_000
    assert cache.getOldestTime().nanoseconds == 2_000_000_000


@pytest.fixture
def node(ros_domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    node = Node("filters", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_subscriber_passes_messages_of_a_topic_on(node: Node) -> None:
    subscriber = Subscriber(node, JointState, "joint_states", qos_profile=qos_profile_sensor_data)
    received: list[float] = []
    subscriber.registerCallback(lambda msg: received.append(stamp(msg)))
    publisher = node.create_publisher(JointState, "joint_states", 10)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    deadline = time.monotonic() + DISCOVERY_TIMEOUT
    while publisher.get_subscription_count() == 0:
        assert time.monotonic() < deadline, "the subscriber was not found"
        executor.spin_once(timeout_sec=0.1)
    publisher.publish(message(1.5))
    while not received:
        assert time.monotonic() < deadline, "the message did not arrive"
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert received == [1.5]
    assert subscriber.getTopic() == "joint_states"
    assert subscriber.topic_name.endswith("joint_states")  # the rest is the subscription's
