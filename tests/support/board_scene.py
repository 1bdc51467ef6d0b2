"""A camera, a board and an arm on paper: poses, corners with noise, and pictures drawn by homography."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.calibration.board import Board, BoardView
from vipa_policy.calibration.hand_eye import Mode, Sample, chained, sample
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.result import Calibration, Figures, Frames
from vipa_policy.geometry import Array

WIDTH, HEIGHT = 640, 480
LENS = Lens(np.array([[515.0, 0.0, 319.5], [0.0, 515.0, 239.5], [0.0, 0.0, 1.0]]), (), WIDTH, HEIGHT)
BOARD = Board()


def pose(rotation: Rotation, position: tuple[float, float, float]) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.as_matrix(), position
    return matrix


class Rig:
    """A camera and a board fixed somewhere, and hand poses that show the one to the other."""

    def __init__(self, mode: Mode, seed: int, board: Board = BOARD, lens: Lens = LENS) -> None:
        self.mode, self.board, self.lens = mode, board, lens
        self.random = np.random.default_rng(seed)
        turn = Rotation.from_rotvec(self.random.normal(0.0, 0.3, 3))
        if mode is Mode.EYE_IN_HAND:
            self.parent_from_camera = pose(turn * Rotation.from_euler("z", 90, degrees=True), (0.08, -0.02, 0.03))
            self.carrier_from_board = pose(Rotation.from_euler("x", 180, degrees=True), (0.45, 0.1, 0.0))
        else:
            self.parent_from_camera = pose(turn * Rotation.from_euler("xz", [-115, 90], degrees=True), (1.1, 0.1, 0.5))
            self.carrier_from_board = pose(Rotation.from_euler("y", 90, degrees=True) * turn, (0.02, 0.1, 0.07))

    def camera_from_board(self, turn: tuple[float, float, float] | Array) -> Array:
        """A board before the camera, turned by a rotation vector in rad against facing it, somewhere in the picture."""
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_rotvec(np.asarray(turn)).as_matrix()
        middle = np.array([*self.random.uniform(-0.12, 0.12, 2), self.random.uniform(0.45, 0.75)])
        matrix[:3, 3] = middle - matrix[:3, :3] @ self.board.corners.mean(axis=0)
        return matrix

    def hand_for(self, camera_from_board: Array) -> Array:
        """The hand's pose that brings the board there."""
        board_in_parent = self.parent_from_camera @ camera_from_board @ geometry.inverse(self.carrier_from_board)
        return geometry.inverse(board_in_parent) if self.mode is Mode.EYE_IN_HAND else board_in_parent

    def where_board_is(self, base_from_hand: Array) -> Array:
        return chained(self.mode, self.parent_from_camera, base_from_hand, self.carrier_from_board)

    def view(self, camera_from_board: Array, noise: float) -> BoardView:
        corners = geometry.apply(camera_from_board, self.board.corners)
        pixels = self.lens.project(corners) + self.random.normal(0.0, noise, (len(corners), 2))
        return BoardView(np.arange(len(corners)), pixels)

    def sample(self, turn: tuple[float, float, float] | Array, noise: float = 0.1) -> Sample:
        seen = self.camera_from_board(turn)
        return sample(self.board, self.view(seen, noise), self.lens, self.hand_for(seen))

    def samples(self, count: int, noise: float = 0.1, spread: float = 0.35) -> list[Sample]:
        """Samples turned every way."""
        return [self.sample(self.random.normal(0.0, spread, 3), noise) for _ in range(count)]

    def picture(self, camera_from_board: Array, noise: float = 3.0) -> np.ndarray:
        """An RGB picture (height, width, 3) of the board, with grey noise."""
        return picture_of(self.board, self.lens, camera_from_board, self.random, noise)


def picture_of(
    board: Board, lens: Lens, camera_from_board: Array, random: np.random.Generator, noise: float
) -> np.ndarray:
    """Draw a board through a lens without distortion, four times larger and then reduced, as a pixel gathers light."""
    import cv2

    per_square, margin, larger = 80, 40, 4
    flat = board.picture(per_square, margin)
    # Metres on the board to its picture's pixels, whose centres lie at whole numbers.
    step = per_square / board.square
    flat_from_board = np.array([[step, 0.0, margin - 0.5], [0.0, step, margin - 0.5], [0.0, 0.0, 1.0]])
    image_from_board = lens.matrix @ camera_from_board[:3, (0, 1, 3)]
    enlarge = np.array([[larger, 0.0, (larger - 1) / 2], [0.0, larger, (larger - 1) / 2], [0.0, 0.0, 1.0]])
    warp = enlarge @ image_from_board @ np.linalg.inv(flat_from_board)
    size = (lens.width * larger, lens.height * larger)
    drawn = cv2.warpPerspective(flat, warp, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_CONSTANT, borderValue=120)
    small = cv2.resize(drawn, (lens.width, lens.height), interpolation=cv2.INTER_AREA).astype(float)
    noisy = np.clip(np.rint(20.0 + 0.8 * small + random.normal(0.0, noise, small.shape)), 0, 255).astype(np.uint8)
    return np.repeat(noisy[..., None], 3, axis=2)


def finished(mode: Mode, rig: Rig | None = None, frames: Frames | None = None) -> Calibration:
    """The calibration of a rig as its truth has it, as if it had been solved."""
    rig = rig or Rig(mode, 0)
    return Calibration(
        mode=mode,
        frames=frames or Frames("fr3_link0", "fr3_hand", "camera_color_optical_frame", "camera_link"),
        camera_topic="camera/camera",
        parent_from_camera=rig.parent_from_camera,
        carrier_from_board=rig.carrier_from_board,
        board=rig.board,
        lens=rig.lens,
        figures=Figures(15, 0.14, 0.15, 0.0004, 0.002, 0.0001, 0.0002),
    )
