"""The transform buffer, with messages at its surface and the tree of numbers inside."""

from __future__ import annotations

import threading
from typing import Any

from _tf2_tree.rigid import Pose, compose, normalised
from _tf2_tree.tree import FrameTree
from geometry_msgs.msg import TransformStamped
from rclpy.logging import get_logger
from rclpy.time import Time

DEFAULT_CACHE_TIME = 10_000_000_000


def to_nanoseconds(time: Any) -> int:
    """Return whole ns of an rclpy Time or Duration or of a message with sec and nanosec."""
    if hasattr(time, "nanoseconds"):
        return int(time.nanoseconds)
    if hasattr(time, "sec") and hasattr(time, "nanosec"):
        return int(time.sec) * 1_000_000_000 + int(time.nanosec)
    raise TypeError("time must have sec and nanosec, or nanoseconds.")


def _to_message(target: str, source: str, stamp: int, pose: Pose) -> TransformStamped:
    message = TransformStamped()
    header = message.header
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    header.frame_id = target
    message.child_frame_id = source
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z, rotation.x, rotation.y, rotation.z, rotation.w = pose
    return message


class BufferCore:
    """Keeps ``cache_time`` (default 10 s) of every moving frame and answers where a frame was at a stamp."""

    def __init__(self, cache_time: Any = None) -> None:
        self._lock = threading.RLock()
        self._tree = FrameTree(
            DEFAULT_CACHE_TIME if cache_time is None else to_nanoseconds(cache_time),
            lambda text: get_logger("tf2").error(text, throttle_duration_sec=1.0),
        )

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take a moving frame's pose at its stamp; a bad one is logged and dropped."""
        self._set(transform, authority, False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take a fixed frame's pose; a bad one is logged and dropped."""
        self._set(transform, authority, True)

    def can_transform_core(self, target_frame: str, source_frame: str, time: Any) -> tuple[bool, str]:
        """Tell whether a lookup would succeed, and why not."""
        with self._lock:
            problem = self._tree.why_not(target_frame, source_frame, to_nanoseconds(time))
        return not problem, problem

    def can_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> tuple[bool, str]:
        """Tell whether a lookup through ``fixed_frame`` would succeed, and why not."""
        possible, problem = self.can_transform_core(target_frame, fixed_frame, target_time)
        if not possible:
            return False, problem
        return self.can_transform_core(fixed_frame, source_frame, source_time)

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Any) -> TransformStamped:
        """Return the transform that takes points in ``source_frame`` to ``target_frame`` at a time (0: the newest)."""
        nanoseconds = to_nanoseconds(time)
        with self._lock:
            stamp, pose = self._tree.lookup(target_frame, source_frame, nanoseconds)
        return _to_message(target_frame, source_frame, stamp, pose)

    def lookup_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> TransformStamped:
        """Return the transform from the source at one time to the target at another, ``fixed_frame`` standing still."""
        first, second = to_nanoseconds(source_time), to_nanoseconds(target_time)
        with self._lock:
            _, fixed_from_source = self._tree.lookup(fixed_frame, source_frame, first)
            stamp, target_from_fixed = self._tree.lookup(target_frame, fixed_frame, second)
        pose = normalised(compose(target_from_fixed, fixed_from_source))
        return _to_message(target_frame, source_frame, stamp, pose)

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the newest time at which the whole chain between two frames is known."""
        with self._lock:
            self._tree.validate("get_latest_common_time", target_frame)
            self._tree.validate("get_latest_common_time", source_frame)
            return Time(nanoseconds=self._tree.latest_common_time(target_frame, source_frame))

    def all_frames_as_string(self) -> str:
        """Return a line on each frame and its parent."""
        with self._lock:
            return self._tree.as_string()

    def all_frames_as_yaml(self) -> str:
        """Return a YAML document on all frames."""
        with self._lock:
            return self._tree.as_yaml()

    def clear(self) -> None:
        """Forget where moving frames were; fixed transforms stay."""
        with self._lock:
            self._tree.clear()

    def _frameExists(self, frame_id_str: str) -> bool:  # noqa: N802 (tf2_py's own name)
        with self._lock:
            return self._tree.exists(frame_id_str)

    def _set(self, transform: TransformStamped, authority: str, is_static: bool) -> None:
        header, motion = transform.header, transform.transform
        stamp, translation, rotation = header.stamp, motion.translation, motion.rotation
        pose = (
            translation.x,
            translation.y,
            translation.z,
            rotation.x,
            rotation.y,
            rotation.z,
            rotation.w,
        )
        nanoseconds = stamp.sec * 1_000_000_000 + stamp.nanosec
        with self._lock:
            self._tree.insert(header.frame_id, transform.child_frame_id, nanoseconds, pose, authority, is_static)
