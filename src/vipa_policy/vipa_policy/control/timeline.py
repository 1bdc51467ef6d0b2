"""The timeline of targets: where the tip should be at any time, made from chunks in the base frame.

A chunk's row i is due at capture + (i + 1) * period, whatever time its prediction took: rows already past are skipped,
never shifted. Between rows the position is a cubic Hermite curve (C1), the rotation a slerp. Where a new chunk replaces
another, the gap between the two at that moment fades out over ``crossfade``.
Guarded by tests/unit/test_control_timeline.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.errors import ChunkError
from vipa_policy.geometry import Array

# Clocks of two processes may differ by scheduling; a capture further ahead than this comes from a wrong clock.
FUTURE_TOLERANCE = 0.05


@dataclass(frozen=True)
class BaseChunk:
    """A chunk moved to the base frame.

    Attributes:
        identifier: of the chunk, 1 or more.
        stamp: s, capture of the reference image.
        period: s between rows.
        base_from_tip: (rows, 4, 4).
        gripper: (rows,) m.
    """

    identifier: int
    stamp: float
    period: float
    base_from_tip: Array
    gripper: Array

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.base_from_tip)

    @property
    def end(self) -> float:
        """When the last row is due, s."""
        return self.stamp + self.rows * self.period

    def rows_due(self, now: float) -> int:
        """Number of rows whose time has come."""
        # One nanosecond of grace: a setpoint at exactly the row's stamp has consumed it.
        return int(np.clip(math.floor((now - self.stamp) / self.period + 1e-9 / self.period), 0, self.rows))

    def verify(self) -> None:
        """Raise ChunkError, saying what is wrong, where the chunk cannot be executed."""
        if self.rows < 1 or self.base_from_tip.shape != (self.rows, 4, 4) or self.gripper.shape != (self.rows,):
            raise ChunkError(
                f"expected poses (rows, 4, 4) and gripper (rows,), got {self.base_from_tip.shape} and "
                f"{self.gripper.shape}"
            )
        if not (math.isfinite(self.stamp) and math.isfinite(self.period) and self.period > 0.0):
            raise ChunkError(f"expected a finite stamp and a period above 0, got {self.stamp} and {self.period} s")
        if not np.isfinite(self.base_from_tip).all() or not np.isfinite(self.gripper).all():
            raise ChunkError("expected finite poses and gripper widths, got NaN or infinity; the chunk is dropped")
        rotations = self.base_from_tip[:, :3, :3]
        skewed = np.abs(rotations @ np.swapaxes(rotations, 1, 2) - np.eye(3)).max(axis=(1, 2)) > 1e-3
        wrong = np.flatnonzero(skewed | (np.linalg.det(rotations) < 0.0))
        if len(wrong):
            raise ChunkError(f"expected a rotation in every row, row {wrong[0]} holds none; the chunk is dropped")


@dataclass(frozen=True)
class Target:
    """Where the tip should be: position (3,) m and its velocity, rotation and angular velocity (3,), gripper in m."""

    position: Array
    velocity: Array
    rotation: Rotation
    angular_velocity: Array
    gripper: float


class _Curve:
    """A chunk as a function of time, from its capture on.

    Between capture and the first row there is no prediction. The curve runs there as it does from the first row to the
    second, backwards: a target that stood still at the first row would hold every fast replanning policy back.
    """

    def __init__(self, chunk: BaseChunk) -> None:
        self.chunk = chunk
        rows = chunk.base_from_tip[:, :3, 3]
        following = 1 if chunk.rows > 1 else 0
        self.positions = np.concatenate([[2.0 * rows[0] - rows[following]], rows])
        self.tangents = np.zeros_like(self.positions)
        self.tangents[1:-1] = (self.positions[2:] - self.positions[:-2]) / (2.0 * chunk.period)
        self.tangents[0] = (self.positions[1] - self.positions[0]) / chunk.period
        rotations = Rotation.from_matrix(chunk.base_from_tip[:, :3, :3])
        before = rotations[0] * rotations[following].inv() * rotations[0]
        self.rotations = Rotation.concatenate([before, rotations])
        self.turns = (self.rotations[1:] * self.rotations[:-1].inv()).as_rotvec()

    def at(self, time: float) -> Target:
        chunk = self.chunk
        place = (time - chunk.stamp) / chunk.period  # in rows, the capture at 0, the first row at 1
        gripper = float(chunk.gripper[int(np.clip(math.floor(place + 1e-6) - 1, 0, chunk.rows - 1))])
        still = np.zeros(3)
        if place < 0.0:
            return Target(self.positions[0], still, self.rotations[0], still, gripper)
        if place >= chunk.rows:
            return Target(self.positions[-1], still, self.rotations[-1], still, gripper)
        index = int(place)
        s = place - index
        p0, p1 = self.positions[index], self.positions[index + 1]
        m0, m1 = self.tangents[index] * chunk.period, self.tangents[index + 1] * chunk.period
        position = (
            (2 * s**3 - 3 * s**2 + 1) * p0
            + (s**3 - 2 * s**2 + s) * m0
            + (3 * s**2 - 2 * s**3) * p1
            + (s**3 - s**2) * m1
        )
        slope = (6 * s**2 - 6 * s) * (p0 - p1) + (3 * s**2 - 4 * s + 1) * m0 + (3 * s**2 - 2 * s) * m1
        turn = self.turns[index]
        return Target(
            position=position,
            velocity=slope / chunk.period,
            rotation=Rotation.from_rotvec(s * turn) * self.rotations[index],
            angular_velocity=turn / chunk.period,
            gripper=gripper,
        )


class Timeline:
    """The chunk in force and the fading gap to the one before.

    Args:
        crossfade: s over which the gap at a seam fades out.
        lead: s by which the arm lags behind its target; rows are commanded so much before the arm is due there.
    """

    def __init__(self, crossfade: float = 0.15, lead: float = 0.0) -> None:
        self._crossfade = crossfade
        self._lead = lead
        self._curve: _Curve | None = None
        self._seam = 0.0
        self._gap_position: Array = np.zeros(3)
        self._gap_rotation: Array = np.zeros(3)

    @property
    def chunk(self) -> BaseChunk | None:
        """The chunk in force."""
        return self._curve.chunk if self._curve else None

    def clear(self) -> None:
        """Forget the chunk in force: the next one begins without a seam."""
        self._curve = None

    def accept(self, chunk: BaseChunk, now: float) -> None:
        """Put a chunk in force from now (s) on.

        Raises ChunkError where it is malformed, older than (or as old as) the one in force, wholly in the past, or
        captured in the future.
        """
        chunk.verify()
        current = self.chunk
        if chunk.stamp > now + FUTURE_TOLERANCE:
            raise ChunkError(
                f"chunk {chunk.identifier} was captured {chunk.stamp - now:.3f} s in the future; "
                "check that camera and arm share a clock (use_sim_time)"
            )
        if current is not None and chunk.stamp <= current.stamp:
            raise ChunkError(
                f"chunk {chunk.identifier} is no newer than chunk {current.identifier} in force "
                f"({current.stamp - chunk.stamp:.3f} s older)"
            )
        if chunk.end <= now:
            raise ChunkError(
                f"chunk {chunk.identifier} lies wholly in the past: its last row was due {now - chunk.end:.3f} s ago; "
                "the policy is too slow for its horizon"
            )
        before = self.at(now)
        self._curve = _Curve(chunk)
        self._seam = now
        if before is None:
            self._gap_position, self._gap_rotation = np.zeros(3), np.zeros(3)
        else:
            after = self._curve.at(now + self._lead)
            self._gap_position = before.position - after.position
            self._gap_rotation = (before.rotation * after.rotation.inv()).as_rotvec()

    def at(self, time: float) -> Target | None:
        """Return the target at a time in s; None without a chunk. After the last row it rests there."""
        if self._curve is None:
            return None
        target = self._curve.at(time + self._lead)
        fraction = (time - self._seam) / self._crossfade if self._crossfade > 0.0 else 1.0
        if fraction >= 1.0:
            return target
        fraction = max(fraction, 0.0)
        left = 1.0 - fraction**2 * (3.0 - 2.0 * fraction)
        slope = -6.0 * fraction * (1.0 - fraction) / self._crossfade
        return Target(
            position=target.position + left * self._gap_position,
            velocity=target.velocity + slope * self._gap_position,
            rotation=Rotation.from_rotvec(left * self._gap_rotation) * target.rotation,
            angular_velocity=target.angular_velocity + slope * self._gap_rotation,
            gripper=target.gripper,
        )

    def committed(self, now: float) -> tuple[Array, Array]:
        """Return poses (n, 4, 4) and gripper widths (n,) of the rows not yet due."""
        chunk = self.chunk
        if chunk is None:
            return np.zeros((0, 4, 4)), np.zeros(0)
        due = chunk.rows_due(now)
        return chunk.base_from_tip[due:], chunk.gripper[due:]
