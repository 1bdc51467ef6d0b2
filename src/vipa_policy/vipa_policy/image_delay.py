"""By how much pictures are stamped later than they were taken, by the clock of TF: the single place that estimates it.

A camera driver stamps when a frame arrives, or by a clock of its own. TF at such a stamp tells where the arm was some
tens of milliseconds after the picture: at 0.25 m/s a centimetre beside what is seen. While the arm moves, a picture
changes as much as the arm moved in it. So the change from picture to picture is compared with the way that the tip went
in the picture between the two stamps less a delay (for a camera on the hand: the way that the scene went); the delay at
which they agree best is the camera's. Ranks are compared, not values: how much brightness a pixel of motion is worth
differs from scene to scene, but more motion is more change. No ROS. Guarded by tests/unit/test_image_delay.py and, on
rendered pictures, tests/sim/test_image_delay.py.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from vipa_policy.geometry import Array, apply, inverse

COLUMNS = 160  # px that a picture is thinned out to: the mean of some ten thousand differences is steady enough
LONGEST_PAIR = 0.3  # s between two pictures that are compared; more and the way between is no measure of the change
LONGEST_GAP = 0.1  # s between two poses; where more is missing the way is not known
PAIRS = 450  # half a minute at 15 Hz
POSES = 4000
AHEAD = 0.6  # m in front of a camera, where its own motion is measured
HAND = 0.1  # m above the tip, on its axis, where the hand is: the second point whose way is measured
# Pictures one after the other share their neighbours, so there is less in them than in as many independent ones.
DEPENDENCE = 1.5


@dataclass(frozen=True)
class DelaySettings:
    """When an estimate is one.

    Attributes:
        longest: s, largest delay looked for, either way.
        step: s between delays that are tried; between them a parabola is laid.
        least_pairs: of pictures.
        least_way: of the tip in the picture, in units of its distance to the camera: 0.5 is 50 cm at 1 m.
        least_confidence: share of the change (of its ranks' variance) that the motion explains.
        largest_deviation: s.
    """

    longest: float = 0.2
    step: float = 0.01
    least_pairs: int = 60
    least_way: float = 0.5
    least_confidence: float = 0.35
    largest_deviation: float = 0.012


@dataclass(frozen=True)
class Estimate:
    """What was found.

    Attributes:
        delay: s by which stamps are later than capture; negative where they are earlier.
        deviation: s, standard deviation.
        confidence: 0 to 1, share of the pictures' change (of its ranks' variance) that the arm's motion explains.
    """

    delay: float
    deviation: float
    confidence: float


class DelayEstimator:
    """Collects pictures of one camera and poses, and compares them when asked.

    Args:
        settings: when an estimate is one.
    """

    def __init__(self, settings: DelaySettings | None = None) -> None:
        self._settings = settings or DelaySettings()
        self._picture: tuple[float, NDArray[np.int16]] | None = None
        self._changes: deque[tuple[float, float, float]] = deque(maxlen=PAIRS)
        self._pose: tuple[float, Array, Array] | None = None
        self._way: deque[tuple[float, float]] = deque(maxlen=POSES)

    def clear(self) -> None:
        """Forget everything."""
        self.__init__(self._settings)  # type: ignore[misc]

    def picture(self, stamp: float, rgb: NDArray[np.uint8]) -> None:
        """Take a picture (height, width, 3) stamped ``stamp`` (s). Stamps that run backwards begin anew."""
        stride = max(1, rgb.shape[1] // COLUMNS)
        thinned = rgb[::stride, ::stride, 1].astype(np.int16)
        if self._picture is not None:
            before, last = self._picture
            if stamp <= before:
                self.clear()
            elif stamp - before <= LONGEST_PAIR and last.shape == thinned.shape:
                self._changes.append((before, stamp, float(np.abs(thinned - last).mean())))
        self._picture = (stamp, thinned)

    def pose(self, stamp: float, base_from_tip: Array, base_from_camera: Array) -> None:
        """Take the poses (4, 4) of tip and camera at ``stamp`` (s). Stamps that run backwards begin anew."""
        camera_from_base = inverse(base_from_camera)
        if self._pose is not None:
            before, camera_from_tip, camera_before = self._pose
            if stamp <= before:
                self.clear()
            else:
                gone = self._way[-1][1] if self._way else 0.0
                if stamp - before > LONGEST_GAP:
                    self._way.append((0.5 * (before + stamp), math.nan))
                else:
                    gone += _shift(camera_from_tip, camera_from_base @ base_from_tip, [[0, 0, 0], [0, 0, -HAND]])
                    gone += _shift(np.eye(4), camera_from_base @ camera_before, [[0.0, 0.0, AHEAD]])
                self._way.append((stamp, gone if math.isfinite(gone) else 0.0))
        self._pose = (stamp, camera_from_base @ base_from_tip, base_from_camera)

    def estimate(self) -> Estimate | None:
        """Return the delay, None where pictures and motion do not tell it well enough."""
        settings = self._settings
        if len(self._changes) < settings.least_pairs or len(self._way) < 2:
            return None
        count = round(settings.longest / settings.step)
        delays: Array = settings.step * np.arange(-count, count + 1, dtype=np.float64)
        before, after, change = np.array(self._changes).T
        times, way = np.array(self._way).T
        expected = _at(after[None] - delays[:, None], times, way) - _at(before[None] - delays[:, None], times, way)
        known = np.isfinite(expected).all(axis=0)
        if np.count_nonzero(known) < settings.least_pairs or expected[count, known].sum() < settings.least_way:
            return None
        explained = _explained(expected[:, known], change[known])
        return _peak(delays, explained, int(np.count_nonzero(known)), settings)


def _shift(before: Array, after: Array, points: list[list[float]]) -> float:
    """Mean way of points in the picture, in units of depth, between two poses (4, 4) in the camera."""
    one, other = apply(before, np.array(points, dtype=float)), apply(after, np.array(points, dtype=float))
    if min(one[:, 2].min(), other[:, 2].min()) < 0.05:
        return 0.0  # beside or behind the camera: not in the picture
    shifts = other[:, :2] / other[:, 2:] - one[:, :2] / one[:, 2:]
    return float(np.linalg.norm(shifts, axis=1).mean())


def _at(moments: Array, times: Array, way: Array) -> Array:
    found: Array = np.interp(moments, times, way, left=np.nan, right=np.nan)
    return found


def _explained(expected: Array, change: Array) -> Array:
    """Share of the variance of the ranks of ``change`` (n,) explained by those of each row of ``expected`` (d, n)."""
    ranks = rankdata(expected, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    other = rankdata(change)
    other -= other.mean()
    size = np.sqrt((ranks**2).sum(axis=1) * (other**2).sum())
    correlation = np.divide(ranks @ other, size, out=np.zeros(len(ranks)), where=size > 0.0)
    # More change for less motion is no agreement.
    shares: Array = np.maximum(correlation, 0.0) ** 2
    return shares


def _peak(delays: Array, explained: Array, pairs: int, settings: DelaySettings) -> Estimate | None:
    """Lay a parabola through the best delay and its neighbours; its width tells the deviation (Fisher information)."""
    best = int(explained.argmax())
    near = slice(best - 3, best + 4)
    if not 3 <= best < len(delays) - 3 or explained[best] < settings.least_confidence:
        return None
    bend, slope, height = np.polyfit(delays[near] - delays[best], explained[near], 2)
    if not bend < 0.0:
        return None
    offset = -0.5 * slope / bend
    share = min(float(height + 0.5 * slope * offset), 0.999)
    deviation = DEPENDENCE * math.sqrt((1.0 - share) / (pairs * -bend))
    if abs(offset) > 3 * settings.step or deviation > settings.largest_deviation:
        return None
    return Estimate(float(delays[best] + offset), deviation, share)
