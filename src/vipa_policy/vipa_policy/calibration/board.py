"""The ChArUco board: its geometry, its picture, finding it in an image, and where it is.

The board's frame is OpenCV's: origin at the outer corner of the picture's top left square, x right, y down, z away from
the viewer. Guarded by tests/unit/test_calibration_board.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vipa_policy import geometry
from vipa_policy.calibration.lens import Lens
from vipa_policy.errors import BoardNotSeen, CalibrationError, WrongBoard
from vipa_policy.geometry import Array

FEWEST_CORNERS = 6
"""Four fix the pose of a plane; two more let a wrong one show."""
# A misread corner or another grid is squares off; noise and unknown distortion are a fraction of a pixel.
LARGEST_MISFIT = 0.1
"""RMS reprojection error of one picture, in sides of a square, beyond which the board is another one."""
SMALLEST_SQUARE = 8.0
"""px, side of a square below which its markers cannot be told."""
# Corners closer to each other than this in squares, across the narrow direction, lie on a line: no pose follows.
THINNEST = 0.5


@dataclass(frozen=True)
class Board:
    """A ChArUco board as it was printed.

    Attributes:
        columns, rows: squares.
        square: m, side of a square, measured on the print.
        marker: m, side of a marker.
        dictionary: of the markers, as OpenCV calls it without "DICT_".
        legacy: pattern of OpenCV before 4.6, where a board of even rows begins with a white square.
    """

    columns: int = 7
    rows: int = 5
    square: float = 0.035
    marker: float = 0.026
    dictionary: str = "4X4_50"
    legacy: bool = False

    def __post_init__(self) -> None:
        if not (3 <= self.columns <= 30 and 3 <= self.rows <= 30):
            raise CalibrationError(f"expected a board of 3 to 30 squares a side, got {self.columns} x {self.rows}")
        if not 0.001 <= self.marker < self.square <= 1.0:
            raise CalibrationError(
                f"expected 0.001 <= marker < square <= 1 in m, got marker {self.marker} and square {self.square}; "
                "measure the print and give metres"
            )
        if not hasattr(cv2.aruco, f"DICT_{self.dictionary}"):
            raise CalibrationError(f"expected a dictionary as 4X4_50 or 5X5_100, got {self.dictionary!r}")
        markers = self.columns * self.rows // 2
        if markers > len(self._dictionary().bytesList):
            raise CalibrationError(
                f"a board of {self.columns} x {self.rows} squares has {markers} markers, dictionary {self.dictionary} "
                f"has {len(self._dictionary().bytesList)}; take a larger one"
            )

    @classmethod
    def parse(cls, text: str) -> Board:
        """Read "7x5 0.035 0.026 4X4_50". Raises CalibrationError on anything else."""
        words = text.split()
        try:
            size, square, marker, *rest = words
            columns, rows = (int(part) for part in size.lower().split("x"))
            dictionary = rest[0] if rest else cls.dictionary
            if len(rest) > 1 and rest[1:] != ["legacy"]:
                raise ValueError
            return cls(columns, rows, float(square), float(marker), dictionary.upper(), len(rest) > 1)
        except ValueError as error:
            raise CalibrationError(
                f"expected a board as '7x5 0.035 0.026 4X4_50' (columns x rows, side of a square and of a marker in m, "
                f"dictionary, and 'legacy' for OpenCV's pattern before 4.6), got {text!r}"
            ) from error

    @classmethod
    def from_dict(cls, values: Any) -> Board:
        """Read what ``to_dict`` wrote. Raises CalibrationError on anything else."""
        try:
            return cls(**values)
        except TypeError as error:
            raise CalibrationError(f"expected the description of a board, got {values!r}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by name."""
        return dict(vars(self))

    def __str__(self) -> str:
        legacy = " legacy" if self.legacy else ""
        return f"{self.columns}x{self.rows} {self.square:g} {self.marker:g} {self.dictionary}{legacy}"

    @property
    def corner_count(self) -> int:
        """Inner corners."""
        return (self.columns - 1) * (self.rows - 1)

    @property
    def corners(self) -> Array:
        """(corner_count, 3) in m, in the board's frame."""
        columns, rows = np.meshgrid(np.arange(1, self.columns), np.arange(1, self.rows))
        flat = np.stack([columns.ravel(), rows.ravel(), np.zeros(self.corner_count)], axis=1)
        return np.asarray(flat * self.square)

    def picture(self, pixels_per_square: int, margin: int = 0) -> NDArray[np.uint8]:
        """Return the board (height, width) as it is printed, with a white margin; both in px."""
        size = (self.columns * pixels_per_square, self.rows * pixels_per_square)
        picture = np.asarray(self._opencv().generateImage(size, marginSize=0))
        return np.pad(picture, margin, constant_values=255)

    def _dictionary(self) -> cv2.aruco.Dictionary:
        return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{self.dictionary}"))

    def _opencv(self) -> cv2.aruco.CharucoBoard:
        board = cv2.aruco.CharucoBoard((self.columns, self.rows), self.square, self.marker, self._dictionary())
        board.setLegacyPattern(self.legacy)
        return board


@dataclass(frozen=True)
class BoardView:
    """Corners seen in one picture: ids (n,) of ``Board.corners`` and pixels (n, 2), as the lens bent them."""

    ids: NDArray[np.int64]
    pixels: Array


@dataclass(frozen=True)
class BoardPose:
    """Where a board is: camera_from_board (4, 4), and the RMS distance in px by which the picture disagrees."""

    camera_from_board: Array
    misfit: float


class BoardDetector:
    """Finds one board in pictures."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._detector = cv2.aruco.CharucoDetector(board._opencv())

    def detect(self, picture: NDArray[np.uint8]) -> BoardView:
        """Return the corners seen, to a fraction of a pixel.

        Args:
            picture: (height, width, 3) RGB or (height, width) grey, uint8.

        Raises BoardNotSeen where too few are in sight, WrongBoard where markers belong to another one.
        """
        grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        corners, ids, _, markers = self._detector.detectBoard(grey)
        strangers = sorted(set(np.ravel(markers).tolist() if markers is not None else []) - set(self._own_markers()))
        count = 0 if ids is None else len(ids)
        if strangers and len(strangers) > count:
            raise WrongBoard(
                f"expected the board {self.board}, saw markers {strangers[:6]} that it does not have; is another board "
                "in the picture, or the description of this one wrong?"
            )
        if count < FEWEST_CORNERS:
            seen = 0 if markers is None else len(markers)
            raise BoardNotSeen(
                f"expected at least {FEWEST_CORNERS} corners of the board {self.board} in the picture, saw {count} "
                f"(and {seen} of its markers); bring it whole into sight, closer, sharp and evenly lit"
            )
        view = BoardView(np.ravel(ids).astype(np.int64), np.asarray(corners, dtype=float).reshape(-1, 2))
        points = self.board.corners[view.ids, :2] / self.board.square
        if np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[-1] < THINNEST:
            raise BoardNotSeen(f"all {count} corners seen lie on one line; bring more of the board into sight")
        return view

    def _own_markers(self) -> range:
        return range(self.board.columns * self.board.rows // 2)


def locate(board: Board, view: BoardView, lens: Lens) -> BoardPose:
    """Return where the board is by the corners of one picture.

    Raises WrongBoard where they do not lie as the board has them, BoardNotSeen where it is too small to be sure.
    """
    points, pixels = board.corners[view.ids], lens.straighten(view.pixels)
    extent = float(np.linalg.norm(np.ptp(pixels, axis=0)) / np.linalg.norm(np.ptp(points, axis=0)))
    side = extent * board.square
    if side < SMALLEST_SQUARE:
        raise BoardNotSeen(
            f"the board's squares are {side:.1f} px wide, expected {SMALLEST_SQUARE:g} or more; go closer"
        )
    found, rotations, translations, errors = cv2.solvePnPGeneric(
        points, pixels, lens.matrix, None, flags=cv2.SOLVEPNP_IPPE
    )
    if not found:
        raise BoardNotSeen("the corners seen fix no pose; bring more of the board into sight")
    best = int(np.argmin(np.ravel(errors)))
    rotation, translation = cv2.solvePnPRefineLM(
        points, pixels, lens.matrix, None, rotations[best].copy(), translations[best].copy()
    )
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = cv2.Rodrigues(rotation)[0], np.ravel(translation)
    misfit = rms(reprojection(board, view, lens, matrix))
    if not misfit <= LARGEST_MISFIT * side:
        raise WrongBoard(
            f"the corners seen lie {misfit:.1f} px from where the board {board} would have them; check columns, rows, "
            "'legacy' and the camera's intrinsics, and that the board is flat"
        )
    return BoardPose(matrix, misfit)


def reprojection(board: Board, view: BoardView, lens: Lens, camera_from_board: Array) -> Array:
    """Return offsets (n, 2) in px from where corners are seen to where they are expected, both without distortion."""
    points = geometry.apply(camera_from_board, board.corners[view.ids])
    return lens.project(points) - lens.straighten(view.pixels)


def rms(offsets: Array) -> float:
    """Return the root mean square length of offsets (n, 2)."""
    return math.sqrt(float(np.mean(np.sum(np.square(offsets), axis=-1)))) if len(offsets) else math.nan


def draw(picture: NDArray[np.uint8], view: BoardView) -> NDArray[np.uint8]:
    """Return a copy of an RGB picture (height, width, 3) with the corners ringed, for people."""
    drawn = np.ascontiguousarray(picture).copy()
    for (x, y), number in zip(view.pixels, view.ids, strict=True):
        colour = (255, 60, 30) if number else (40, 220, 40)
        # Sixteenths of a pixel: the ring shows where within the pixel the corner is.
        cv2.circle(drawn, (round(x * 16), round(y * 16)), 5 * 16, colour, 1, cv2.LINE_AA, 4)
        cv2.drawMarker(drawn, (round(x), round(y)), colour, cv2.MARKER_CROSS, 5, 1)
    return drawn
