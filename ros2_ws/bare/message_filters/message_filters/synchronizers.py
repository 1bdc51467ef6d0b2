"""Filters that put messages of several topics together by their stamps."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

from rclpy.duration import Duration

from message_filters.simple_filter import SimpleFilter, stamp_of

Queue: TypeAlias = dict[int, Any]  # message by stamp in ns


class TimeSynchronizer(SimpleFilter):
    """Puts out one message of each input where their stamps are equal; keeps ``queue_size`` of each while waiting."""

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:  # noqa: N802 (message_filters' own name)
        """Take messages from filters, in the order in which they are put out."""
        self.queues: list[Queue] = [{} for _ in fs]
        self.input_connections = [
            source.registerCallback(self.add, queue, index)
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message of one input."""
        with self.lock:
            stamp = msg.header.stamp
            self._keep(stamp.sec * 1_000_000_000 + stamp.nanosec, msg, my_queue)
            for time in sorted(set.intersection(*(set(queue) for queue in self.queues))):
                self._put_out([time] * len(self.queues))

    def _keep(self, time: int, message: Any, queue: Queue) -> None:
        queue[time] = message
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _put_out(self, times: Sequence[int]) -> None:
        self.signalMessage(*[queue.pop(time) for queue, time in zip(self.queues, times, strict=True)])


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Puts out one message of each input where their stamps lie less than ``slop`` s apart.

    Of several sets that fit a new message, the one put out has the closest message of the first input, then of the
    second, and so on. ``allow_headerless`` stamps messages without a header on arrival.
    """

    def __init__(
        self, fs: Sequence[SimpleFilter], queue_size: int, slop: float, allow_headerless: bool = False
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message of one input."""
        stamp = stamp_of(msg, self.allow_headerless, "message_filters_approx")
        if stamp is None:
            return
        with self.lock:
            time = stamp.nanoseconds
            self._keep(time, msg, my_queue)
            # A late message may be the oldest of a full queue and thus already be gone again.
            if time in my_queue:
                times = self._best_set(time, my_queue_index)
                if times is not None:
                    self._put_out(times)

    def _best_set(self, time: int, index: int | None) -> tuple[int, ...] | None:
        slop = self.slop.nanoseconds
        choices: list[list[int]] = []
        for other, queue in enumerate(self.queues):
            if other == index:
                choices.append([time])
                continue
            near = sorted(
                (candidate for candidate in queue if abs(candidate - time) <= slop), key=lambda c: abs(c - time)
            )
            if not near:
                return None
            choices.append(near)
        for times in itertools.product(*choices):
            if max(times) - min(times) < slop:
                return times
        return None
