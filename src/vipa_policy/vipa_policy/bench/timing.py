"""Timing for the benches: actions taken in turns, and the parts of one action.

Actions that are to be compared take turns, so that a machine that is busy for a while is busy for all of them, and
ratios are medians over the turns. Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

Clock = Callable[[], float]


def clock(device: torch.device) -> Clock:
    """Return a clock in s that waits for a device's work to end before it is read."""
    if device.type != "cuda":
        return time.perf_counter

    def synchronised() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronised


def take_turns(
    actions: Mapping[str, Callable[[], Any]], turns: int, warm_up: int = 2, now: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Return the ms each action took, ``turns`` values each, after ``warm_up`` turns that do not count."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(-warm_up, turns):
        for name, action in actions.items():
            began = now()
            action()
            if turn >= 0:
                times[name].append(1e3 * (now() - began))
    return times


def quantile(times: Sequence[float], share: float) -> float:
    """Return the time below which a share of the times lies."""
    return float(np.quantile(np.asarray(times), share))


def median(times: Sequence[float]) -> float:
    """Return the median of times."""
    return quantile(times, 0.5)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median over turns of our time divided by theirs in the same turn."""
    return float(np.median(np.asarray(ours) / np.asarray(theirs)))


class Stopwatch:
    """Times parts of an action by standing before them, until it is taken away again.

    Parts must not contain each other: the time of one would be counted twice.
    """

    def __init__(self, now: Clock = time.perf_counter) -> None:
        self._now = now
        self._replaced: list[tuple[Any, str, bool, Any]] = []
        self._spent: dict[str, float] = defaultdict(float)
        self.turns: list[dict[str, float]] = []

    def stand_before(self, owner: Any, attribute: str, name: str) -> None:
        """Time every call of ``owner.attribute`` under a name."""
        function = getattr(owner, attribute)

        def timed(*arguments: Any, **named: Any) -> Any:
            began = self._now()
            result = function(*arguments, **named)
            self._spent[name] += 1e3 * (self._now() - began)
            return result

        own = attribute in vars(owner)
        self._replaced.append((owner, attribute, own, vars(owner).get(attribute)))
        setattr(owner, attribute, timed)

    def turn(self, action: Callable[[], Any]) -> float:
        """Run an action, keep what its parts took, and return what it took as a whole, ms."""
        self._spent.clear()
        began = self._now()
        action()
        whole = 1e3 * (self._now() - began)
        self.turns.append(dict(self._spent))
        return whole

    def medians(self) -> dict[str, float]:
        """Return the median ms of every part over the turns."""
        names = dict.fromkeys(name for turn in self.turns for name in turn)
        return {name: median([turn.get(name, 0.0) for turn in self.turns]) for name in names}

    def __enter__(self) -> Stopwatch:
        return self

    def __exit__(self, *_: object) -> None:
        for owner, attribute, own, before in reversed(self._replaced):
            if own:
                setattr(owner, attribute, before)
            else:
                delattr(owner, attribute)
        self._replaced.clear()
