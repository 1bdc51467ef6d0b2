"""What the cell sends out: clock, joint states and transforms every tick, pictures and truth at the camera's rate.

Guarded by tests/graph/test_cell_node.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from vipa_policy.geometry import Array
from vipa_policy.nodes.arm_messages import JointStateMessage, TransformsMessage, static_transforms
from vipa_policy.nodes.camera_messages import IMAGE_QOS, ImageMessage
from vipa_policy.nodes.qos import LATCHED_QOS
from vipa_policy.observation import CameraView
from vipa_sim.camera import depth_to_millimetres
from vipa_sim.description import robot_description
from vipa_sim.nodes.cell_messages import camera_info

CLOCK_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
STATE_QOS = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
TRANSFORM_QOS = QoSProfile(depth=100, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


class ArmPublisher:
    """Publishes ``clock``, ``joint_states`` and the moving part of ``tf``."""

    def __init__(self, node: Node, joint_names: Sequence[str], edges: Sequence[tuple[str, str]]) -> None:
        """Publish on ``node`` joints of these names and transforms of these (parent, child) pairs."""
        self._clock = node.create_publisher(Clock, "/clock", CLOCK_QOS)
        self._joints = node.create_publisher(JointState, "joint_states", STATE_QOS)
        self._transforms = node.create_publisher(TFMessage, "/tf", TRANSFORM_QOS)
        self._clock_message = Clock()
        self._joints_message = JointStateMessage(joint_names)
        self._transforms_message = TransformsMessage(edges)

    def publish(self, stamp: Time, joints: tuple[Array, Array], transforms: tuple[Array, Array]) -> None:
        """Publish one tick.

        Args:
            stamp: of the tick.
            joints: positions and velocities (joints,) in rad or m, and per s.
            transforms: positions (edges, 3) in m and quaternions (edges, 4) x, y, z, w.
        """
        self._clock_message.clock = stamp
        self._clock.publish(self._clock_message)
        self._transforms.publish(self._transforms_message.fill(*transforms, stamp))
        self._joints.publish(self._joints_message.fill(*joints, stamp))


class StaticTransforms:
    """Publishes ``tf_static``: every known transform again whenever one changes."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(TFMessage, "/tf_static", LATCHED_QOS)
        self._known: dict[str, tuple[str, Array]] = {}

    def publish(self, transforms: Sequence[tuple[str, str, Array]], stamp: Time) -> None:
        """Add or replace (parent, child, parent_from_child) triples."""
        self._known.update({child: (parent, matrix) for parent, child, matrix in transforms})
        triples = [(parent, child, matrix) for child, (parent, matrix) in self._known.items()]
        self._publisher.publish(static_transforms(triples, stamp))


def publish_description(node: Node) -> Publisher:
    """Publish the arm's URDF on ``robot_description`` for whoever comes, as robot_state_publisher does."""
    publisher = node.create_publisher(String, "robot_description", LATCHED_QOS)
    publisher.publish(String(data=robot_description()))
    return publisher


class CameraPublisher:
    """Publishes one RGB-D camera under the topic names of realsense-ros."""

    def __init__(self, node: Node, namespace: str, optical_frame: str, width: int, height: int) -> None:
        """Publish on ``node`` under ``namespace`` pictures of ``width`` x ``height`` pixels in ``optical_frame``."""
        self._frame, self._width, self._height = optical_frame, width, height
        colour, depth = f"{namespace}/color", f"{namespace}/aligned_depth_to_color"
        self._colour = node.create_publisher(Image, f"{colour}/image_raw", IMAGE_QOS)
        self._colour_info = node.create_publisher(CameraInfo, f"{colour}/camera_info", IMAGE_QOS)
        self._depth = node.create_publisher(Image, f"{depth}/image_raw", IMAGE_QOS)
        self._depth_info = node.create_publisher(CameraInfo, f"{depth}/camera_info", IMAGE_QOS)
        self._colour_message = ImageMessage(optical_frame, "rgb8", width, height, 3)
        self._depth_message = ImageMessage(optical_frame, "16UC1", width, height, 2)
        self._intrinsics: Array = np.zeros((3, 3))
        self._info_message = CameraInfo()

    def publish(self, view: CameraView, stamp: Time) -> None:
        """Publish one view: picture, aligned depth and calibration, all with the same stamp."""
        if not np.array_equal(view.intrinsics, self._intrinsics):
            self._intrinsics = np.array(view.intrinsics)
            self._info_message = camera_info(self._frame, self._width, self._height, self._intrinsics)
        self._info_message.header.stamp = stamp
        self._colour_info.publish(self._info_message)
        self._depth_info.publish(self._info_message)
        self._colour.publish(self._colour_message.fill(view.rgb, stamp))
        self._depth.publish(self._depth_message.fill(depth_to_millimetres(view.measured_depth), stamp))
