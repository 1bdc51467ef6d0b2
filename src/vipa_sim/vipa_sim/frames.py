"""The cell's moving transforms, every tick, as arrays: what ``Cell.link_transforms`` says, at a tenth of its cost.

Guarded by tests/sim/test_frames.py.
"""

from __future__ import annotations

import numpy as np

from vipa_policy.geometry import Array
from vipa_sim.cell import Cell

# Bodies of the model whose frames bear another name.
_BODY_OF_FRAME = {"fr3_hand": "hand", "fr3_leftfinger": "left_finger", "fr3_rightfinger": "right_finger"}


class MovingFrames:
    """Reads the transforms between the bodies of a cell that move against each other."""

    def __init__(self, cell: Cell) -> None:
        self._data = cell.data
        self.edges = tuple((edge.parent, edge.child) for edge in cell.link_transforms().dynamic)
        """(parent, child) frame names, in the order of ``read``."""
        bodies = [[cell.model.body(_BODY_OF_FRAME.get(name, name)).id for name in edge] for edge in self.edges]
        self._parents, self._children = np.array(bodies).T

    def read(self) -> tuple[Array, Array]:
        """Return parent_from_child as positions (edges, 3) in m and unit quaternions (edges, 4) x, y, z, w, now."""
        parents = self._data.xquat[self._parents]
        children = self._data.xquat[self._children]
        inverse = parents * (1.0, -1.0, -1.0, -1.0)
        offsets = self._data.xpos[self._children] - self._data.xpos[self._parents]
        matrices = self._data.xmat[self._parents].reshape(-1, 3, 3)
        return np.einsum("nji,nj->ni", matrices, offsets), _product(inverse, children)


def _product(left: Array, right: Array) -> Array:
    """Return products of quaternions (n, 4) w, x, y, z as x, y, z, w with w >= 0."""
    w1, v1 = left[:, :1], left[:, 1:]
    w2, v2 = right[:, :1], right[:, 1:]
    cross = v1[:, (1, 2, 0)] * v2[:, (2, 0, 1)] - v1[:, (2, 0, 1)] * v2[:, (1, 2, 0)]
    vector = w1 * v2 + w2 * v1 + cross
    scalar = w1 * w2 - (v1 * v2).sum(axis=1, keepdims=True)
    result = np.concatenate([vector, scalar], axis=1)
    return result * np.where(scalar < 0.0, -1.0, 1.0)
