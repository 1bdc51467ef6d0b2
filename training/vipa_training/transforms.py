"""TF of a whole recording: the single place where training looks transforms up, as tf2 does, many stamps at once.

Every moving transform is interpolated by itself (position by lerp, rotation by slerp) and the chain is composed, which
is what tf2's buffer answers live. Nothing is extrapolated. Guarded by tests/unit/test_recorded_transforms.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.errors import DatasetError
from vipa_policy.geometry import Array

Stamps = NDArray[np.int64]


@dataclass
class _Edge:
    """Samples of parent_from_child. A static one holds from its arrival on, its first value also before."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    translations: list[Sequence[float]] = field(default_factory=list)
    quaternions: list[Sequence[float]] = field(default_factory=list)
    _sorted: tuple[Stamps, Array, Array] | None = None

    def add(self, stamp: int, translation: Sequence[float], quaternion: Sequence[float]) -> None:
        self.stamps.append(stamp)
        self.translations.append(translation)
        self.quaternions.append(quaternion)
        self._sorted = None

    def in_order(self) -> tuple[Stamps, Array, Array]:
        """Return stamps, translations and quaternions sorted; of samples with one stamp the first, as tf2 does."""
        if self._sorted is None:
            own, first = np.unique(np.asarray(self.stamps, dtype=np.int64), return_index=True)
            positions = np.asarray(self.translations, dtype=float)[first]
            self._sorted = own, positions, np.asarray(self.quaternions, dtype=float)[first]
        return self._sorted

    def at(self, stamps: Stamps) -> tuple[Array, NDArray[np.bool_]]:
        own, translations, quaternions = self.in_order()
        matrices = np.tile(np.eye(4), (len(stamps), 1, 1))
        if self.static:
            row = np.maximum(np.searchsorted(own, stamps, side="right") - 1, 0)
            matrices[:, :3, 3] = translations[row]
            matrices[:, :3, :3] = Rotation.from_quat(quaternions[row]).as_matrix()
            return matrices, np.ones(len(stamps), dtype=bool)
        known = (stamps >= own[0]) & (stamps <= own[-1])
        before, fraction = bracket(own, stamps)
        after = np.minimum(before + 1, len(own) - 1)
        weight = fraction[:, None]
        matrices[:, :3, 3] = (1.0 - weight) * translations[before] + weight * translations[after]
        quaternion = slerp(quaternions[before], quaternions[after], fraction)
        matrices[:, :3, :3] = Rotation.from_quat(quaternion).as_matrix()
        return matrices, known


class TransformTable:
    """All transforms of a recording."""

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def add(
        self, parent: str, child: str, stamp_ns: int, translation: Sequence[float], quaternion: Sequence[float]
    ) -> None:
        """Add a sample of a moving transform: stamp in ns, translation in m, quaternion x, y, z, w."""
        self._edge(parent, child, static=False).add(stamp_ns, translation, quaternion)

    def add_static(
        self, parent: str, child: str, arrival_ns: int, translation: Sequence[float], quaternion: Sequence[float]
    ) -> None:
        """Add a static transform, in force from its arrival until another one for the same child arrives."""
        edge = self._edge(parent, child, static=True)
        if edge.stamps and arrival_ns <= edge.stamps[-1]:
            arrival_ns = edge.stamps[-1] + 1
        edge.add(arrival_ns, translation, quaternion)

    def _edge(self, parent: str, child: str, *, static: bool) -> _Edge:
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent or edge.static != static:
            # tf2, too, forgets the history of a frame that gets another parent.
            edge = self._edges[child] = _Edge(parent, static)
        return edge

    def stamps(self, target: str, source: str) -> Stamps:
        """Return the stamps (n,) in ns, sorted, at which any moving transform between two frames was sampled."""
        up, down = self._chain(target, source)
        moving = [
            stamp for child in (*up, *down) if not self._edges[child].static for stamp in self._edges[child].stamps
        ]
        return np.unique(np.array(moving, dtype=np.int64))

    def lookup(self, target: str, source: str, stamps_ns: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
        """Return target_from_source at stamps (n,) in ns.

        Returns matrices (n, 4, 4) and (n,) whether each is known; where it is not, the stamp lies before the first or
        after the last sample of some moving transform and the matrix must not be used.

        Raises DatasetError where the recording has no chain between the frames.
        """
        stamps = np.asarray(stamps_ns, dtype=np.int64).reshape(-1)
        up, down = self._chain(target, source)
        known = np.ones(len(stamps), dtype=bool)
        root_from_target, root_from_source = self._compose(up, stamps, known), self._compose(down, stamps, known)
        return geometry.inverse(root_from_target) @ root_from_source, known

    def _compose(self, chain: Sequence[str], stamps: Stamps, known: NDArray[np.bool_]) -> Array:
        result = np.tile(np.eye(4), (len(stamps), 1, 1))
        for child in chain:
            matrices, usable = self._edges[child].at(stamps)
            result = matrices @ result
            known &= usable
        return result

    def _chain(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """Return the frames below the common ancestor, from each of the two upwards."""
        above_target, above_source = self._ancestors(target), self._ancestors(source)
        shared = next((frame for frame in above_source if frame in above_target), None)
        if shared is None:
            raise DatasetError(
                f"the recording has no transform between {target!r} and {source!r}: it knows {sorted(self._frames())}. "
                "Check the frame names of the episode and that /tf and /tf_static were recorded"
            )
        return above_target[: above_target.index(shared)], above_source[: above_source.index(shared)]

    def _ancestors(self, frame: str) -> list[str]:
        chain = [frame]
        while chain[-1] in self._edges:
            parent = self._edges[chain[-1]].parent
            if parent in chain:
                raise DatasetError(f"the recording's transforms go in a circle: {' -> '.join([*chain, parent])}")
            chain.append(parent)
        return chain

    def _frames(self) -> set[str]:
        return set(self._edges) | {edge.parent for edge in self._edges.values()}


def bracket(own: Stamps, stamps: Stamps) -> tuple[NDArray[np.int64], Array]:
    """Return for each stamp the row of the sample before it and how far it lies to the next one, 0 to 1.

    Stamps outside take the first or the last sample.
    """
    before = np.clip(np.searchsorted(own, stamps, side="right") - 1, 0, len(own) - 1)
    after = np.minimum(before + 1, len(own) - 1)
    span = own[after] - own[before]
    # Differences in whole ns before dividing: seconds since 1970 in float64 are good to a quarter of a us only.
    fraction = (stamps - own[before]) / np.where(span > 0, span, 1)
    return before.astype(np.int64), np.where(span > 0, np.clip(fraction, 0.0, 1.0), 0.0)


def slerp(start: Array, end: Array, fraction: Array) -> Array:
    """Return quaternions (n, 4) on the shorter arc between two (n, 4), fraction (n,) in [0, 1]."""
    start = start / np.linalg.norm(start, axis=-1, keepdims=True)
    end = end / np.linalg.norm(end, axis=-1, keepdims=True)
    cosine = np.sum(start * end, axis=-1)
    end = np.where(cosine[:, None] < 0.0, -end, end)
    angle = np.arccos(np.clip(np.abs(cosine), 0.0, 1.0))
    sine = np.sin(angle)
    # Below this angle the arc is straight to float64's last digit, and dividing by the sine would lose them all.
    straight = angle < 1e-7
    divisor = np.where(straight, 1.0, sine)
    first = np.where(straight, 1.0 - fraction, np.sin((1.0 - fraction) * angle) / divisor)
    second = np.where(straight, fraction, np.sin(fraction * angle) / divisor)
    result = first[:, None] * start + second[:, None] * end
    return np.asarray(result / np.linalg.norm(result, axis=-1, keepdims=True))


def interpolate_poses(own: Stamps, poses: Array, stamps: Stamps) -> Array:
    """Return poses (n, 4, 4) at stamps (n,) between samples (m, 4, 4) at ``own`` (m,) ns, sorted; ends are held."""
    before, fraction = bracket(own, stamps)
    after = np.minimum(before + 1, len(own) - 1)
    quaternions = geometry.quaternion_of(poses)
    result = np.tile(np.eye(4), (len(stamps), 1, 1))
    weight = fraction[:, None]
    result[:, :3, 3] = (1.0 - weight) * poses[before, :3, 3] + weight * poses[after, :3, 3]
    result[:, :3, :3] = Rotation.from_quat(slerp(quaternions[before], quaternions[after], fraction)).as_matrix()
    return result
