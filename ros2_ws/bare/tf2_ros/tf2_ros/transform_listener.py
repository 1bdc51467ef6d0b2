"""Feeds a buffer from the tf topics."""

from __future__ import annotations

from threading import Thread

from _tf2_tree.wire import transforms_of
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.buffer import Buffer

AUTHORITY = "default_authority"


class TransformListener:
    """Subscribes to /tf and /tf_static and feeds what comes to a buffer.

    Args:
        buffer: what to feed.
        node: subscribes; somebody must spin it.
        spin_thread: spin it here, in a thread of its own.
        qos: of /tf, default reliable, volatile, depth 100.
        static_qos: of /tf_static, default reliable, transient local, depth 100.
    """

    def __init__(
        self,
        buffer: Buffer,
        node: Node,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
    ) -> None:
        if qos is None:
            qos = QoSProfile(depth=100, durability=DurabilityPolicy.VOLATILE, history=HistoryPolicy.KEEP_LAST)
        if static_qos is None:
            static_qos = QoSProfile(
                depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST
            )
        self.buffer = buffer
        self.node = node
        # Reentrant, so that a callback of another group may wait for a transform while these go on.
        self.group = ReentrantCallbackGroup()
        # A buffer of another class must be fed through its own methods, message by message.
        raw = type(buffer) is Buffer
        self.tf_sub = node.create_subscription(
            TFMessage,
            "/tf",
            self._serialised_callback if raw else self.callback,
            qos,
            callback_group=self.group,
            raw=raw,
        )
        self.tf_static_sub = node.create_subscription(
            TFMessage,
            "/tf_static",
            self._serialised_static_callback if raw else self.static_callback,
            static_qos,
            callback_group=self.group,
            raw=raw,
        )
        if spin_thread:
            self.executor = SingleThreadedExecutor(context=node.context)
            self.executor.add_node(node)
            self.dedicated_listener_thread = Thread(target=self.executor.spin, daemon=True)
            self.dedicated_listener_thread.start()

    def __del__(self) -> None:
        if hasattr(self, "dedicated_listener_thread"):
            self.executor.shutdown()
            self.dedicated_listener_thread.join()
        if hasattr(self, "tf_static_sub"):
            self.unregister()

    def unregister(self) -> None:
        """Stop listening."""
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data: TFMessage) -> None:
        """Take a message of moving frames."""
        set_transform = self.buffer.set_transform
        for transform in data.transforms:
            set_transform(transform, AUTHORITY)

    def static_callback(self, data: TFMessage) -> None:
        """Take a message of fixed frames."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, AUTHORITY)

    def _serialised_callback(self, data: bytes) -> None:
        self._take(data, False)

    def _serialised_static_callback(self, data: bytes) -> None:
        self._take(data, True)

    def _take(self, data: bytes, is_static: bool) -> None:
        try:
            entries = transforms_of(data)
        except ValueError as error:
            self.node.get_logger().error(f"dropped a message on tf: {error}", throttle_duration_sec=1.0)
            return
        self.buffer._take(entries, AUTHORITY, is_static)
