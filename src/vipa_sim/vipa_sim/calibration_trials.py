"""Calibrations of the simulated cameras against the simulator's truth: placements, arm poses, pictures, errors.

What a person does by looking at the picture is done here with the camera's true pose: the hand is brought to poses that
show the board. The solver gets pictures with noise and the arm's poses, nothing else. Guarded by
tests/sim/test_calibration_trials.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.calibration.board import Board, BoardDetector, BoardView
from vipa_policy.calibration.collection import Collection
from vipa_policy.calibration.hand_eye import HandEye, Mode, closed_form
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.validation import HeldOut
from vipa_policy.errors import CalibrationError
from vipa_policy.geometry import Array
from vipa_sim.calibration_board import BoardPlacement
from vipa_sim.camera import LINK_FROM_OPTICAL, CameraConfig, NoiseConfig
from vipa_sim.cell import SCENE, SCENE_POSE, WRIST, WRIST_POSE, Cell, CellConfig
from vipa_sim.model import TIP_OFFSET
from vipa_sim.scene import Layout

MIDDLE: Final = (0.50, 0.0, 0.32)
"""m in ``world``: where the hand shows the board to a camera that stands beside the arm."""
LARGEST_TURN: Final = math.radians(40.0)
"""Of the board against facing the camera squarely."""
FEWEST_CORNERS: Final = 12
"""Half of the board: what a person would accept in the picture."""
LOWEST: Final = -0.001
"""m above the table, of the board's corners: it does not dip into it."""
MOST_ATTEMPTS: Final = 600
"""Poses tried for one placement: out of reach, out of sight or hidden ones are many."""


@dataclass(frozen=True)
class Shot:
    """A picture of the board: RGB (height, width, 3), corners, and the hand's pose (4, 4) as the arm tells it."""

    rgb: NDArray[np.uint8]
    view: BoardView
    base_from_hand: Array


@dataclass(frozen=True)
class Trial:
    """One calibration and how far it is from the truth.

    Attributes:
        mode: who carried the camera.
        index: of the placement.
        translation: m, distance of the camera from where it truly is.
        rotation: rad, angle to its true orientation.
        closed_form_translation, closed_form_rotation: the same of OpenCV's closed form, without the second step.
        solution: what was solved.
        held_out: its residuals on poses left out.
        shots: the pictures it was solved from.
    """

    mode: Mode
    index: int
    translation: float
    rotation: float
    closed_form_translation: float
    closed_form_rotation: float
    solution: HandEye
    held_out: HeldOut
    shots: tuple[Shot, ...] = field(repr=False)


class CalibrationCell:
    """A cell with a board, empty of blocks, whose camera is placed anew for every trial."""

    def __init__(self, mode: Mode, image_size: tuple[int, int] = (1280, 720), board: Board | None = None) -> None:
        self.mode, self.board = mode, board or Board()
        self.placement = BoardPlacement(mode is Mode.EYE_TO_HAND, self.board)
        self.camera = WRIST if mode is Mode.EYE_IN_HAND else SCENE
        self.cell = Cell(
            CellConfig(
                image_width=image_size[0],
                image_height=image_size[1],
                scene_camera=CameraConfig(SCENE_POSE),
                wrist_camera=CameraConfig(WRIST_POSE) if mode is Mode.EYE_IN_HAND else None,
                noise=NoiseConfig(),
                board=self.placement,
            )
        )
        self.detector = BoardDetector(self.board)
        self.lens = Lens(self.cell.intrinsics(self.camera), (), *image_size)
        self._stamp = 0

    @property
    def parent_from_camera(self) -> Array:
        """(4, 4) truth: the camera's optical frame in ``fr3_hand`` or ``fr3_link0``."""
        return self.cell.camera_config(self.camera).parent_from_link() @ LINK_FROM_OPTICAL

    def place(self, generator: np.random.Generator, seed: int) -> None:
        """Put the camera somewhere, and vary lamp and table by a seed."""
        self.cell.reset(Layout(seed, False, (), ()))
        pose = _hand_mount(generator) if self.mode is Mode.EYE_IN_HAND else _stand(generator)
        self.cell.set_camera_pose(self.camera, *pose)

    def shoot(self) -> Shot:
        """Take a picture now. Raises CalibrationError where the board is not to be seen in it well enough."""
        self._stamp += 1
        rgb = self.cell.capture(self.camera, self._stamp).rgb
        view = self.detector.detect(rgb)
        if len(view.ids) < FEWEST_CORNERS:
            raise CalibrationError(f"expected {FEWEST_CORNERS} corners in the picture, saw {len(view.ids)}")
        return Shot(rgb, view, self.cell.base_from_hand)

    def show_board(self, generator: np.random.Generator) -> bool:
        """Bring the hand to a random pose that should show the board; returns whether the arm reaches one."""
        hand = self._in_hand(generator) if self.mode is Mode.EYE_IN_HAND else self._to_hand(generator)
        tip = np.eye(4)
        tip[2, 3] = TIP_OFFSET
        target = hand @ tip
        return target[2, 3] > 0.06 and self._is_in_sight(hand) and self.cell.teleport(target, 0.0)

    def shots(self, generator: np.random.Generator) -> Iterator[Shot]:
        """Yield pictures of the board at ever new poses. Raises RuntimeError where hardly any pose shows it."""
        for _ in range(MOST_ATTEMPTS):
            if self.show_board(generator):
                try:
                    yield self.shoot()
                except CalibrationError:
                    # Hidden behind the arm, or at the picture's edge: the next pose may do.
                    continue
        raise RuntimeError(f"{MOST_ATTEMPTS} poses did not show the board often enough to this camera")

    def close(self) -> None:
        """Free the renderer."""
        self.cell.close()

    def _is_in_sight(self, hand: Array) -> bool:
        """Tell whether the board would be clear of the table and in the picture, before anything is drawn."""
        board = (
            hand @ self.placement.carrier_from_board if self.placement.on_hand else self.placement.carrier_from_board
        )
        if np.min(geometry.apply(board, self.board.corners)[:, 2]) < LOWEST:
            return False
        camera = hand @ self.parent_from_camera if self.mode is Mode.EYE_IN_HAND else self.parent_from_camera
        points = geometry.apply(geometry.inverse(camera) @ board, self.board.corners)
        pixels = self.lens.project(points)
        inside = (pixels > 0.0) & (pixels < (self.lens.width - 1, self.lens.height - 1))
        return bool(np.all(points[:, 2] > 0.1) and np.mean(np.all(inside, axis=1)) >= 0.75)

    def _to_hand(self, generator: np.random.Generator) -> Array:
        """Return a hand pose (4, 4) that holds the board before the camera."""
        camera = self.parent_from_camera
        middle = np.array(MIDDLE) + generator.uniform(-1.0, 1.0, 3) * (0.15, 0.22, 0.14)
        away = middle - camera[:3, 3]
        board = np.eye(4)
        board[:3, :3] = _random_turn(generator) @ _facing(away)
        board[:3, 3] = middle - board[:3, :3] @ self.board.corners.mean(axis=0)
        return board @ geometry.inverse(self.placement.carrier_from_board)

    def _in_hand(self, generator: np.random.Generator) -> Array:
        """Return a hand pose (4, 4) from which the camera looks at the board on the table."""
        board = self.placement.carrier_from_board
        target = geometry.apply(board, self.board.corners.mean(axis=0)) + generator.uniform(-0.09, 0.09, 3) * (1, 1, 0)
        down = np.diag([1.0, -1.0, -1.0])
        # From straight above, upright as the hand's x axis points ahead; then turned.
        aim = Rotation.align_vectors([[0.0, 0.0, -1.0]], [down @ self.parent_from_camera[:3, 2]])[0].as_matrix()
        camera = np.eye(4)
        camera[:3, :3] = _random_turn(generator) @ aim @ down @ self.parent_from_camera[:3, :3]
        camera[:3, 3] = target - generator.uniform(0.28, 0.55) * camera[:3, 2]
        return camera @ geometry.inverse(self.parent_from_camera)


def calibrate(cell: CalibrationCell, index: int, seed: int, poses: int = 15) -> Trial:
    """Place the camera by (seed, index), collect so many poses, solve, and compare with the truth."""
    generator = np.random.default_rng([seed, index, list(Mode).index(cell.mode)])
    cell.place(generator, index)
    collection, shots = Collection(cell.mode, cell.board), []
    source = cell.shots(generator)
    while len(collection) < poses:
        shot = next(source)
        if collection.is_new(shot.base_from_hand):
            collection.add(shot.view, cell.lens, shot.base_from_hand)
            shots.append(shot)
    solution, held_out, lens = collection.solve()
    first = closed_form(cell.mode, cell.board, lens, collection.samples)
    truth = cell.parent_from_camera
    return Trial(
        cell.mode,
        index,
        *_errors(solution.parent_from_camera, truth),
        *_errors(first, truth),
        solution,
        held_out,
        tuple(shots),
    )


def _errors(found: Array, truth: Array) -> tuple[float, float]:
    """Return distance in m and angle in rad between two poses (4, 4)."""
    return float(np.linalg.norm(found[:3, 3] - truth[:3, 3])), geometry.rotation_angle(found, truth)


def _random_turn(generator: np.random.Generator) -> Array:
    """Return a rotation (3, 3) about any axis by up to LARGEST_TURN."""
    axis = generator.normal(size=3)
    angle = LARGEST_TURN * generator.uniform(0.2, 1.0)
    return np.asarray(Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix())


def _facing(away: Array) -> Array:
    """Return the rotation (3, 3) of a board whose z points along ``away`` (3,) and whose y points down."""
    z = away / np.linalg.norm(away)
    x = np.cross((0.0, 0.0, -1.0), z)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _stand(generator: np.random.Generator) -> tuple[float, float, float, float, float, float]:
    """Return x y z roll pitch yaw of a camera that stands somewhere before the arm and looks at its hand."""
    azimuth = generator.uniform(-1.0, 1.0) * math.radians(60.0)
    elevation = math.radians(generator.uniform(5.0, 45.0))
    distance = generator.uniform(0.75, 1.15)
    flat = math.cos(elevation)
    offset = distance * np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)])
    aim = np.array(MIDDLE) + generator.uniform(-0.05, 0.05, 3) - (np.array(MIDDLE) + offset)
    yaw, pitch = math.atan2(aim[1], aim[0]), math.atan2(-aim[2], math.hypot(aim[0], aim[1]))
    x, y, z = (float(value) for value in np.array(MIDDLE) + offset)
    return x, y, z, math.radians(generator.uniform(-12.0, 12.0)), pitch, yaw


def _hand_mount(generator: np.random.Generator) -> tuple[float, float, float, float, float, float]:
    """Return x y z roll pitch yaw of a camera bolted to the hand about where wrist cameras are."""
    shift, turn = generator.uniform(-0.025, 0.025, 3), np.radians(generator.uniform(-12.0, 12.0, 3))
    x, y, z = (float(value) for value in np.array(WRIST_POSE[:3]) + shift)
    roll, pitch, yaw = (float(value) for value in np.array(WRIST_POSE[3:]) + turn)
    return x, y, z, roll, pitch, yaw
