"""The things on the table: shows what a layout holds, parks the rest, and tells where everything is.

Guarded by tests/sim/test_cell.py.
"""

from __future__ import annotations

import mujoco
import numpy as np

from vipa_policy.geometry import Array
from vipa_sim.scene import (
    BOWL_DIAMETER,
    BOWLS,
    COLOURS,
    RELEASE_HEIGHT,
    Appearance,
    CellObject,
    Layout,
    sample_appearance,
    sample_layout,
)


def pose_of_body(data: mujoco.MjData, body: str) -> Array:
    """Return the (4, 4) pose of a body in ``world``."""
    item = data.body(body)
    matrix = np.eye(4)
    matrix[:3, :3] = item.xmat.reshape(3, 3)
    matrix[:3, 3] = item.xpos
    return matrix


class Tabletop:
    """Blocks, bowls, the table's looks and the lamp of a compiled cell."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, vary_appearance: bool) -> None:
        self._model, self._data, self._vary_appearance = model, data, vary_appearance
        self._all = [f"{colour}_block" for colour in COLOURS] + [f"{colour}_bowl" for colour in BOWLS]
        self.appearance = Appearance()
        self.lay(sample_layout(0, False))

    def lay(self, layout: Layout) -> None:
        """Lay the table: everything at rest where the layout has it."""
        self.dress(layout)
        for block in layout.blocks:
            self.place(block.name, (block.x, block.y, self.appearance.block_edge / 2), block.yaw)
        for bowl in layout.bowls:
            self.place(bowl.name, (bowl.x, bowl.y, 0.0), 0.0)

    def dress(self, layout: Layout) -> None:
        """Show, colour and make solid what the layout holds, without moving it; park and hide the rest."""
        self.layout = layout
        self.appearance = sample_appearance(layout.seed) if self._vary_appearance else Appearance()
        looks, model = self.appearance, self._model
        model.mat_rgba[model.material("table").id, :3] = looks.table
        lamp = model.light("lamp").id
        model.light_diffuse[lamp] = np.array([0.62, 0.61, 0.58]) * looks.brightness
        model.light_dir[lamp] = np.asarray(looks.lamp_direction) / np.linalg.norm(looks.lamp_direction)
        model.vis.headlight.ambient[:] = 0.38 * looks.brightness
        present = {block.name for block in layout.blocks} | {bowl.name for bowl in layout.bowls}
        for index, name in enumerate(self._all):
            if name in present:
                self._show(name)
            else:
                self._park(name, index)
        half = looks.block_edge / 2
        for colour, rgb in COLOURS.items():
            geom = model.geom(f"{colour}_block").id
            model.geom_size[geom] = half
            model.geom_aabb[geom, 3:] = half
            model.geom_rbound[geom] = half * np.sqrt(3.0)
            model.geom_rgba[geom, :3] = np.clip(np.asarray(rgb) * looks.shade, 0.0, 1.0)

    def place(self, name: str, position: tuple[float, float, float], yaw: float) -> None:
        """Rest an object with its origin at a position (m), turned about z (rad)."""
        joint = self._model.joint(name)
        address, speed = int(joint.qposadr[0]), int(joint.dofadr[0])
        self._data.qpos[address : address + 3] = position
        self._data.qpos[address + 3 : address + 7] = (np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2))
        self._data.qvel[speed : speed + 6] = 0.0

    def objects(self) -> tuple[CellObject, ...]:
        """Return what lies in the cell, blocks first."""
        found = []
        for block in self.layout.blocks:
            pose = pose_of_body(self._data, block.name)
            edge = self.appearance.block_edge
            found.append(CellObject(block.name, "block", block.colour, pose, pose[:3, 3].copy(), edge))
        for bowl in self.layout.bowls:
            pose = pose_of_body(self._data, bowl.name)
            release = pose[:3, 3] + np.array([0.0, 0.0, RELEASE_HEIGHT])
            found.append(CellObject(bowl.name, "bowl", bowl.colour, pose, release, BOWL_DIAMETER))
        return tuple(found)

    def _park(self, name: str, index: int) -> None:
        """Take an object out of the cell: weightless, untouchable and invisible below the floor."""
        body = self._model.body(name).id
        self._model.body_gravcomp[body] = 1.0
        for geom in self._geoms_of(body):
            self._model.geom_contype[geom] = self._model.geom_conaffinity[geom] = 0
            self._model.geom_rgba[geom, 3] = 0.0
        self.place(name, (0.3 * index, 0.0, -2.0), 0.0)

    def _show(self, name: str) -> None:
        """Put an object under gravity, within touch and in sight."""
        body = self._model.body(name).id
        self._model.body_gravcomp[body] = 0.0
        for geom in self._geoms_of(body):
            only_drawn = self._model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
            self._model.geom_contype[geom] = self._model.geom_conaffinity[geom] = 0 if only_drawn else 1
            self._model.geom_rgba[geom, 3] = 1.0

    def _geoms_of(self, body: int) -> range:
        first = int(self._model.body_geomadr[body])
        return range(first, first + int(self._model.body_geomnum[body]))
