"""Feeds the estimate of the pictures' delay from what the policy node sees, beside the predictions.

Guarded by tests/graph/test_image_delay.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vipa_policy.image_delay import DelayEstimator, Estimate
from vipa_policy.nodes.observer import Observed, Observer

SPACING = 0.025  # s between two poses that are looked up
REACH = 0.3  # s before a picture from which on poses are needed
MOST = 16  # poses looked up at a time: some milliseconds
FALLEN_BEHIND = 2.0  # s; older poses are no longer asked for
ESTIMATING = 4.0  # s of wall time between two estimates


class DelayWatch:
    """Watches the reference camera. For one thread only, but for ``estimate`` and ``warning``.

    Args:
        observer: to look poses up.
        values: the policy node's parameters.
        clock: s of wall time.
    """

    def __init__(
        self, observer: Observer, values: Mapping[str, Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._observer = observer
        self._taken_away: float = values["image_delay"]
        self._tolerance: float = values["delay_tolerance"]
        self._estimator = DelayEstimator()
        self._frame = ""
        self._newest = 0.0
        self._next = 0.0
        self._clock = clock
        self._estimated = clock()
        self.estimate: Estimate | None = None
        """By how much pictures are stamped later than they were taken, image_delay counted in; None where not known."""

    @property
    def warning(self) -> str:
        """What is wrong with the pictures' stamps, "" where nothing is known to be."""
        estimate = self.estimate
        if estimate is None:
            return ""
        if abs(estimate.delay - self._taken_away) <= self._tolerance + 2.0 * estimate.deviation:
            return ""
        return (
            f"pictures are stamped {estimate.delay:+.3f} s (+- {estimate.deviation:.3f}) later than they were taken, "
            f"image_delay takes {self._taken_away:+.3f} s of that away; set it to {estimate.delay:.3f}"
        )

    def take(self, observed: Observed) -> None:
        """Take what was just predicted from."""
        view = next(view for view in observed.observation.views if view.name == self._observer.reference)
        stamp = observed.observation.stamp
        if stamp < self._newest:
            self._next = 0.0
        self._frame, self._newest = observed.header.frame_id, stamp
        self._estimator.picture(stamp, view.rgb)

    def work(self) -> None:
        """Look some poses up and, now and then, estimate."""
        if self._next < self._newest - FALLEN_BEHIND:
            self._next = max(self._newest - REACH, SPACING)  # TF takes 0 for the latest
        for _ in range(MOST):
            poses = self._observer.poses(self._next, self._frame)
            if poses is None:
                break
            self._estimator.pose(self._next, *poses)
            self._next += SPACING
        now = self._clock()
        if now - self._estimated < ESTIMATING:
            return
        self._estimated = now
        found = self._estimator.estimate()
        if found is not None:
            self.estimate = replace(found, delay=found.delay + self._taken_away)
