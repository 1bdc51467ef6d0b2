"""From topics and TF to the library's Observation. Guarded by tests/graph/test_policy_node.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_ros import Buffer, TransformException, TransformListener

from vipa_policy.contract import ActionContract
from vipa_policy.errors import ContractMismatch, ObservationError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import (
    depth_from_image,
    intrinsics_from_camera_info,
    matrix_from_transform,
    rgb_from_image,
    seconds_of,
)
from vipa_policy.nodes.reception import subscribe
from vipa_policy.observation import CameraView, Observation
from vipa_policy.synchroniser import FUTURE_TOLERANCE, Part, PartSet, Synchroniser

COLOUR, DEPTH, INTRINSICS, JOINTS = "colour", "depth", "CameraInfo", "joint states"
TOPICS: dict[str, tuple[type, str]] = {
    COLOUR: (Image, "color/image_raw"),
    DEPTH: (Image, "aligned_depth_to_color/image_raw"),
    INTRINSICS: (CameraInfo, "color/camera_info"),
}


@dataclass(frozen=True)
class Observed:
    """An observation with what the chunk's header and timings need."""

    observation: Observation
    header: Any  # std_msgs/Header of the reference image, its stamp exact
    arrived: float
    skew: float


class Observer:
    """Subscribes to what a contract asks for and builds observations of single instants.

    Args:
        node: to subscribe on.
        contract: of the policy.
        values: the policy node's parameters.
        notify: called whenever a new complete set of parts is there.

    Raises ContractMismatch where the contract wants a camera this node has no topics for.
    """

    def __init__(
        self, node: Node, contract: ActionContract, values: dict[str, Any], notify: Callable[[], None]
    ) -> None:
        self._node = node
        self._contract = contract
        self._values = values
        self._notify = notify
        self._lock = threading.Lock()
        prefixes = self._prefixes()
        topics: dict[Part, str] = {}
        kinds: dict[Part, type] = {}
        names = [camera.name for camera in contract.cameras]
        names.sort(key=lambda name: name != contract.reference_camera)  # the reference leads the synchroniser
        for name in names:
            for what, (kind, suffix) in TOPICS.items():
                topics[name, what], kinds[name, what] = f"{prefixes[name]}/{suffix}", kind
        topics["", JOINTS], kinds["", JOINTS] = "joint_states", JointState
        self._synchroniser = Synchroniser(topics, values["slop"], values["timeout"], values["oldest"])
        self.buffer = Buffer(node=node)
        self._listener = TransformListener(self.buffer, node)
        self._subscriptions = [
            subscribe(node, kinds[part], topic, self._receiver(part)) for part, topic in topics.items()
        ]

    def destroy(self) -> None:
        """Unsubscribe from everything."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._listener.unregister()

    def problem(self, now: float) -> str:
        """Say what is missing at ``now`` (s), "" if nothing is."""
        with self._lock:
            return self._synchroniser.problem(now)

    def clear(self) -> None:
        """Forget everything that arrived."""
        with self._lock:
            self._synchroniser.clear()

    def observe(self, now: float) -> Observed | None:
        """Build the observation of the newest complete set, None where there is no new one.

        Waits a little for TF, so call it from a thread of its own. Raises ObservationError where a part cannot be used
        or TF does not tell where the cameras and the tip were.
        """
        with self._lock:
            parts = self._synchroniser.take(now)
        return None if parts is None else self._build(parts)

    def camera_from(self, observed: Observed, frame: str) -> Array:
        """Return (4, 4) from a frame to the reference camera's, both at the image's stamp; errors as in ``observe``."""
        return self._transform(observed.header, frame, observed.header.stamp)

    def _prefixes(self) -> dict[str, str]:
        names, topics = self._values["camera_names"], self._values["camera_topics"]
        if len(names) != len(topics):
            raise ContractMismatch(
                f"expected one topic prefix for each camera, got camera_names {list(names)} and camera_topics "
                f"{list(topics)}"
            )
        prefixes = dict(zip(names, topics, strict=True))
        missing = [camera.name for camera in self._contract.cameras if camera.name not in prefixes]
        if missing:
            raise ContractMismatch(
                f"the checkpoint and the policy node do not see the same cameras: the checkpoint wants "
                f"{[camera.name for camera in self._contract.cameras]}, the policy node has topics for "
                f"{list(prefixes)}; name the missing ones in camera_names and camera_topics"
            )
        return prefixes

    def _receiver(self, part: Part) -> Callable[[float, bytes], None]:
        def receive(stamp: float, serialised: bytes) -> None:
            now = self._node.get_clock().now().nanoseconds * 1e-9
            with self._lock:
                self._synchroniser.add(part, stamp, serialised, now)
                complete = part[1] != JOINTS and self._synchroniser.has_new()
            if complete:
                self._notify()

        return receive

    def _build(self, parts: PartSet) -> Observed:
        images: dict[str, tuple[Image, Image, CameraInfo]] = {}
        for camera in self._contract.cameras:
            colour, depth, info = (
                deserialize_message(parts.parts[camera.name, what][1], TOPICS[what][0])
                for what in (COLOUR, DEPTH, INTRINSICS)
            )
            images[camera.name] = (colour, depth, info)
        header = images[self._contract.reference_camera][0].header
        joints = deserialize_message(parts.parts["", JOINTS][1], JointState)
        # The tip first: once TF has arrived for it, it has arrived for the cameras the arm carries too.
        camera_from_tip = self._transform(header, self._contract.tip_frame, header.stamp)
        views = tuple(self._view(camera.name, *images[camera.name], header=header) for camera in self._contract.cameras)
        observation = Observation(
            stamp=parts.stamp,
            views=views,
            camera_from_tip=camera_from_tip,
            gripper_width=self._gripper_width(joints),
        )
        return Observed(observation=observation, header=header, arrived=parts.arrived, skew=parts.skew)

    def _view(self, name: str, colour: Image, depth: Image, info: CameraInfo, header: Any) -> CameraView:
        if (colour.width, colour.height) != (depth.width, depth.height):
            raise ObservationError(
                f"expected depth of camera {name} aligned to colour ({colour.width} x {colour.height} pixels), got "
                f"{depth.width} x {depth.height}; use the aligned depth topic"
            )
        return CameraView(
            name=name,
            rgb=rgb_from_image(colour),
            depth=depth_from_image(depth),
            intrinsics=intrinsics_from_camera_info(info, colour.width, colour.height),
            reference_from_camera=self._transform(header, colour.header.frame_id, colour.header.stamp),
        )

    def _transform(self, header: Any, source: str, stamp: Any) -> Array:
        """Return (4, 4) from a frame at its stamp to the reference camera at the image's, through the base."""
        query = (header.frame_id, Time.from_msg(header.stamp), source, Time.from_msg(stamp), self._values["base_frame"])
        try:
            arrived = threading.Event()
            future = self.buffer.wait_for_transform_full_async(*query)
            future.add_done_callback(lambda _: arrived.set())
            if not arrived.wait(self._values["tf_wait"]):
                future.cancel()
            self._refuse_future(source)
            return matrix_from_transform(self.buffer.lookup_transform_full(*query).transform)
        except TransformException as error:
            raise ObservationError(
                f"TF from {source} to {header.frame_id} at the image's stamp is missing: {error}; "
                "is the arm's driver publishing, with the camera's clock?"
            ) from error

    def _refuse_future(self, frame: str) -> None:
        """Raise ObservationError where TF runs ahead of the clock: it would be looked up at the wrong moment."""
        newest = self.buffer.lookup_transform(self._values["base_frame"], frame, Time()).header.stamp
        ahead = seconds_of(newest) - self._node.get_clock().now().nanoseconds * 1e-9
        if ahead > FUTURE_TOLERANCE:
            raise ObservationError(
                f"TF of {frame} is stamped {ahead:.2f} s in the future; check clocks and use_sim_time of its publisher"
            )

    def _gripper_width(self, joints: JointState) -> float:
        wanted = self._values["gripper_joints"]
        positions = dict(zip(joints.name, joints.position, strict=False))
        missing = [name for name in wanted if name not in positions]
        if missing:
            raise ObservationError(
                f"expected the joints {list(wanted)} in joint_states, {missing} are missing among {list(joints.name)}; "
                "set gripper_joints"
            )
        return float(sum(positions[name] for name in wanted))
