"""What the policy intends, drawn into the camera's picture: the predicted path, the pointed point, and a caption.

Pure drawing: arrays in, arrays out, no ROS and no MuJoCo. Guarded by tests/unit/test_overlay.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vipa_policy.geometry import Array, position_of

# Points nearer than this to the camera's plane have no meaningful pixel.
NEAREST = 0.02
# Ends of the colour ramp of the path, RGB: now, and the end of the horizon.
NOW = np.array([255.0, 255.0, 60.0])
LATER = np.array([255.0, 40.0, 160.0])
WHITE = (255, 255, 255)
GREEN = (110, 235, 120)
RED = (255, 110, 100)
GREY = (190, 190, 190)
INK = (22, 22, 28)
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Intent:
    """What the policy last predicted.

    Attributes:
        path: (rows, 4, 4) or (rows, 3), poses or positions of the tip in the camera's optical frame, m.
        gripper: (rows,) m between the fingers; rows that close the gripper are drawn filled.
        pointed: (3,) m in the same frame, or None where the policy points at nothing.
        confidence: 0 to 1, of the pointed point.
    """

    path: Array
    gripper: Array
    pointed: Array | None = None
    confidence: float = 0.0


@dataclass(frozen=True)
class Caption:
    """Lines of text under the picture: the instruction, and one line of facts with its verdict.

    ``verdict`` is True for success (green), False for failure (red), None while it is open.
    """

    instruction: str
    facts: Sequence[str] = field(default_factory=tuple)
    verdict: bool | None = None


def project(points: Array, intrinsics: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Project points (n, 3) in m of the optical frame through a pinhole matrix (3, 3).

    Returns pixels (n, 2) with centres at whole numbers, and whether each point lies in front of the camera (n,);
    pixels of points that do not are NaN.
    """
    points = np.atleast_2d(np.asarray(points, dtype=float))
    visible = np.isfinite(points).all(axis=1) & (points[:, 2] > NEAREST)
    pixels = np.full((len(points), 2), np.nan)
    seen = points[visible]
    pixels[visible, 0] = intrinsics[0, 0] * seen[:, 0] / seen[:, 2] + intrinsics[0, 2]
    pixels[visible, 1] = intrinsics[1, 1] * seen[:, 1] / seen[:, 2] + intrinsics[1, 2]
    return pixels, visible


def enlarge(picture: NDArray[np.uint8], intrinsics: Array, factor: int) -> tuple[NDArray[np.uint8], Array]:
    """Return a picture (height, width, 3) enlarged by a whole factor, and the intrinsics that belong to it."""
    height, width = picture.shape[:2]
    larger = cv2.resize(picture, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC)
    scaled = np.array(intrinsics, dtype=float)
    scaled[:2] *= factor
    # The edge of a pixel scales, not its centre.
    scaled[:2, 2] += (factor - 1) / 2.0
    return np.asarray(larger, dtype=np.uint8), scaled


def draw_intent(picture: NDArray[np.uint8], intrinsics: Array, intent: Intent, closed_below: float = 0.04) -> None:
    """Draw the predicted path and the pointed point into a picture (height, width, 3) uint8 RGB, in place.

    The path runs from yellow (now) to magenta (the end of the horizon). The ring around the pointed point fills
    clockwise with the policy's confidence. Points behind the camera are left out.
    """
    positions = position_of(intent.path) if intent.path.ndim == 3 else intent.path
    unit = max(1, round(picture.shape[0] / 240))
    if len(positions):
        _draw_path(picture, *project(positions, intrinsics), np.asarray(intent.gripper) < closed_below, unit)
    if intent.pointed is not None:
        pixels, visible = project(intent.pointed, intrinsics)
        if visible[0]:
            _draw_ring(picture, _pixel(pixels[0]), intent.confidence, unit)


def _draw_path(
    picture: NDArray[np.uint8], pixels: Array, visible: NDArray[np.bool_], closed: NDArray[np.bool_], unit: int
) -> None:
    last = max(1, len(pixels) - 1)
    colours = [tuple(float(c) for c in NOW + (LATER - NOW) * k / last) for k in range(len(pixels))]
    for k in range(len(pixels) - 1):
        if visible[k] and visible[k + 1]:
            ends = _pixel(pixels[k]), _pixel(pixels[k + 1])
            cv2.line(picture, *ends, INK, 2 * unit + 1, cv2.LINE_AA)
            cv2.line(picture, *ends, colours[k], unit, cv2.LINE_AA)
    for k in (int(row) for row in np.flatnonzero(visible)):
        centre = _pixel(pixels[k])
        cv2.circle(picture, centre, 2 * unit, INK, cv2.FILLED, cv2.LINE_AA)
        thickness = cv2.FILLED if closed[k] else max(1, unit // 2)
        cv2.circle(picture, centre, max(1, round(1.5 * unit)), colours[k], thickness, cv2.LINE_AA)


def _draw_ring(picture: NDArray[np.uint8], centre: tuple[int, int], confidence: float, unit: int) -> None:
    radius = 9 * unit
    share = float(np.clip(confidence, 0.0, 1.0)) if np.isfinite(confidence) else 0.0
    cv2.circle(picture, centre, radius, INK, unit + 2, cv2.LINE_AA)
    cv2.circle(picture, centre, radius, GREY, 1, cv2.LINE_AA)
    cv2.ellipse(picture, centre, (radius, radius), -90.0, 0.0, 360.0 * share, WHITE, unit + 1, cv2.LINE_AA)
    cv2.circle(picture, centre, max(1, unit), WHITE, cv2.FILLED, cv2.LINE_AA)


def draw_caption(picture: NDArray[np.uint8], caption: Caption) -> NDArray[np.uint8]:
    """Return the picture (height, width, 3) with a band of text below it, height rounded up to an even number."""
    width = picture.shape[1]
    size = max(0.35, width / 1150.0)
    line = round(44 * size)
    rows = 1 + len(caption.facts)
    band = np.full((rows * line + line // 2, width, 3), INK, dtype=np.uint8)
    colour = {True: GREEN, False: RED, None: WHITE}[caption.verdict]
    lines = [(caption.instruction, WHITE if caption.verdict is None else colour, 1.25 * size)]
    lines += [(fact, GREY, size) for fact in caption.facts]
    for row, (text, ink, scale) in enumerate(lines):
        fitted = _fit(text, scale, width - 24)
        weight = max(1, round(2 * scale))
        cv2.putText(band, fitted, (12, (row + 1) * line), FONT, scale, ink, weight, cv2.LINE_AA)
    result = np.concatenate([picture, band])
    if result.shape[0] % 2:
        result = np.concatenate([result, result[-1:]])
    return np.ascontiguousarray(result)


def _fit(text: str, scale: float, room: int) -> str:
    """Return printable ASCII of the text, cut with an ellipsis where it is wider than ``room`` pixels."""
    printable = "".join(c if 32 <= ord(c) < 127 else "?" for c in text)
    weight = max(1, round(2 * scale))
    if cv2.getTextSize(printable, FONT, scale, weight)[0][0] <= room:
        return printable
    while printable and cv2.getTextSize(printable + "...", FONT, scale, weight)[0][0] > room:
        printable = printable[:-1]
    return printable + "..."


def _pixel(point: Array) -> tuple[int, int]:
    # OpenCV's coordinates are 32-bit: a point grazing the camera's plane projects arbitrarily far out.
    bounded = np.clip(np.round(point), -20000, 20000)
    return int(bounded[0]), int(bounded[1])
