"""Judges streamed setpoints by the stated limits, with mathematics of its own: nothing here is taken from ``control``
but the limits themselves.

Shares are of the limit: 1 is the limit itself. Used by ``make fuzz`` and tests/unit/test_control_fuzz.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.bench.hostile import Trace
from vipa_policy.control.limits import HOLD_WITHIN, Limits
from vipa_policy.geometry import Array

# Third differences of positions near 1 m at 5 ms lose about 1e-8 of a jerk of 30 m/s^3 to rounding.
ROUNDING = 1e-6
# m and rad; depths are differences of positions near 1 m, angles come from an arc cosine.
DEPTH_ROUNDING = 1e-7
# m from a wall at which its share begins to count.
NEAR = 0.1
# s after the next chunk was due within which a ramp must have begun.
BEGIN_WITHIN = 0.15


@dataclass
class Verdict:
    """Per limit the number of violations, and the largest share of it that was used."""

    violations: dict[str, int] = field(default_factory=dict)
    worst: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, shares: Array, bound: float = 1.0 + ROUNDING) -> None:
        """Count shares (n,) beyond a bound, and remember the largest."""
        if len(shares):
            self.count(name, int((shares > bound).sum()))
            self.worst[name] = max(self.worst.get(name, 0.0), float(shares.max()))

    def count(self, name: str, number: int) -> None:
        """Count violations of a limit."""
        if number:
            self.violations[name] = self.violations.get(name, 0) + number

    @property
    def total(self) -> int:
        """Number of violations of all limits."""
        return sum(self.violations.values())

    def add(self, other: Verdict) -> None:
        """Take another verdict in."""
        for name, number in other.violations.items():
            self.count(name, number)
        for name, share in other.worst.items():
            self.worst[name] = max(self.worst.get(name, 0.0), share)


def inspect(trace: Trace) -> tuple[Verdict, int]:
    """Judge a session; returns the verdict and the number of setpoints."""
    verdict = Verdict()
    setpoints = 0
    limits, period = trace.limits, trace.settings.period
    for stretch in trace.stretches:
        poses = np.array(stretch.poses)
        setpoints += len(poses) - 1
        _inspect_motion(verdict, limits, period, poses)
        inspect_places(verdict, limits, poses[:, :3, 3])
        inspect_tilt(verdict, limits, poses[:, :3, 2])
    verdict.note("hold", np.array(trace.holds) / HOLD_WITHIN)
    # One setpoint of grace: time passes in periods.
    verdict.note("patience", np.array(trace.delays) / BEGIN_WITHIN, 1.0 + period / BEGIN_WITHIN)
    verdict.note("following", np.array([trace.strayed / trace.settings.following_error]))
    return verdict, setpoints


def _inspect_motion(verdict: Verdict, limits: Limits, period: float, poses: Array) -> None:
    rotations = Rotation.from_matrix(poses[:, :3, :3])
    moves = np.diff(poses[:, :3, 3], axis=0)
    turns = (rotations[1:] * rotations[:-1].inv()).as_rotvec() if len(poses) > 1 else np.zeros((0, 3))
    for kind, steps in (("linear", moves), ("angular", turns)):
        # A stretch begins at rest.
        velocities = np.concatenate([np.zeros((2, 3)), steps / period])
        accelerations = np.diff(velocities, axis=0) / period
        jerks = np.diff(accelerations, axis=0) / period
        series = {"step": steps, "velocity": velocities, "acceleration": accelerations, "jerk": jerks}
        for order, values in series.items():
            name = f"{kind}_{order}"
            verdict.note(name, np.linalg.norm(values, axis=1) / getattr(limits, name))


def inspect_places(verdict: Verdict, limits: Limits, points: Array) -> None:
    """Judge positions (n, 3) in m by boxes and table; a start outside may only come inward."""

    def outside_all(places: Array) -> Array:
        """Distance of each place from the nearest box to stay in; negative inside, to its nearest wall."""
        distances = []
        for box in limits.boxes:
            low, high = np.array(box.lower), np.array(box.upper)
            away = np.linalg.norm(np.maximum(np.maximum(low - places, places - high), 0.0), axis=1)
            inner = np.minimum(places - low, high - places).min(axis=1)
            distances.append(np.where(away > 0.0, away, -inner))
        return np.min(distances, axis=0)

    def inside_any(places: Array) -> Array:
        """Depth of each place in the boxes to stay out of; negative outside, the distance."""
        depths = [np.full(len(places), -NEAR)]
        for box in limits.stay_out:
            low, high = np.array(box.lower), np.array(box.upper)
            away = np.linalg.norm(np.maximum(np.maximum(low - places, places - high), 0.0), axis=1)
            depths.append(np.where(away > 0.0, -away, np.minimum(places - low, high - places).min(axis=1)))
        return np.max(depths, axis=0)

    def below(places: Array) -> Array:
        return limits.table_height - places[:, 2]

    measures: dict[str, Callable[[Array], Array]] = {"workspace": outside_all, "stay_out": inside_any, "table": below}
    for name, measure in measures.items():
        _inward_only(verdict, name, measure(points), NEAR)


def inspect_tilt(verdict: Verdict, limits: Limits, axes: Array) -> None:
    """Judge the tip's z axes (n, 3) by the cone; the same rule."""
    direction = np.array(limits.tilt_direction) / np.linalg.norm(limits.tilt_direction)
    tilts = np.arctan2(np.linalg.norm(np.cross(axes, direction), axis=1), axes @ direction)
    _inward_only(verdict, "tilt", tilts - limits.tilt, limits.tilt)


def _inward_only(verdict: Verdict, name: str, depths: Array, scale: float) -> None:
    """Judge depths (n,) outside a bound, negative inside: never deeper than ever before, and never out again."""
    before = np.minimum.accumulate(np.maximum(depths, 0.0))
    allowed = np.concatenate([[np.inf], before[:-1]])
    verdict.count(name, int((depths > allowed + DEPTH_ROUNDING).sum()))
    inside = depths[before <= 0.0]
    if len(inside):
        share = float((1.0 + np.maximum(inside, -scale) / scale).max())
        verdict.worst[name] = max(verdict.worst.get(name, 0.0), share)
