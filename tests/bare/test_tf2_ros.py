"""Guards the buffer, listener and broadcasters of the stand-in for tf2_ros."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import rclpy
import yaml
from _tf2_tree.wire import transforms_of
from geometry_msgs.msg import TransformStamped
from hypothesis import given
from hypothesis import strategies as st
from rclpy.clock import ClockChange, ClockType, TimeJump
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rclpy.time import Time
from tf2_msgs.msg import TFMessage
from tf2_ros import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    LookupException,
    StaticTransformBroadcaster,
    TransformBroadcaster,
    TransformException,
    TransformListener,
)

DISCOVERY_TIMEOUT = 30.0


def transform(parent: str, child: str, seconds: float, x: float = 0.0) -> TransformStamped:
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = parent, child
    message.header.stamp = Time(nanoseconds=round(seconds * 1e9)).to_msg()
    message.transform.translation.x = x
    return message


def test_lookup_answers_with_stamp_and_frames() -> None:
    buffer = Buffer()
    buffer.set_transform(transform("world", "arm", 1.0, 1.0), "test")
    buffer.set_transform(transform("world", "arm", 2.0, 3.0), "test")
    buffer.set_transform_static(transform("world", "camera", 0.0, 0.5), "test")
    found = buffer.lookup_transform("camera", "arm", Time(seconds=1.5))
    assert (found.header.frame_id, found.child_frame_id) == ("camera", "arm")
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (1, 500_000_000)
    assert found.transform.translation.x == pytest.approx(1.5)
    # A stamp as it stands in a header will do as well.
    same = buffer.lookup_transform("camera", "arm", Time(seconds=1.5).to_msg())
    assert same == found


def test_nanoseconds_of_todays_dates_are_exact() -> None:
    buffer = Buffer()
    nanoseconds = 1_700_000_000_123_456_789
    message = transform("world", "arm", 0.0)
    message.header.stamp = Time(nanoseconds=nanoseconds).to_msg()
    buffer.set_transform(message, "test")
    assert Time.from_msg(buffer.lookup_transform("world", "arm", Time()).header.stamp).nanoseconds == nanoseconds


def test_exceptions_share_a_base() -> None:
    buffer = Buffer()
    for error in (LookupException, ConnectivityException, ExtrapolationException):
        assert issubclass(error, TransformException)
    with pytest.raises(TransformException):
        buffer.lookup_transform("world", "arm", Time())


def test_full_lookup_spans_two_times() -> None:
    buffer = Buffer()
    for second in (1.0, 2.0):
        buffer.set_transform(transform("world", "arm", second, second), "test")
        buffer.set_transform(transform("world", "camera", second, 10.0 * second), "test")
    found = buffer.lookup_transform_full("camera", Time(seconds=2), "arm", Time(seconds=1), "world")
    assert found.transform.translation.x == pytest.approx(1.0 - 20.0)
    assert found.header.stamp.sec == 2
    assert buffer.can_transform_full("camera", Time(seconds=2), "arm", Time(seconds=1), "world")
    possible, problem = buffer.can_transform_full(
        "camera", Time(seconds=3), "arm", Time(seconds=1), "world", return_debug_tuple=True
    )
    assert not possible
    assert "extrapolation into the future" in problem


def test_a_wait_ends_as_soon_as_the_transform_comes() -> None:
    buffer = Buffer()
    buffer.set_transform(transform("world", "arm", 1.0), "test")
    waiting = threading.Event()
    results: list[TransformStamped] = []

    def look_up() -> None:
        waiting.set()
        results.append(buffer.lookup_transform("world", "arm", Time(seconds=2), Duration(seconds=60)))

    thread = threading.Thread(target=look_up)
    thread.start()
    assert waiting.wait(10.0)
    buffer.set_transform(transform("world", "arm", 3.0, 2.0), "test")
    thread.join(30.0)
    assert not thread.is_alive()
    assert results[0].transform.translation.x == pytest.approx(1.0)


def test_a_wait_that_is_in_vain_ends_with_the_reason() -> None:
    buffer = Buffer()
    buffer.set_transform(transform("world", "arm", 1.0), "test")
    with pytest.raises(ExtrapolationException, match=r"time 2.000000, but only time 1.000000"):
        buffer.lookup_transform("world", "arm", Time(seconds=2), Duration(seconds=0.05))
    assert not buffer.can_transform("world", "arm", Time(seconds=2), Duration(seconds=0.05))


def test_a_future_is_done_when_the_transform_comes() -> None:
    buffer = Buffer()
    future = buffer.wait_for_transform_async("world", "arm", Time(seconds=1))
    assert not future.done()
    buffer.set_transform_static(transform("world", "camera", 0.0), "test")
    assert not future.done()
    buffer.set_transform(transform("world", "arm", 1.0, 4.0), "test")
    assert future.done()
    assert future.result().transform.translation.x == 4.0
    assert buffer.wait_for_transform_async("world", "arm", Time(seconds=1)).done()


def test_a_coroutine_gets_the_transform() -> None:
    buffer = Buffer()
    buffer.set_transform(transform("world", "arm", 1.0, 4.0), "test")
    coroutine = buffer.lookup_transform_async("world", "arm", Time(seconds=1))
    with pytest.raises(StopIteration) as finished:
        coroutine.send(None)
    assert finished.value.value.transform.translation.x == 4.0


def test_a_jump_back_in_time_clears_what_moves() -> None:
    buffer = Buffer()
    buffer.set_transform(transform("world", "arm", 100.0), "test")
    buffer.set_transform_static(transform("world", "camera", 0.0, 0.5), "test")
    buffer.time_jump_callback(TimeJump(ClockChange.ROS_TIME_NO_CHANGE, Duration(seconds=-90)))
    assert buffer.can_transform("world", "camera", Time(seconds=10))
    assert not buffer.can_transform("world", "arm", Time(seconds=100))
    buffer.set_transform(transform("world", "arm", 10.0), "test")
    assert buffer.lookup_transform("world", "arm", Time()).header.stamp.sec == 10


def test_frames_are_listed_as_yaml() -> None:
    buffer = Buffer()
    assert yaml.safe_load(buffer.all_frames_as_yaml()) == []
    buffer.set_transform(transform("world", "arm", 1.0), "somebody")
    buffer.set_transform(transform("world", "arm", 2.0), "somebody")
    listed = yaml.safe_load(buffer.all_frames_as_yaml())
    assert listed["arm"]["parent"] == "world"
    assert listed["arm"]["broadcaster"] == "somebody"
    assert listed["arm"]["most_recent_transform"] == 2.0
    assert buffer.all_frames_as_string() == "Frame arm exists with parent world.\n"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
numbers = st.floats(allow_nan=False)


@given(
    st.lists(
        st.tuples(texts, texts, st.integers(-(2**31), 2**31 - 1), st.integers(0, 10**9 - 1), st.tuples(*[numbers] * 7)),
        max_size=5,
    )
)
def test_serialised_transforms_are_read_as_their_messages_are(
    given_transforms: list[tuple[str, str, int, int, tuple[float, ...]]],
) -> None:
    messages, expected = [], []
    for parent, child, seconds, nanoseconds, pose in given_transforms:
        message = transform(parent, child, 0.0)
        message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
        translation, rotation = message.transform.translation, message.transform.rotation
        translation.x, translation.y, translation.z, rotation.x, rotation.y, rotation.z, rotation.w = pose
        messages.append(message)
        expected.append((parent, child, seconds * 10**9 + nanoseconds, pose))
    assert transforms_of(serialize_message(TFMessage(transforms=messages))) == expected


def test_a_serialised_message_cut_short_is_refused() -> None:
    whole = serialize_message(TFMessage(transforms=[transform("world", "arm", 1.0)]))
    for length in range(len(whole) - 8):
        with pytest.raises(ValueError, match=r"expected a (whole )?TFMessage"):
            transforms_of(whole[:length])


def test_big_endian_messages_are_read() -> None:
    data = b"\0\0\0\0" + struct.pack(">IiII2sxxI2sxx4x7d", 1, 3, 4, 2, b"a\0", 2, b"b\0", 1, 2, 3, 0, 0, 0, 1)
    assert transforms_of(data) == [("a", "b", 3_000_000_004, (1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0))]


@pytest.fixture
def nodes(ros_domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Node, Node, SingleThreadedExecutor]]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    sender, receiver = (Node(name, context=context) for name in ("tf_sender", "tf_receiver"))
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(sender)
    executor.add_node(receiver)
    yield sender, receiver, executor
    executor.shutdown()
    sender.destroy_node()
    receiver.destroy_node()
    context.try_shutdown()


def spin_until(executor: SingleThreadedExecutor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DISCOVERY_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the transforms did not arrive"
        executor.spin_once(timeout_sec=0.1)


def test_transforms_travel_over_the_topics(nodes: tuple[Node, Node, SingleThreadedExecutor]) -> None:
    sender, receiver, executor = nodes
    fixed = StaticTransformBroadcaster(sender)
    fixed.sendTransform(transform("world", "camera", 0.0, 0.5))
    fixed.sendTransform([transform("camera", "optical", 0.0, 0.25)])
    moving = TransformBroadcaster(sender)
    buffer = Buffer(node=receiver)
    listener = TransformListener(buffer, receiver)
    listener._serialised_callback(b"no message at all")  # is logged and dropped
    spin_until(executor, lambda: sender.count_subscribers("/tf") > 0 and moving.pub_tf.get_subscription_count() > 0)
    moving.sendTransform(transform("world", "arm", 1.0, 1.0))
    moving.sendTransform([transform("world", "arm", 2.0, 2.0), transform("arm", "tip", 2.0)])
    spin_until(executor, lambda: bool(buffer.can_transform("optical", "tip", Time(seconds=2))))
    assert buffer.lookup_transform("optical", "arm", Time(seconds=1.5)).transform.translation.x == pytest.approx(0.75)
    listener.unregister()


def test_a_buffer_of_another_class_is_fed_through_its_methods(
    nodes: tuple[Node, Node, SingleThreadedExecutor],
) -> None:
    class Counting(Buffer):
        children: ClassVar[list[str]] = []

        def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
            self.children.append(transform.child_frame_id)
            super().set_transform_static(transform, authority)

    sender, receiver, executor = nodes
    StaticTransformBroadcaster(sender).sendTransform(transform("world", "camera", 0.0))
    buffer = Counting(node=receiver)
    listener = TransformListener(buffer, receiver)
    spin_until(executor, lambda: buffer.can_transform("world", "camera", Time()) is True)
    assert Counting.children == ["camera"]
    listener.unregister()


def test_a_simulated_clock_set_back_clears_the_buffer(nodes: tuple[Node, Node, SingleThreadedExecutor]) -> None:
    clock = nodes[1].get_clock()
    nodes[1].set_parameters([Parameter("use_sim_time", value=True)])
    clock.set_ros_time_override(Time(seconds=100, clock_type=ClockType.ROS_TIME))
    buffer = Buffer(node=nodes[1])
    buffer.set_transform(transform("world", "arm", 100.0), "test")
    clock.set_ros_time_override(Time(seconds=99.5, clock_type=ClockType.ROS_TIME))
    assert buffer.can_transform("world", "arm", Time(seconds=100))  # a small step back is not a restart
    clock.set_ros_time_override(Time(seconds=10, clock_type=ClockType.ROS_TIME))
    assert not buffer.can_transform("world", "arm", Time(seconds=100))


def test_repeating_a_static_frame_keeps_the_first(nodes: tuple[Node, Node, SingleThreadedExecutor]) -> None:
    fixed = StaticTransformBroadcaster(nodes[0])
    fixed.sendTransform(transform("world", "camera", 0.0, 0.5))
    fixed.sendTransform(transform("world", "camera", 0.0, 0.9))
    assert [message.transform.translation.x for message in fixed.net_message.transforms] == [0.5]


def test_a_listener_with_its_own_thread_feeds_a_waiting_lookup(
    nodes: tuple[Node, Node, SingleThreadedExecutor],
) -> None:
    sender, receiver, executor = nodes
    executor.remove_node(receiver)
    StaticTransformBroadcaster(sender).sendTransform(transform("world", "camera", 0.0, 0.5))
    buffer = Buffer(node=receiver)
    listener = TransformListener(buffer, receiver, spin_thread=True)
    try:
        found = buffer.lookup_transform("world", "camera", Time(), Duration(seconds=DISCOVERY_TIMEOUT))
        assert found.transform.translation.x == 0.5
    finally:
        listener.executor.shutdown()
        listener.dedicated_listener_thread.join(10.0)
        assert not listener.dedicated_listener_thread.is_alive()
