"""The board on paper, true to size. Guarded by tests/unit/test_calibration_board.py."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2

from vipa_policy.calibration.board import Board
from vipa_policy.errors import CalibrationError

PIXELS_PER_SQUARE = 240
MARGIN = 10.0  # mm of white around the board, which its markers need


def to_svg(board: Board) -> str:
    """Return a page in SVG whose board measures what its description says when printed at 100 %."""
    width, height = 1000.0 * board.square * board.columns, 1000.0 * board.square * board.rows
    _, png = cv2.imencode(".png", board.picture(PIXELS_PER_SQUARE))
    data = base64.b64encode(png.tobytes()).decode()
    page = (width + 2 * MARGIN, height + 2 * MARGIN + 6.0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page[0]:g}mm" height="{page[1]:g}mm" '
        f'viewBox="0 0 {page[0]:g} {page[1]:g}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n'
        f'<image x="{MARGIN:g}" y="{MARGIN:g}" width="{width:g}" height="{height:g}" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>\n'
        f'<text x="{MARGIN:g}" y="{height + MARGIN + 5.0:g}" font-size="3.5">{board} (m): print at 100 %, glue on a '
        "flat plate, measure a square</text>\n</svg>\n"
    )


def write_svg(board: Board, path: Path) -> None:
    """Write the page. Raises CalibrationError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_svg(board), encoding="utf-8")
    except OSError as error:
        raise CalibrationError(f"cannot write {path}: {error}; name a file in a folder that may be written") from error
