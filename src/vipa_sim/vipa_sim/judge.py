"""Success of a trial, judged from the simulator's truth alone, never from what a policy says.

The single place for what counts as done. Guarded by tests/sim/test_judge.py.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from vipa_sim.experts import TASKS, is_held
from vipa_sim.scene import BOWL_DIAMETER, BOWL_HEIGHT, CellObject, CellSnapshot

REACH_TOLERANCE: Final = 0.020
"""m between tool centre and grasp point."""
HOLD_TIME: Final = 0.5
"""s for which a result must last."""
LIFT: Final = 0.05
"""m that a block's centre must rise above where it rested."""
# Fingers this much wider than a block no longer touch it.
RELEASE_MARGIN: Final = 0.01
# Float noise of simulated stamps.
TIME_SLACK: Final = 1e-6


@dataclass(frozen=True)
class TrialStatus:
    """Progress of a trial.

    Attributes:
        task: "reach", "pick" or "place".
        target: name of the block asked for.
        destination: name of the bowl, for "place", else "".
        finished: whether it is over, by success or by time.
        succeeded: whether the task was done.
        elapsed: s of simulated time since the trial began; stops when it is over.
        error: m, the smallest distance of the tool centre to the target's grasp point that was held for HOLD_TIME;
            infinite before that time has passed.
        distance: m, that distance now.
        nearest: name of the block nearest to the tool centre now.
    """

    task: str
    target: str
    destination: str
    finished: bool
    succeeded: bool
    elapsed: float
    error: float
    distance: float
    nearest: str


class Judge:
    """Follows one trial. Feed it snapshots at any rate from about 10 Hz; it begins with the first."""

    def __init__(self, task: str, target: str, destination: str | None, time_limit: float) -> None:
        if task not in TASKS:
            raise ValueError(f"expected a task of {', '.join(TASKS)}; got '{task}'")
        if not (math.isfinite(time_limit) and time_limit > 0.0):
            raise ValueError(f"expected a time limit above 0 s, got {time_limit}")
        if task == "place" and not destination:
            raise ValueError("the task 'place' needs the name of a bowl as destination; got none")
        self._task, self._target, self._destination = task, target, destination or ""
        self._time_limit = time_limit
        self._start: float | None = None
        self._rest_height = 0.0
        self._good_since: float | None = None
        self._error = math.inf
        self._window: deque[tuple[float, float]] = deque()
        self.status: TrialStatus | None = None

    def update(self, state: CellSnapshot) -> TrialStatus:
        """Take a snapshot and return the trial's status. A finished trial keeps its result.

        Raises KeyError where the cell lacks the target or the destination.
        """
        if self.status is not None and self.status.finished:
            return self.status
        block = state.find(self._target)
        bowl = state.find(self._destination) if self._destination else None
        if self._start is None:
            self._start = state.time
            self._rest_height = float(block.grasp_point[2])
        distance = _distance(state, block)
        self._track_error(state.time, distance)
        if not self._is_good(state, block, bowl, distance):
            self._good_since = None
        elif self._good_since is None:
            self._good_since = state.time
        succeeded = self._good_since is not None and state.time - self._good_since >= HOLD_TIME - TIME_SLACK
        elapsed = state.time - self._start
        blocks = [item for item in state.objects if item.kind == "block"]
        self.status = TrialStatus(
            task=self._task,
            target=self._target,
            destination=self._destination,
            finished=succeeded or elapsed >= self._time_limit - TIME_SLACK,
            succeeded=succeeded,
            elapsed=elapsed,
            error=self._error,
            distance=distance,
            nearest=min(blocks, key=lambda item: _distance(state, item)).name,
        )
        return self.status

    def _is_good(self, state: CellSnapshot, block: CellObject, bowl: CellObject | None, distance: float) -> bool:
        """Tell whether the task is done at this instant."""
        if self._task == "reach":
            return distance <= REACH_TOLERANCE
        if self._task == "pick":
            lifted = float(block.grasp_point[2]) - self._rest_height >= LIFT
            return lifted and is_held(state.base_from_tip, state.gripper_width, block)
        return bowl is not None and _is_in_bowl(block, bowl) and _is_released(state, block)

    def _track_error(self, time: float, distance: float) -> None:
        """Keep the smallest over time of the largest distance within a sliding window of HOLD_TIME."""
        self._window.append((time, distance))
        # Keep one sample at or before the window's start, so that the window is covered whole.
        while len(self._window) > 1 and self._window[1][0] <= time - HOLD_TIME + TIME_SLACK:
            self._window.popleft()
        if self._window[0][0] <= time - HOLD_TIME + TIME_SLACK:
            self._error = min(self._error, max(value for _, value in self._window))


def _distance(state: CellSnapshot, block: CellObject) -> float:
    """Return m between the tool centre and a block's grasp point."""
    return float(np.linalg.norm(state.base_from_tip[:3, 3] - block.grasp_point))


def _is_in_bowl(block: CellObject, bowl: CellObject) -> bool:
    """Tell whether a block's centre is inside a bowl's inner space."""
    offset = bowl.world_from_object[:3, :3].T @ (block.grasp_point - bowl.world_from_object[:3, 3])
    inside = math.hypot(offset[0], offset[1]) < BOWL_DIAMETER / 2 - 0.01
    return inside and 0.0 < float(offset[2]) < BOWL_HEIGHT


def _is_released(state: CellSnapshot, block: CellObject) -> bool:
    """Tell whether no finger holds a block: the hand is open, or elsewhere."""
    return state.gripper_width > block.size + RELEASE_MARGIN or _distance(state, block) > block.size
