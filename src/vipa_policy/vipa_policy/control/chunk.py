"""A chunk in the base frame, and what must hold before one is followed: shape, numbers, rotations, contract.

Guarded by tests/unit/test_control_timeline.py and tests/unit/test_control_executor.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vipa_policy.clock_watch import FUTURE_TOLERANCE
from vipa_policy.contract import ActionContract
from vipa_policy.errors import ChunkError, ContractMismatch
from vipa_policy.geometry import Array, are_rotations

# Entries of R R^T may differ from the identity by this; quaternions of float32 leave a thousandth of it.
ROTATION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class BaseChunk:
    """A chunk moved to the base frame.

    Attributes:
        identifier: of the chunk, 1 or more.
        stamp: s, capture of the reference image.
        period: s between rows.
        base_from_tip: (rows, 4, 4).
        gripper: (rows,) m.
        contract: what its numbers mean; None only where the caller made them itself.
        start: (4, 4) base_from_tip, measured when the image was taken: where the rows set out from. None where it is
            not known.
    """

    identifier: int
    stamp: float
    period: float
    base_from_tip: Array
    gripper: Array
    contract: ActionContract | None = None
    start: Array | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.base_from_tip)

    @property
    def end(self) -> float:
        """When the last row is due if nothing slows the motion, s."""
        return self.stamp + self.rows * self.period

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
        start = self.start
        poses, start_fits = self.base_from_tip, True
        if start is not None:
            start_fits = start.shape == (4, 4) and bool(np.isfinite(start).all())
            if start_fits:  # a row more: a numpy call costs more than what it does to so few numbers
                poses = np.concatenate([poses, start[None]])
        wrong = np.flatnonzero(~are_rotations(poses, ROTATION_TOLERANCE))
        if len(wrong) and wrong[0] < self.rows:
            raise ChunkError(f"expected a rotation in every row, row {wrong[0]} holds none; the chunk is dropped")
        if not start_fits or len(wrong):
            raise ChunkError(
                f"expected a pose (4, 4) of the tip at the image's stamp, got {start}; the chunk is dropped"
            )


def check_captured(identifier: int, stamp: float, now: float) -> None:
    """Raise ChunkError where a chunk's image was taken (s) after now (s)."""
    if stamp > now + FUTURE_TOLERANCE:
        raise ChunkError(
            f"chunk {identifier} was captured {stamp - now:.3f} s in the future; "
            "check that camera and arm share a clock (use_sim_time)"
        )


@dataclass(frozen=True)
class Executable:
    """The actions an executor can execute: absolute poses of one tip frame in m, gripper widths in m."""

    tip_frame: str
    mode: str = "absolute"
    position_unit: str = "m"
    gripper: str = "width"

    def check(self, chunk: BaseChunk) -> None:
        """Raise ContractMismatch, naming both sides, where a chunk means other actions or tells no contract."""
        contract = chunk.contract
        if contract is None:
            raise ContractMismatch(f"expected chunk {chunk.identifier} to carry its action contract, it carries none")
        names = ("tip_frame", "mode", "position_unit", "gripper")
        wrong = [
            f"{name}: {getattr(contract, name)!r} / {getattr(self, name)!r}"
            for name in names
            if getattr(contract, name) != getattr(self, name)
        ]
        if contract.control_period != chunk.period:
            wrong.append(f"control_period: {contract.control_period} s / {chunk.period} s between its rows")
        if contract.horizon != chunk.rows:
            wrong.append(f"horizon: {contract.horizon} / {chunk.rows} rows")
        if wrong:
            raise ContractMismatch(
                "the chunk and the arm node do not mean the same actions (the chunk / the arm node): "
                + "; ".join(wrong)
                + ". Run a checkpoint made for this arm, or set the arm node's parameters to it."
            )
