"""What a camera sees of the board, with the hand's pose at the image's stamp. Shared by the two calibration nodes.

Guarded by tests/graph/test_calibration_node.py and tests/graph/test_calibrated_camera_node.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformException, TransformListener

from vipa_policy.calibration.board import Board, BoardDetector, BoardView
from vipa_policy.calibration.lens import Lens
from vipa_policy.errors import CalibrationError, ObservationError, VipaError
from vipa_policy.geometry import Array
from vipa_policy.nodes.calibration_messages import lens_from_camera_info
from vipa_policy.nodes.conversions import (
    NANOSECONDS,
    matrix_from_transform,
    nanoseconds_of,
    rgb_from_image,
    stamp_from_nanoseconds,
)
from vipa_policy.nodes.reception import subscribe

STATIC_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# s for which a picture waits for TF at its stamp: both are on their way, by different roads.
TF_WAIT = 0.3


@dataclass(frozen=True)
class Sighting:
    """A picture looked at.

    Attributes:
        stamp: s, of the image.
        frame: optical frame it is stamped with.
        rgb: (height, width, 3) uint8.
        lens: of the camera.
        view: corners seen, None where the board is not to be seen.
        hand_poses: base_from_hand (4, 4) at the stamp, then at the earlier moments asked for; empty without TF.
        problem: why the board is not seen or the pose not known, in words; "" where all is there.
    """

    stamp: float
    frame: str
    rgb: NDArray[np.uint8]
    lens: Lens
    view: BoardView | None
    hand_poses: tuple[Array, ...]
    problem: str


class BoardEye:
    """Takes pictures as they come and looks at the newest when asked.

    Args:
        node: to subscribe on.
        camera_topic: prefix of the camera's topics.
        board: to look for.
        base_frame, hand_frame: TF names.
        earlier: s before each image at which the hand's pose is wanted, too.
    """

    def __init__(
        self,
        node: Node,
        camera_topic: str,
        board: Board,
        base_frame: str,
        hand_frame: str,
        earlier: tuple[float, ...],
    ) -> None:
        self._node, self._detector = node, BoardDetector(board)
        self._base, self._hand, self._earlier = base_frame, hand_frame, earlier
        self.topic = f"{camera_topic}/color/image_raw"
        self._info_topic = f"{camera_topic}/color/camera_info"
        self._image: bytes | None = None
        self._info: bytes | None = None
        self._waiting: Image | None = None
        self.buffer = Buffer(node=node)
        self._listener = TransformListener(self.buffer, node)
        self._subscriptions = [
            subscribe(node, Image, self.topic, self._on_image),
            subscribe(node, CameraInfo, self._info_topic, self._on_info),
        ]

    def destroy(self) -> None:
        """Unsubscribe from everything."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._listener.unregister()

    def look(self) -> Sighting | None:
        """Look at the newest picture; None where there is no new one, or its TF may still come.

        Raises ObservationError or CalibrationError where image or CameraInfo cannot be used.
        """
        image = self._waiting or self._take()
        if image is None:
            return None
        self._waiting = None
        if self._info is None:
            raise ObservationError(f"nothing arrived yet on {self._info_topic}; start the camera driver's camera_info")
        info = deserialize_message(self._info, CameraInfo)
        if (info.width, info.height) != (image.width, image.height):
            raise ObservationError(
                f"image ({image.width} x {image.height} px) and CameraInfo ({info.width} x {info.height} px) belong to "
                "different sizes; subscribe to the camera_info of this image topic"
            )
        poses, problem = self._hand_poses(image)
        if not poses and self._node.get_clock().now().nanoseconds - nanoseconds_of(image.header.stamp) < TF_WAIT * 1e9:
            self._waiting = image
            return None
        lens, rgb = lens_from_camera_info(info), rgb_from_image(image)
        view = None
        try:
            view = self._detector.detect(rgb)
        except CalibrationError as error:
            problem = str(error)
        stamp = nanoseconds_of(image.header.stamp) * 1e-9
        return Sighting(stamp, image.header.frame_id, rgb, lens, view, poses, problem)

    def _hand_poses(self, image: Image) -> tuple[tuple[Array, ...], str]:
        """Return the hand's poses at the image's stamp and before, or none and why."""
        newest = nanoseconds_of(image.header.stamp)
        try:
            return tuple(
                matrix_from_transform(
                    self.buffer.lookup_transform(self._base, self._hand, Time.from_msg(self._stamp(moment))).transform
                )
                for moment in (newest, *(newest - round(before * NANOSECONDS) for before in self._earlier))
            ), ""
        except (TransformException, VipaError) as error:
            return (), f"no transform from {self._hand} to {self._base} at the image's stamp and before: {error}"

    @staticmethod
    def _stamp(nanoseconds: int) -> Any:
        # Not 0, which asks TF for the newest.
        return stamp_from_nanoseconds(max(nanoseconds, 1))

    def _take(self) -> Image | None:
        serialised, self._image = self._image, None
        return None if serialised is None else deserialize_message(serialised, Image)

    def _on_image(self, stamp: float, serialised: bytes) -> None:
        self._image = serialised

    def _on_info(self, stamp: float, serialised: bytes) -> None:
        self._info = serialised


def listen_to_static(node: Node, learn: Any) -> Any:
    """Subscribe to ``/tf_static``; ``learn`` gets parent, child and parent_from_child (4, 4) of every one."""

    def callback(message: TFMessage) -> None:
        for item in message.transforms:
            try:
                learn(item.header.frame_id, item.child_frame_id, matrix_from_transform(item.transform))
            except ObservationError as error:
                node.get_logger().warning(f"static transform of {item.child_frame_id} not used: {error}")

    return node.create_subscription(TFMessage, "/tf_static", callback, STATIC_QOS)
