"""Topics and frames of an RGB-D camera, under the names of realsense-ros.

Guarded by tests/graph/test_realsense_node.py.
"""

from __future__ import annotations

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from vipa_policy.camera.driver import CameraDescription, CameraFrame
from vipa_policy.camera.optics import factory_frames, optical_frame
from vipa_policy.nodes.camera_messages import IMAGE_QOS, ImageMessage, calibration_message
from vipa_policy.nodes.conversions import stamp_from_nanoseconds, transform_stamped
from vipa_policy.nodes.qos import LATCHED_QOS


class CameraOutput:
    """Publishes frames of one camera, and its own transforms whenever another camera was opened.

    Args:
        node: publishes.
        topics: topic prefix, for example "camera/camera".
        frames: prefix of frame names, for example "camera".
    """

    def __init__(self, node: Node, topics: str, frames: str) -> None:
        self._node, self._frames = node, frames
        colour, depth = f"{topics}/color", f"{topics}/aligned_depth_to_color"
        self._colour = node.create_publisher(Image, f"{colour}/image_raw", IMAGE_QOS)
        self._colour_info = node.create_publisher(CameraInfo, f"{colour}/camera_info", IMAGE_QOS)
        self._depth = node.create_publisher(Image, f"{depth}/image_raw", IMAGE_QOS)
        self._depth_info = node.create_publisher(CameraInfo, f"{depth}/camera_info", IMAGE_QOS)
        self._transforms = node.create_publisher(TFMessage, "/tf_static", LATCHED_QOS)
        self._described: CameraDescription | None = None

    def publish(self, description: CameraDescription, frame: CameraFrame) -> None:
        """Publish a frame of the camera described: colour, aligned depth, both calibrations, all with one stamp."""
        if description is not self._described:
            self._introduce(description)
        stamp = stamp_from_nanoseconds(frame.stamp_ns)
        self._info_message.header.stamp = stamp
        self._colour_info.publish(self._info_message)
        self._depth_info.publish(self._info_message)
        self._colour.publish(self._colour_message.fill(frame.rgb, stamp))
        self._depth.publish(self._depth_message.fill(frame.depth, stamp))

    def destroy(self) -> None:
        """Take the topics away."""
        for publisher in (self._colour, self._colour_info, self._depth, self._depth_info, self._transforms):
            self._node.destroy_publisher(publisher)

    def _introduce(self, description: CameraDescription) -> None:
        lens = description.colour
        frame = optical_frame(self._frames, "color")
        self._colour_message = ImageMessage(frame, "rgb8", lens.width, lens.height, 3)
        self._depth_message = ImageMessage(frame, "16UC1", lens.width, lens.height, 2)
        self._info_message = calibration_message(frame, lens)
        stamp = self._node.get_clock().now().to_msg()
        transforms = [
            transform_stamped(matrix, parent, child, stamp)
            for parent, child, matrix in factory_frames(self._frames, description.colour_from_depth)
        ]
        self._transforms.publish(TFMessage(transforms=transforms))
        self._described = description
