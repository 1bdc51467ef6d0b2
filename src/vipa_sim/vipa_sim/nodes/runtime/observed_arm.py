"""The arm node as it is, noting when chunks were on its timeline and when setpoints left.

Subclassed, nothing inside it is replaced. Guarded by tests/graph/test_bench_runtime.py.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vipa_msgs.msg import ActionChunk
from vipa_policy.control.executor import Setpoint
from vipa_policy.geometry import Array
from vipa_policy.nodes.arm_node import ArmNode
from vipa_policy.nodes.controllers import ArmController
from vipa_policy.nodes.conversions import seconds_of
from vipa_policy.nodes.managed import run
from vipa_sim.runtime.records import CHUNK_COLUMNS, SETPOINT_COLUMNS, Notebook, Records


class NotingController:
    """Hands setpoints on, and notes when each was handed over."""

    def __init__(self, inner: ArmController, now: Callable[[], float], book: Notebook) -> None:
        self._inner, self._now, self._book = inner, now, book
        self.tick_began = 0.0

    def problem(self, now: float) -> str:
        """As the controller behind it."""
        return self._inner.problem(now)

    def send(self, setpoint: Setpoint) -> None:
        """Hand over and note."""
        made = time.thread_time() - self.tick_began
        self._inner.send(setpoint)
        self._book.note(self._now(), time.monotonic(), made)

    def rest(self) -> None:
        """As the controller behind it."""
        self._inner.rest()

    def measured(self, base_from_tip: Array, stamp: float) -> None:
        """As the controller behind it."""
        self._inner.measured(base_from_tip, stamp)

    def values(self) -> Mapping[str, str]:
        """As the controller behind it."""
        return self._inner.values()

    def destroy(self) -> None:
        """As the controller behind it."""
        self._inner.destroy()


class ObservedArm(ArmNode):
    """Notes chunks and setpoints; ``started`` appears as a file with the first chunk that is followed."""

    def __init__(self, started: Path) -> None:
        self._started: Path | None = started
        self.chunk_book, self.setpoint_book = Notebook(CHUNK_COLUMNS), Notebook(SETPOINT_COLUMNS)
        self._awaited: ActionChunk | None = None
        self._received = 0.0
        super().__init__()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stand in front of the controller."""
        result = super().on_configure(state)
        if result == TransitionCallbackReturn.SUCCESS:
            self._noting = NotingController(self._controller, lambda: self.now, self.setpoint_book)
            self._controller = self._noting
        return result

    def _on_chunk(self, message: ActionChunk) -> None:
        self._note()
        self._awaited, self._received = message, self.now
        super()._on_chunk(message)
        self._note_if_followed()

    def _note_if_followed(self) -> None:
        awaited, executor = self._awaited, self._executor
        if awaited is not None and executor is not None and executor.chunk_id == awaited.id:
            self._note(self.now)
            if self._started is not None:
                self._started.touch()
                self._started = None

    def _note(self, accepted: float = math.nan) -> None:
        """Note the chunk that is awaited, if there is one; without a time it was refused or overtaken."""
        message, self._awaited = self._awaited, None
        if message is None:
            return
        times = message.timings
        self.chunk_book.note(
            message.id,
            seconds_of(message.header.stamp),
            seconds_of(times.synchronised),
            seconds_of(times.inferred),
            seconds_of(times.published),
            self._received,
            accepted,
            times.inference,
        )

    def _tick(self) -> None:
        self._noting.tick_began = time.thread_time()
        super()._tick()
        self._note_if_followed()  # it may have waited for TF


def main(arguments: list[str] | None = None) -> int:
    """Run the arm node; what it noted is written when it has ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=Path, required=True, help="file for what was noted")
    options, rest = parser.parse_known_args(arguments)
    made: list[ObservedArm] = []

    def make() -> ObservedArm:
        made.append(ObservedArm(options.records.with_suffix(".started")))
        return made[0]

    status = run(make, [sys.argv[0], *rest])
    Records(made[0].chunk_book.table(), made[0].setpoint_book.table()).save(options.records)
    return status


if __name__ == "__main__":
    sys.exit(main())
