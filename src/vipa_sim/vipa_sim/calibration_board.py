"""A ChArUco board in the cell: a textured plate that stands on the table or rides on the hand.

An extra: a cell without one is drawn, bit for bit, as if this file did not exist. Guarded by
tests/sim/test_calibration_trials.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import mujoco
import numpy as np

from vipa_policy.calibration.board import Board
from vipa_policy.geometry import Array, inverse, quaternion_of

PIXELS_PER_SQUARE: Final = 96
MARGIN: Final = 0.5
"""Sides of a square, of white around the board."""
THICKNESS: Final = 0.004


def _on_the_hand() -> Array:
    """Held in front of the fingers, facing along the hand's x axis: to a camera before an arm that points down."""
    matrix = np.eye(4)
    # The board's x runs along the hand's y, its y along the hand's z: upright while the hand points down.
    matrix[:3, :3] = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    matrix[:3, 3] = (0.03, 0.1225, 0.075)
    return matrix


def _on_the_table() -> Array:
    """Flat on the table, in the middle of the workspace, its x axis along the robot's y."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    matrix[:3, 3] = (0.5875, 0.1225, THICKNESS)
    return matrix


@dataclass(frozen=True)
class BoardPlacement:
    """A board and what carries it.

    Attributes:
        on_hand: whether it rides on ``fr3_hand``; else it stands in ``world``.
        board: which one.
        pose: (4, 4) of the board's frame (OpenCV's: at a corner, z away from the viewer) in ``fr3_hand`` or ``world``;
            None for the usual place.
    """

    on_hand: bool
    board: Board = field(default_factory=Board)
    pose: Array | None = None

    @property
    def carrier_from_board(self) -> Array:
        """(4, 4) of the board's frame in ``fr3_hand`` or ``world``."""
        if self.pose is not None:
            return self.pose
        return _on_the_hand() if self.on_hand else _on_the_table()


def add_board(spec: Any, placement: BoardPlacement, group: int) -> None:
    """Add the plate to a model that is being built; it touches nothing and weighs nothing."""
    board = placement.board
    margin = round(MARGIN * PIXELS_PER_SQUARE)
    picture = board.picture(PIXELS_PER_SQUARE, margin)
    texture = spec.add_texture(
        name="calibration_board",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=picture.shape[1],
        height=picture.shape[0],
        nchannel=3,
    )
    texture.data = np.repeat(picture[..., None], 3, axis=2).tobytes()
    material = spec.add_material(name="calibration_board", specular=0.0, shininess=0.0, reflectance=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "calibration_board"
    size = board.square * (np.array([board.columns, board.rows]) + 2.0 * MARGIN)
    parent = spec.body("hand") if placement.on_hand else spec.worldbody
    # MuJoCo lays a texture over a box with its top at +y, seen from +z; a board has y down and z into the plate.
    plate_from_board = np.diag([1.0, -1.0, -1.0, 1.0])
    plate_from_board[:3, 3] = (
        -0.5 * board.columns * board.square,
        0.5 * board.rows * board.square,
        0.5 * THICKNESS,
    )
    carrier_from_plate = placement.carrier_from_board @ inverse(plate_from_board)
    parent.add_geom(
        name="calibration_board",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.5 * size[0], 0.5 * size[1], 0.5 * THICKNESS],
        pos=carrier_from_plate[:3, 3],
        quat=np.roll(quaternion_of(carrier_from_plate), 1),
        material="calibration_board",
        group=group,
        contype=0,
        conaffinity=0,
        mass=0.0,
    )
