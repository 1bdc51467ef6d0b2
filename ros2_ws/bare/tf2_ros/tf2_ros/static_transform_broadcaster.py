"""Publishes fixed frames, once and for whoever comes later."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.transform_broadcaster import as_list


class StaticTransformBroadcaster:
    """Publishes transforms on /tf_static; ``qos`` defaults to reliable, transient local, depth 1.

    Every message repeats all frames sent so far, since the depth of 1 keeps only the last one for late joiners.
    As in tf2_ros, the first transform sent for a child frame stands: a second one for it is not taken.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        if qos is None:
            qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, history=HistoryPolicy.KEEP_LAST)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", qos)
        self.net_message = TFMessage()
        self._child_frame_ids: set[str] = set()

    def sendTransform(  # noqa: N802 (tf2_ros' own name)
        self, transform: TransformStamped | Iterable[TransformStamped]
    ) -> None:
        """Publish one transform or several, together with all sent before."""
        for candidate in as_list(transform):
            if candidate.child_frame_id not in self._child_frame_ids:
                self._child_frame_ids.add(candidate.child_frame_id)
                self.net_message.transforms.append(candidate)
        self.pub_tf.publish(self.net_message)
