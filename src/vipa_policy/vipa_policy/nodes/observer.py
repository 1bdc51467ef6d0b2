"""From topics and TF to the library's Observation. Guarded by tests/graph/test_policy_node.py."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header
from tf2_ros import Buffer, TransformException, TransformListener

from vipa_policy.camera.health import RepeatDetector
from vipa_policy.clock_watch import FUTURE_TOLERANCE
from vipa_policy.contract import ActionContract
from vipa_policy.errors import ContractMismatch, ObservationError, VipaError
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import (
    depth_from_image,
    intrinsics_from_camera_info,
    matrix_from_transform,
    nanoseconds_of,
    rgb_from_image,
    seconds_of,
    stamp_from_nanoseconds,
)
from vipa_policy.nodes.reception import Picture, picture_from, pixels_of, subscribe
from vipa_policy.observation import CameraView, Observation
from vipa_policy.synchroniser import Part, PartSet, Synchroniser

# s that least latencies of camera and robot may differ by for the way alone: exposure, transfer and driver take time,
# some tens of ms, and none of them is negative.
WAY = 0.15
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
    header: Header  # of the reference image; its stamp is exact, and where pictures are stamped late, the capture's
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
        self._parts = tuple(topics)
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

    @property
    def reference(self) -> str:
        """Name of the camera whose pictures set the instant."""
        return self._contract.reference_camera

    def problem(self, now: float) -> str:
        """Say what is missing at ``now`` (s), "" if nothing is."""
        with self._lock:
            return self._synchroniser.problem(now)

    def least_latencies(self) -> dict[str, float]:
        """Return by part, "scene colour" or "joint states", the least time in s from stamp to arrival lately."""
        with self._lock:
            return {" ".join(part).strip(): self._synchroniser.least_latency(part) for part in self._parts}

    def clock_problem(self) -> str:
        """Say where stamps of cameras and robot cannot come from one clock, "" where they can."""
        with self._lock:
            robot = self._synchroniser.least_latency(("", JOINTS))
            for camera in self._contract.cameras:
                seen = self._synchroniser.least_latency((camera.name, COLOUR))
                if not seen - robot <= WAY and math.isfinite(seen - robot):
                    return (
                        f"pictures of camera {camera.name} arrive {seen:.3f} s after their stamp at the earliest, "
                        f"joint states after {robot:.3f} s: do camera and arm share a clock?"
                    )
        return ""

    def poses(self, stamp: float, frame: str) -> tuple[Array, Array] | None:
        """Return (4, 4) of the tip and of a camera's frame in the base at ``stamp`` (s), None where TF does not tell.

        Nothing is waited for.
        """
        moment = Time(nanoseconds=round(stamp * 1e9))
        base = self._values["base_frame"]
        try:
            tip = self.buffer.lookup_transform(base, self._contract.tip_frame, moment).transform
            camera = self.buffer.lookup_transform(base, frame, moment).transform
            return matrix_from_transform(tip), matrix_from_transform(camera)
        except (TransformException, VipaError):
            return None

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
        delay = 0.0 if part[1] == JOINTS else self._values["image_delay"]
        watched = RepeatDetector() if part[1] in (COLOUR, DEPTH) and self._values["refuse_repeats"] else None

        def receive(stamp: float, serialised: bytes) -> None:
            now = self._node.get_clock().now().nanoseconds * 1e-9
            repeated = watched is not None and _repeats(watched, serialised)
            with self._lock:
                if repeated:
                    self._synchroniser.repeat(part, now)
                    return
                self._synchroniser.add(part, stamp - delay, serialised, now)
                complete = part[1] != JOINTS and self._synchroniser.has_new()
            if complete:
                self._notify()

        return receive

    def _captured(self, header: Header) -> Header:
        """Return the header of a picture with the stamp of its capture."""
        if not self._values["image_delay"]:
            return header
        nanoseconds = nanoseconds_of(header.stamp) - round(self._values["image_delay"] * 1e9)
        return Header(stamp=stamp_from_nanoseconds(nanoseconds), frame_id=header.frame_id)

    def _build(self, parts: PartSet) -> Observed:
        images: dict[str, tuple[Picture, Picture, CameraInfo]] = {}
        for camera in self._contract.cameras:
            colour, depth = (picture_from(parts.parts[camera.name, what][1]) for what in (COLOUR, DEPTH))
            info = deserialize_message(parts.parts[camera.name, INTRINSICS][1], CameraInfo)
            images[camera.name] = (colour, depth, info)
        header = self._captured(images[self._contract.reference_camera][0].header)
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

    def _view(self, name: str, colour: Picture, depth: Picture, info: CameraInfo, header: Any) -> CameraView:
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
            reference_from_camera=self._transform(header, colour.header.frame_id, self._captured(colour.header).stamp),
        )

    def _transform(self, header: Any, source: str, stamp: Any) -> Array:
        """Return (4, 4) from a frame at its stamp to the reference camera at the image's, through the base."""
        query = (header.frame_id, Time.from_msg(header.stamp), source, Time.from_msg(stamp), self._values["base_frame"])
        try:
            self._refuse_future(source)
            return matrix_from_transform(self._looked_up(query).transform)
        except TransformException as error:
            raise ObservationError(
                f"TF from {source} to {header.frame_id} at the image's stamp is missing: {error}; "
                "is the arm's driver publishing, with the camera's clock?"
            ) from error

    def _looked_up(self, query: tuple[str, Time, str, Time, str]) -> TransformStamped:
        """Return what TF tells, waited for as long as the parameter tf_wait allows."""
        try:
            return self.buffer.lookup_transform_full(*query)
        except TransformException:
            arrived = threading.Event()
            future = self.buffer.wait_for_transform_full_async(*query)
            future.add_done_callback(lambda _: arrived.set())
            if not arrived.wait(self._values["tf_wait"]):
                future.cancel()
            return self.buffer.lookup_transform_full(*query)

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


def _repeats(detector: RepeatDetector, serialised: bytes) -> bool:
    pixels = pixels_of(serialised)
    if pixels is None:
        return False
    detector.take(pixels)
    return detector.repeated
