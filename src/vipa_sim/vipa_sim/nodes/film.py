"""Films the scene camera with what the policy intends drawn in. Guarded by tests/graph/test_evaluation_graph.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from vipa_msgs.msg import ActionChunk
from vipa_policy.errors import VipaError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import (
    chunk_from_message,
    intrinsics_from_camera_info,
    nanoseconds_of,
    rgb_from_image,
)
from vipa_policy.observation import Chunk
from vipa_sim.overlay import Caption, Intent, draw_caption, draw_intent, enlarge, project
from vipa_sim.video import VideoWriter

CAMERA = "camera/camera/color"
SENSOR_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
# A prediction older than this, in s of simulated time, is no longer what the policy intends.
STALE = 0.5


@dataclass(frozen=True)
class Still:
    """A picture and how much of the predicted path it shows, in pixels."""

    picture: NDArray[np.uint8]
    path_length: float


class Film:
    """Draws and appends every picture that arrives while ``rolling``."""

    def __init__(self, node: Node, writer: VideoWriter, factor: int) -> None:
        """Film what ``node`` receives, enlarged ``factor`` times."""
        self._node = node
        self._writer = writer
        self._factor = factor
        self._intrinsics: Array | None = None
        self._chunk: Chunk | None = None
        self.rolling = False
        self.caption = Caption("")
        self.best: Still | None = None
        self._subscriptions_of_film = [
            node.create_subscription(CameraInfo, f"{CAMERA}/camera_info", self._take_info, SENSOR_QOS),
            node.create_subscription(Image, f"{CAMERA}/image_raw", self._take_picture, SENSOR_QOS),
            node.create_subscription(ActionChunk, "policy/chunk", self._take_chunk, QoSProfile(depth=1)),
        ]

    def forget_intent(self) -> None:
        """Draw no prediction until the next one arrives."""
        self._chunk = None

    def _take_info(self, message: CameraInfo) -> None:
        try:
            self._intrinsics = intrinsics_from_camera_info(message, message.width, message.height)
        except VipaError as error:
            self._node.get_logger().warning(f"not filmed: {error}", throttle_duration_sec=5.0)

    def _take_chunk(self, message: ActionChunk) -> None:
        try:
            self._chunk = chunk_from_message(message)[0]
        except VipaError as error:
            self._node.get_logger().warning(f"not drawn: {error}", throttle_duration_sec=5.0)

    def _take_picture(self, message: Image) -> None:
        if not self.rolling or self._intrinsics is None:
            return
        try:
            rgb = rgb_from_image(message)
        except VipaError as error:
            self._node.get_logger().warning(f"not filmed: {error}", throttle_duration_sec=5.0)
            return
        picture, intrinsics = enlarge(rgb, self._intrinsics, self._factor)
        chunk = self._chunk
        length = 0.0
        # The scene camera stands still: a path predicted from an earlier picture lies right in this one.
        if chunk is not None and abs(nanoseconds_of(message.header.stamp) * 1e-9 - chunk.stamp) < STALE:
            draw_intent(
                picture,
                intrinsics,
                Intent(chunk.camera_from_tip, chunk.gripper, chunk.pointed, chunk.pointed_confidence),
            )
            pixels, visible = project(chunk.camera_from_tip[:, :3, 3], intrinsics)
            length = float(np.linalg.norm(np.diff(pixels[visible], axis=0), axis=1).sum())
        framed = draw_caption(picture, self.caption)
        if self.best is None or length > self.best.path_length:
            self.best = Still(framed, length)
        self._writer.add(framed)
