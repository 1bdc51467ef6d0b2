"""Whether the poses collected fix the camera, and which motion is still missing, in words for who moves the arm.

A hand-eye calibration lives from rotation. Turned about one axis only, the camera's place along that axis is unknown
(Tsai and Lenz 1989, section II.D); two axes fix everything, a third and tilts beyond ten degrees make it good. Distance
and place in the picture matter less, and for the lens rather than for the pose. Guarded by tests/unit/test_hand_eye.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.calibration.lens import Lens
from vipa_policy.geometry import Array

if TYPE_CHECKING:
    from vipa_policy.calibration.board import BoardView

WANTED_POSES: Final = 15
LEAST_SPREAD: Final = math.radians(4.0)
"""RMS angle about the second axis below which no camera pose follows."""
GOOD_SPREAD: Final = math.radians(9.0)
"""RMS angle about each axis that is asked for; turns of 15 degrees both ways give it."""
GRID: Final = 3
"""The picture is divided into so many rows and columns."""
GOOD_COVERAGE: Final = 4
"""Of the nine fields of the picture, how many the board should have been in; a scene camera sees the arm in few."""


@dataclass(frozen=True)
class Diversity:
    """How varied a set of poses is.

    Attributes:
        poses: how many.
        spreads: (3,) RMS angles in rad of the hand's turns about its principal axes of turning, largest first.
        axes: (3, 3) rows are those axes, in the hand's frame.
        coverage: fields of the picture the board's corners were in, of nine.
        blocking: motions without which nothing can be solved, in words.
        missing: those, and the motions that would make the result better.
    """

    poses: int
    spreads: tuple[float, float, float]
    axes: Array
    coverage: int
    blocking: tuple[str, ...]
    missing: tuple[str, ...]


def measure(poses: Sequence[Array], views: Sequence[BoardView], lens: Lens) -> Diversity:
    """Return how varied hand poses (4, 4) and the board's places in the pictures are."""
    spreads, axes = rotation_spread(poses)
    coverage = _coverage(views, lens)
    blocking = tuple(
        _turn(axis, spread)
        for number, (spread, axis) in enumerate(zip(spreads, axes, strict=True))
        if number < 2 and spread < LEAST_SPREAD
    )
    better = [
        _turn(axis, spread)
        for number, (spread, axis) in enumerate(zip(spreads, axes, strict=True))
        if spread < GOOD_SPREAD
    ]
    if coverage < GOOD_COVERAGE:
        better.append(
            f"bring the board to other parts of the picture (it was in {coverage} of {GRID * GRID} fields), edges too"
        )
    if len(poses) < WANTED_POSES:
        better.append(f"{WANTED_POSES - len(poses)} more poses ({len(poses)} of {WANTED_POSES})")
    return Diversity(len(poses), spreads, axes, coverage, blocking, tuple(better))


def rotation_spread(poses: Sequence[Array]) -> tuple[tuple[float, float, float], Array]:
    """Return RMS angles (3,) in rad about the principal axes of turning, largest first, and the axes (3, 3) as rows."""
    if len(poses) < 2:
        return (0.0, 0.0, 0.0), np.eye(3)
    rotations = Rotation.from_matrix(np.stack([pose[:3, :3] for pose in poses]))
    turns = (rotations.mean().inv() * rotations).as_rotvec()
    values, vectors = np.linalg.eigh(turns.T @ turns / len(turns))
    first, second, third = (math.sqrt(max(float(value), 0.0)) for value in values[::-1])
    return (first, second, third), vectors.T[::-1]


def _coverage(views: Sequence[BoardView], lens: Lens) -> int:
    """Return how many fields of the picture held corners."""
    fields: set[tuple[int, int]] = set()
    for view in views:
        shares = view.pixels / np.array([max(lens.width, 1), max(lens.height, 1)])
        cells = np.clip((shares * GRID).astype(int), 0, GRID - 1)
        fields.update((int(column), int(row)) for column, row in cells)
    return len(fields)


def _turn(axis: Array, spread: float) -> str:
    """Return the advice to turn about an axis of the hand, which has turned by ``spread`` rad RMS so far."""
    name = "xyz"[int(np.argmax(np.abs(axis)))]
    exact = ", ".join(f"{value:.1f}" for value in axis * np.sign(axis[np.argmax(np.abs(axis))]))
    about = f"the hand's {name} axis" if np.max(np.abs(axis)) > 0.9 else f"its axis ({exact}), mostly {name}"
    degrees = math.degrees(spread)
    return f"turn the hand about {about} by 15 to 30 degrees both ways (so far {degrees:.0f} degrees RMS)"
