"""Motion tokens: wrist trajectories as words of a language model, and back (paper section 3.2).

The single place for bins, ranges, order and names of motion tokens, and for ``motion.json``, which says beside a
checkpoint what its tokens mean. No tokenizer is known here; vipa_policy.model.vocabulary_extension gives the tokens
their ids. Guarded by tests/unit/test_motion_tokens.py.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vipa_policy.errors import CheckpointError, MotionError
from vipa_policy.geometry import Array

FILE = "motion.json"
VERSION = 1
AXES = ("x", "y", "z")
HANDS = ("left", "right")
SHARING = ("per_axis", "shared")
BEGIN, END = 0, 1  # motion indices of the tokens around a trajectory; the bins' follow
FIRST_BIN = 2


@dataclass(frozen=True)
class Clipping:
    """How many waypoints lay outside the ranges; sums over trajectories with ``+``.

    Attributes:
        waypoints: all that were counted.
        below, above: per axis, of x, y, z.
    """

    waypoints: int = 0
    below: tuple[int, int, int] = (0, 0, 0)
    above: tuple[int, int, int] = (0, 0, 0)

    def __add__(self, other: Clipping) -> Clipping:
        return Clipping(
            self.waypoints + other.waypoints,
            (self.below[0] + other.below[0], self.below[1] + other.below[1], self.below[2] + other.below[2]),
            (self.above[0] + other.above[0], self.above[1] + other.above[1], self.above[2] + other.above[2]),
        )

    @property
    def share(self) -> tuple[float, float, float]:
        """Share of waypoints clipped, per axis, 0 to 1."""
        x, y, z = (
            (below + above) / max(self.waypoints, 1) for below, above in zip(self.below, self.above, strict=True)
        )
        return x, y, z

    def __str__(self) -> str:
        parts = (
            f"{axis} {share:.2%} ({below} below, {above} above)"
            for axis, share, below, above in zip(AXES, self.share, self.below, self.above, strict=True)
        )
        return f"clipped of {self.waypoints} waypoints: " + ", ".join(parts)


@dataclass(frozen=True)
class MotionTokens:
    """Uniform bins per axis in the camera's optical frame (x right, y down, z forward).

    A *motion index* counts the tokens of this vocabulary from 0: ``BEGIN``, ``END``, then the bins, those of x first
    where every axis has tokens of its own.

    Attributes:
        bins: per axis (paper: 1024).
        minimum, maximum: m, of x, y, z (paper: x and y in [-0.5, 0.5], z in [0, 1]).
        sharing: "per_axis" (3 * bins tokens, an axis each) or "shared" (bins tokens; the place in the sequence tells
            the axis). The paper is silent; docs/motion_tokens.md says why the former is the default.
        rate: waypoints per second. The first is at the image's stamp.

    Raises:
        MotionError: a value that makes no vocabulary.
    """

    bins: int = 1024
    minimum: tuple[float, float, float] = (-0.5, -0.5, 0.0)
    maximum: tuple[float, float, float] = (0.5, 0.5, 1.0)
    sharing: str = "per_axis"
    rate: float = 5.0

    def __post_init__(self) -> None:
        if self.sharing not in SHARING:
            raise MotionError(f"expected sharing to be one of {', '.join(SHARING)}, got {self.sharing!r}")
        if self.bins < 2:
            raise MotionError(f"expected at least 2 bins an axis, got {self.bins}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise MotionError(f"expected a positive waypoint rate in Hz, got {self.rate}")
        if len(self.minimum) != 3 or len(self.maximum) != 3:
            raise MotionError(f"expected a range each for x, y, z, got {self.minimum} to {self.maximum}")
        limits = np.array([self.minimum, self.maximum])
        if not np.isfinite(limits).all() or (limits[1] <= limits[0]).any():
            raise MotionError(f"expected finite ranges that are not empty, got {self.minimum} to {self.maximum} m")

    @property
    def bin_width(self) -> Array:
        """Width of a bin in m, (3,); 0.98 mm in the paper's ranges."""
        return (np.array(self.maximum) - np.array(self.minimum)) / self.bins

    @property
    def names(self) -> tuple[str, ...]:
        """Token of every motion index, as a tokenizer knows it."""
        if self.sharing == "shared":
            bins = [f"<motion_{index}>" for index in range(self.bins)]
        else:
            bins = [f"<motion_{axis}_{index}>" for axis in AXES for index in range(self.bins)]
        return "<motion_begin>", "<motion_end>", *bins

    @property
    def size(self) -> int:
        """Number of motion tokens."""
        return FIRST_BIN + self.bins * (1 if self.sharing == "shared" else len(AXES))

    def axis_indices(self, axis: int) -> range:
        """Return the motion indices of the bins of axis 0, 1 or 2."""
        first = FIRST_BIN + (0 if self.sharing == "shared" else axis * self.bins)
        return range(first, first + self.bins)

    def resample(self, times: ArrayLike, positions: ArrayLike) -> Array:
        """Return the waypoints (N, 3) of a recorded trajectory at this vocabulary's rate, by linear interpolation.

        Args:
            times: (M,) s, increasing; the first is the image's stamp.
            positions: (M, 3) m, of the wrist, all in the camera frame of the image (the first frame's, where the
                camera moves).

        Raises:
            MotionError: shapes do not fit, values are not finite, or times do not increase.
        """
        stamps, points = np.asarray(times, dtype=float), checked(positions)
        if stamps.shape != (len(points),) or not np.isfinite(stamps).all() or (np.diff(stamps) <= 0).any():
            raise MotionError(f"expected {len(points)} increasing times, one a position, got {stamps.tolist()[:8]}")
        if len(points) == 0:
            return points
        # A hair more than the duration: 0.6 s at 5 Hz are four waypoints, whatever 0.6 * 5 rounds to.
        count = math.floor((stamps[-1] - stamps[0]) * self.rate + 1e-6) + 1
        wanted = stamps[0] + np.arange(count) / self.rate
        return np.stack([np.interp(wanted, stamps, points[:, axis]) for axis in range(3)], axis=-1)

    def quantise(self, positions: ArrayLike) -> tuple[NDArray[np.int64], Clipping]:
        """Return the bins (N, 3) of positions (N, 3) in m, and how many of them had to be clipped.

        Raises MotionError where positions have another shape or are not finite.
        """
        points = checked(positions)
        low, high = np.array(self.minimum), np.array(self.maximum)
        below, above = (points < low).sum(axis=0), (points > high).sum(axis=0)
        share = (np.clip(points, low, high) - low) / (high - low)
        bins = np.minimum(np.floor(share * self.bins), self.bins - 1).astype(np.int64)
        return bins, Clipping(len(points), tuple(below.tolist()), tuple(above.tolist()))

    def centres(self, bins: ArrayLike) -> Array:
        """Return the positions (N, 3) m in the middle of bins (N, 3); raises MotionError where there is no such bin."""
        numbers = np.asarray(bins)
        if numbers.ndim != 2 or numbers.shape[1] != 3 or not np.issubdtype(numbers.dtype, np.integer):
            raise MotionError(f"expected bins (N, 3) of integers, got {numbers.shape} of {numbers.dtype}")
        if ((numbers < 0) | (numbers >= self.bins)).any():
            raise MotionError(f"expected bins 0 to {self.bins - 1}, got {numbers.min()} to {numbers.max()}")
        return np.array(self.minimum) + (numbers + 0.5) * self.bin_width

    def encode(self, positions: ArrayLike) -> tuple[list[int], Clipping]:
        """Return the motion indices of a trajectory, BEGIN x y z x y z ... END, and its clipping; see ``quantise``."""
        bins, clipping = self.quantise(positions)
        first = np.array([self.axis_indices(axis).start for axis in range(3)])
        return [BEGIN, *(bins + first).ravel().tolist(), END], clipping

    def decode(self, indices: Sequence[int]) -> Array:
        """Return the positions (N, 3) m that motion indices stand for; raises MotionError where they are in disorder.

        Args:
            indices: BEGIN x y z x y z ... END, as ``encode`` returns them.
        """
        if len(indices) < 2 or indices[0] != BEGIN or indices[-1] != END:
            raise MotionError(f"expected <motion_begin> x y z ... <motion_end>, got {self._spell(indices)}")
        body = list(indices[1:-1])
        if len(body) % 3:
            raise MotionError(
                f"expected three tokens a waypoint, got {len(body)} in {self._spell(indices)}; "
                "generate with vipa_policy.model.constrained_decoding"
            )
        bins = []
        for place, index in enumerate(body):
            own = self.axis_indices(place % 3)
            if index not in own:
                raise MotionError(
                    f"expected a bin of {AXES[place % 3]} at place {place} of the trajectory, got "
                    f"{self._spell([index])}; generate with vipa_policy.model.constrained_decoding"
                )
            bins.append(index - own.start)
        return self.centres(np.array(bins, dtype=np.int64).reshape(-1, 3))

    def _spell(self, indices: Sequence[int]) -> str:
        names = self.names
        words = [names[index] if 0 <= index < len(names) else f"no motion token ({index})" for index in indices[:6]]
        return (" ".join(words) or "nothing") + (" ..." if len(indices) > 6 else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"version": VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MotionTokens:
        """Read what ``to_dict`` wrote; raises CheckpointError where it is newer, incomplete or makes no vocabulary."""
        version = values.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= VERSION:
            raise CheckpointError(f"{FILE} is of version {version!r}, this vipa_policy reads 1 to {VERSION}; update it")
        try:
            return cls(
                bins=int(values["bins"]),
                minimum=tuple(float(value) for value in values["minimum"]),  # type: ignore[arg-type]
                maximum=tuple(float(value) for value in values["maximum"]),  # type: ignore[arg-type]
                sharing=values["sharing"],
                rate=float(values["rate"]),
            )
        except (KeyError, TypeError, ValueError, MotionError) as error:
            raise CheckpointError(f"{FILE} does not describe motion tokens: {error}") from error

    def save(self, folder: Path) -> None:
        """Write ``motion.json`` into a checkpoint's folder."""
        (folder / FILE).write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> MotionTokens | None:
        """Read a checkpoint's ``motion.json``, None where it has no motion tokens; raises CheckpointError."""
        file = folder / FILE
        if not file.is_file():
            return None
        try:
            values = json.loads(file.read_text())
        except ValueError as error:
            raise CheckpointError(f"{file} is cut short or no JSON ({error}); copy the checkpoint again") from error
        if not isinstance(values, dict):
            raise CheckpointError(f"{file} holds no object; copy the checkpoint again")
        return cls.from_dict(values)


def checked(positions: ArrayLike) -> Array:
    """Return positions (N, 3) as float64; raises MotionError where they have another shape or are not finite."""
    points = np.asarray(positions, dtype=float)
    if points.ndim != 2 or points.shape[1] != 3:
        raise MotionError(f"expected wrist positions (N, 3) in m, got shape {points.shape}")
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise MotionError(
            f"expected finite wrist positions, got {points[row].tolist()} at waypoint {row} of {len(points)}; "
            "leave out the span in which the hand was not seen"
        )
    return points


def motion_prompt(task: str, hand: str, waypoints: int) -> str:
    """Return the question for a trajectory; it names the hand, as its tokens do not.

    The wording follows Being-H0, which the paper's data descends from. Raises MotionError where there is no such hand.
    """
    if hand not in HANDS:
        raise MotionError(f"expected hand to be one of {', '.join(HANDS)}, got {hand!r}")
    if waypoints < 1:
        raise MotionError(f"expected at least one waypoint, got {waypoints}")
    asked = task.strip().rstrip(".?!")
    return f"{asked}: what is the {waypoints}-step motion sequence of the {hand} hand?"
