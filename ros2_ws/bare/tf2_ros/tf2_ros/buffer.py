"""The buffer a node looks transforms up in."""

from __future__ import annotations

import threading
import time as wall
from collections.abc import Callable
from typing import Any

import tf2_py
from _tf2_tree.wire import Entry
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.task import Future

Times = Any  # rclpy Time, or a message with sec and nanosec
_NO_WAIT = Duration()


class Buffer(tf2_py.BufferCore):
    """Answers where a frame was at a stamp.

    Timeouts are of wall time, as in tf2_ros, so that they end also under a clock that stands still. A wait blocks the
    calling thread: data arrives meanwhile only if another thread spins the listener.

    Args:
        cache_time: how much of the past to keep, default 10 s.
        node: its clock's jumps back by more than 1 s, and its changes of source, clear the buffer.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        super().__init__(cache_time)
        self._new_data = threading.Condition(self._lock)
        self._waiting = 0
        self._callbacks: list[Callable[[], None]] = []
        self.clock = node.get_clock() if node is not None else Clock()
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-1), on_clock_change=True)
        self.jump_handle = self.clock.create_jump_callback(threshold, post_callback=self.time_jump_callback)

    def time_jump_callback(self, time_jump: TimeJump) -> None:
        """Clear the buffer: what it holds lies in the future of the new time."""
        get_logger("tf2_buffer").warning("Detected jump back in time. Clearing tf buffer.")
        self.clear()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take a moving frame's pose at its stamp and wake who waits for it."""
        self._set(transform, authority, False)
        if self._waiting or self._callbacks:
            self._announce()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take a fixed frame's pose and wake who waits for it."""
        self._set(transform, authority, True)
        if self._waiting or self._callbacks:
            self._announce()

    def _take(self, entries: list[Entry], authority: str, is_static: bool) -> None:
        """Take what a listener read from one message."""
        insert = self._tree.insert
        with self._lock:
            for parent, child, stamp, pose in entries:
                insert(parent, child, stamp, pose, authority, is_static)
        if self._waiting or self._callbacks:
            self._announce()

    def lookup_transform(
        self, target_frame: str, source_frame: str, time: Times, timeout: Duration = _NO_WAIT
    ) -> TransformStamped:
        """Return the transform that takes points in ``source_frame`` to ``target_frame`` at ``time`` (0: the newest).

        Waits up to ``timeout``. Raises LookupException, ConnectivityException, ExtrapolationException or
        InvalidArgumentException, all of them a TransformException.
        """
        if timeout.nanoseconds > 0:
            self.can_transform(target_frame, source_frame, time, timeout)
        return self.lookup_transform_core(target_frame, source_frame, time)

    def lookup_transform_full(
        self,
        target_frame: str,
        target_time: Times,
        source_frame: str,
        source_time: Times,
        fixed_frame: str,
        timeout: Duration = _NO_WAIT,
    ) -> TransformStamped:
        """Return the transform from the source at one time to the target at another, ``fixed_frame`` standing still."""
        if timeout.nanoseconds > 0:
            self.can_transform_full(target_frame, target_time, source_frame, source_time, fixed_frame, timeout)
        return self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)

    def can_transform(
        self,
        target_frame: str,
        source_frame: str,
        time: Times,
        timeout: Duration = _NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Tell whether the transform is there within ``timeout``; with ``return_debug_tuple`` also why not."""
        result = self._wait(lambda: self.can_transform_core(target_frame, source_frame, time), timeout)
        return result if return_debug_tuple else result[0]

    def can_transform_full(
        self,
        target_frame: str,
        target_time: Times,
        source_frame: str,
        source_time: Times,
        fixed_frame: str,
        timeout: Duration = _NO_WAIT,
        return_debug_tuple: bool = False,
    ) -> bool | tuple[bool, str]:
        """Tell whether the transform through ``fixed_frame`` is there within ``timeout``."""
        result = self._wait(
            lambda: self.can_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame),
            timeout,
        )
        return result if return_debug_tuple else result[0]

    def wait_for_transform_async(self, target_frame: str, source_frame: str, time: Times) -> Future:
        """Return a future of the transform, done as soon as it is there."""
        return self._future(
            lambda: self.can_transform_core(target_frame, source_frame, time)[0],
            lambda: self.lookup_transform_core(target_frame, source_frame, time),
        )

    def wait_for_transform_full_async(
        self, target_frame: str, target_time: Times, source_frame: str, source_time: Times, fixed_frame: str
    ) -> Future:
        """Return a future of the transform through ``fixed_frame``, done as soon as it is there."""
        arguments = (target_frame, target_time, source_frame, source_time, fixed_frame)
        return self._future(
            lambda: self.can_transform_full_core(*arguments)[0],
            lambda: self.lookup_transform_full_core(*arguments),
        )

    async def lookup_transform_async(self, target_frame: str, source_frame: str, time: Times) -> TransformStamped:
        """Await the transform and return it."""
        await self.wait_for_transform_async(target_frame, source_frame, time)
        return self.lookup_transform_core(target_frame, source_frame, time)

    async def lookup_transform_full_async(
        self, target_frame: str, target_time: Times, source_frame: str, source_time: Times, fixed_frame: str
    ) -> TransformStamped:
        """Await the transform through ``fixed_frame`` and return it."""
        arguments = (target_frame, target_time, source_frame, source_time, fixed_frame)
        await self.wait_for_transform_full_async(*arguments)
        return self.lookup_transform_full_core(*arguments)

    def _wait(self, attempt: Callable[[], tuple[bool, str]], timeout: Duration) -> tuple[bool, str]:
        with self._new_data:
            result = attempt()
            if result[0] or timeout.nanoseconds <= 0:
                return result
            deadline = wall.monotonic() + timeout.nanoseconds * 1e-9
            self._waiting += 1
            try:
                while not result[0]:
                    remaining = deadline - wall.monotonic()
                    if remaining <= 0.0:
                        break
                    self._new_data.wait(remaining)
                    result = attempt()
            finally:
                self._waiting -= 1
            return result

    def _future(self, possible: Callable[[], bool], lookup: Callable[[], TransformStamped]) -> Future:
        future = Future()

        def offer() -> None:
            if future.done() or not possible():
                return
            try:
                future.set_result(lookup())
            except tf2_py.TransformException as error:
                future.set_exception(error)

        with self._lock:
            offer()
            if not future.done():
                self._callbacks.append(offer)
                future.add_done_callback(lambda _: self._withdraw(offer))
        return future

    def _withdraw(self, callback: Callable[[], None]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def _announce(self) -> None:
        with self._new_data:
            self._new_data.notify_all()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()
