"""How a calibration enters TF without giving a frame two parents: the single place for that rule.

A camera's driver publishes a tree of its own: camera_link above camera_color_frame above camera_color_optical_frame,
with the factory's extrinsics. What was calibrated is the optical frame, deep inside that tree; publishing it as a child
of the base would give it two parents, and TF would follow whichever spoke last. So the tree is hung up by its root:

    parent_from_root = parent_from_camera (root_from_camera)^-1

Guarded by tests/unit/test_calibration_mounting.py.
"""

from __future__ import annotations

import numpy as np

from vipa_policy import geometry
from vipa_policy.errors import CalibrationError
from vipa_policy.geometry import Array

SAME_POSITION = 1e-6  # m and rad within which two publications of a transform are one and the same
SAME_ROTATION = 1e-6


class StaticTree:
    """The fixed transforms heard so far: child -> parent and parent_from_child (4, 4)."""

    def __init__(self) -> None:
        self._edges: dict[str, tuple[str, Array]] = {}

    def learn(self, parent: str, child: str, parent_from_child: Array) -> None:
        """Add or replace an edge."""
        self._edges[child] = (parent, parent_from_child)

    def ancestors(self, frame: str) -> list[str]:
        """Return the frame and those above it, nearest first. Raises CalibrationError on a circle."""
        chain = [frame]
        while chain[-1] in self._edges:
            above = self._edges[chain[-1]][0]
            if above in chain:
                raise CalibrationError(f"static transforms run in a circle: {' below '.join([*chain, above])}")
            chain.append(above)
        return chain

    def root_of(self, camera: str, robot: tuple[str, ...]) -> str:
        """Return the topmost frame of the camera's own tree.

        Args:
            camera: optical frame.
            robot: frames of the robot; what lies above them, and they themselves, are not the camera's.
        """
        taken = {name for frame in robot for name in self.ancestors(frame)}
        own = [name for name in self.ancestors(camera) if name not in taken]
        if not own:
            raise CalibrationError(f"the camera's frame {camera} is a frame of the robot; check frame_id of its images")
        return own[-1]

    def root_from_camera(self, root: str, camera: str) -> Array | None:
        """Return the factory's (4, 4) from a camera's optical frame to its root; None while it is not known."""
        matrix = np.eye(4)
        frame = camera
        for _ in range(len(self._edges) + 1):
            if frame == root:
                return matrix
            if frame not in self._edges:
                return None
            frame, step = self._edges[frame]
            matrix = step @ matrix
        return None


class Mount:
    """The one edge a calibration adds to TF: ``parent`` -> ``root``, and who else claims it."""

    def __init__(self, parent: str, root: str, camera: str, parent_from_camera: Array) -> None:
        self.parent, self.root, self.camera = parent, root, camera
        self._parent_from_camera = parent_from_camera
        self._tree = StaticTree()
        self.parent_from_root: Array | None = None if root != camera else parent_from_camera
        self.rival = ""
        """What else was heard to hang the root up, in words; "" while nothing was."""

    def learn(self, parent: str, child: str, parent_from_child: Array) -> None:
        """Take a static transform that was heard, one's own included."""
        if child == self.root:
            self._judge(parent, parent_from_child)
            return
        self._tree.learn(parent, child, parent_from_child)
        if self.parent_from_root is None:
            root_from_camera = self._tree.root_from_camera(self.root, self.camera)
            if root_from_camera is not None:
                self.parent_from_root = self._parent_from_camera @ geometry.inverse(root_from_camera)

    def _judge(self, parent: str, parent_from_child: Array) -> None:
        own = self.parent_from_root
        if parent == self.parent and own is not None and _same(own, parent_from_child):
            return
        self.rival = (
            f"{self.root} is published below {parent} by somebody else; it must not have two parents: take that "
            "transform out of the URDF or the static publisher, or run without this calibration"
        )


def _same(first: Array, second: Array) -> bool:
    return (
        float(np.linalg.norm(first[:3, 3] - second[:3, 3])) < SAME_POSITION
        and geometry.rotation_angle(first, second) < SAME_ROTATION
    )
