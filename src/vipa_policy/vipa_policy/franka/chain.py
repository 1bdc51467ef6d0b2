"""Where the links of an arm are, from its description and joint positions: what TF is told.

Guarded by tests/unit/test_franka_description.py.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy.errors import ArmError
from vipa_policy.geometry import Array


class Chain:
    """The joints of a URDF between frames, fixed ones apart from those that move.

    Args:
        urdf: text.
        joints: names of the joints whose positions will be given, in this order; others stay at 0.

    Attributes:
        moving: (parent, child) frames, in the order of ``transforms``.
        fixed: (parent, child, parent_from_child (4, 4)).

    Raises ArmError where the text is no URDF or lacks one of the joints.
    """

    def __init__(self, urdf: str, joints: Sequence[str]) -> None:
        try:
            elements = list(ElementTree.fromstring(urdf).iter("joint"))
        except ElementTree.ParseError as error:
            raise ArmError(f"expected a URDF, got a text of {len(urdf)} letters that is none: {error}") from error
        named = {element.get("name", ""): element for element in elements if element.find("parent") is not None}
        missing = [name for name in joints if name not in named]
        if missing:
            raise ArmError(f"expected the joints {', '.join(joints)} in the description, it lacks {', '.join(missing)}")
        self.fixed = [(*_ends(item), _origin(item)) for name, item in named.items() if name not in joints]
        self._mounted = {child: (parent, matrix) for parent, child, matrix in self.fixed}
        chosen = [named[name] for name in joints]
        self.moving = [_ends(item) for item in chosen]
        self._moved = {child: index for index, (_, child) in enumerate(self.moving)}
        origins = np.stack([_origin(item) for item in chosen])
        self._places, self._turns = origins[:, :3, 3], Rotation.from_matrix(origins[:, :3, :3])
        axes = np.array([_numbers(item.find("axis"), "xyz", (1.0, 0.0, 0.0)) for item in chosen])
        sliding = np.array([[item.get("type") == "prismatic"] for item in chosen])
        self._spins, slides = np.where(sliding, 0.0, axes), np.where(sliding, axes, 0.0)
        self._slides = self._turns.apply(slides)

    def transforms(self, positions: Sequence[float] | Array) -> tuple[Array, Array]:
        """Return parent_from_child of the moving joints, as places (joints, 3) in m and quaternions (joints, 4).

        Args:
            positions: rad or m, of the first joints; the others are at 0.
        """
        column = np.zeros((len(self.moving), 1))
        column[: len(positions), 0] = positions
        turns = self._turns * Rotation.from_rotvec(self._spins * column)
        return self._places + self._slides * column, turns.as_quat()

    def pose(self, base: str, frame: str, transforms: tuple[Array, Array]) -> Array:
        """Return base_from_frame (4, 4) at ``transforms``; raises ArmError where no joints lead there."""
        rotations = Rotation.from_quat(transforms[1]).as_matrix()
        pose = np.eye(4)
        while frame != base:
            index = self._moved.get(frame)
            step = np.eye(4)
            if index is not None:
                step[:3, :3], step[:3, 3] = rotations[index], transforms[0][index]
                frame = self.moving[index][0]
            elif frame in self._mounted:
                frame, step = self._mounted[frame]
            else:
                raise ArmError(f"expected joints from {base!r} on, the description's begin at {frame!r}")
            pose = step @ pose
        return pose


def _ends(element: ElementTree.Element) -> tuple[str, str]:
    ends = [element.find(name) for name in ("parent", "child")]
    names = [end.get("link", "") for end in ends if end is not None]
    if len(names) != 2 or not all(names):
        raise ArmError(f"expected a parent and a child of joint {element.get('name')!r} in the description")
    return names[0], names[1]


def _origin(element: ElementTree.Element) -> Array:
    origin = element.find("origin")
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", _numbers(origin, "rpy", (0.0, 0.0, 0.0))).as_matrix()
    matrix[:3, 3] = _numbers(origin, "xyz", (0.0, 0.0, 0.0))
    return matrix


def _numbers(element: ElementTree.Element | None, name: str, otherwise: tuple[float, float, float]) -> Array:
    text = None if element is None else element.get(name)
    if text is None:
        return np.array(otherwise)
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise ArmError(f"expected three numbers for {name} in the description, got {text!r}") from error
    if values.shape != (3,) or not np.all(np.isfinite(values)):
        raise ArmError(f"expected three finite numbers for {name} in the description, got {text!r}")
    return values
