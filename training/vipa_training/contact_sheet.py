"""One picture of a recorded episode: some of its images, the tip's way drawn into each, and what it lacks.

A wrong extrinsic, a wrong tip frame or a wrong clock shows at a glance: the way then misses the gripper.
Guarded by tests/unit/test_contact_sheet.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.errors import DatasetError, VipaError
from vipa_policy.geometry import Array
from vipa_training.episodes import Demonstration, DemonstrationFrame, Trajectory, contract_for
from vipa_training.grounding import named_object

COLUMNS = 4
TILE_WIDTH = 480
PAST, FUTURE, NOW, NAMED = (150, 150, 150), (40, 220, 80), (250, 60, 60), (250, 210, 40)  # RGB
CAPTION = 44


def project(points: Array, intrinsics: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return pixels (n, 2) of points (n, 3) in the optical frame in m, and (n,) which lie in front of the camera."""
    ahead = points[:, 2] > 0.01
    homogeneous = points @ intrinsics.T
    return homogeneous[:, :2] / np.where(ahead, homogeneous[:, 2], 1.0)[:, None], ahead


def draw_frame(frame: DemonstrationFrame, trajectory: Trajectory, start_ns: int) -> NDArray[np.uint8]:
    """Return a tile (height, TILE_WIDTH, 3) RGB: the image, the tip's way before and after it, the named thing."""
    view = frame.observation.views[0]
    scale = TILE_WIDTH / view.rgb.shape[1]
    tile = cv2.resize(view.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    camera_from_base = geometry.inverse(frame.base_from_camera)
    way = geometry.apply(camera_from_base, trajectory.base_from_tip[:, :3, 3])
    pixels, ahead = project(way, view.intrinsics)
    for rows, colour in (
        (trajectory.stamps_ns <= frame.stamp_ns, PAST),
        (trajectory.stamps_ns >= frame.stamp_ns, FUTURE),
    ):
        line = _shown(pixels[rows & ahead], scale)
        cv2.polylines(tile, [line], False, colour, 2, cv2.LINE_AA)
    tip, _ = project(frame.observation.camera_from_tip[None, :3, 3], view.intrinsics)
    cv2.circle(tile, tuple(_shown(tip, scale)[0].tolist()), 6, NOW, 2, cv2.LINE_AA)
    points = {item.name: item.grasp_point for item in frame.objects}
    named = named_object(frame.instruction, points)
    if named:
        place, _ = project(points[named][None], view.intrinsics)
        cv2.drawMarker(tile, tuple(_shown(place, scale)[0].tolist()), NAMED, cv2.MARKER_CROSS, 18, 2, cv2.LINE_AA)
    seconds = (frame.stamp_ns - start_ns) * 1e-9
    width = frame.observation.gripper_width * 1000
    text = f"{seconds:5.2f} s   gripper {width:4.1f} mm   {frame.instruction or '(stopped)'}"
    cv2.putText(tile, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(tile, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(tile, dtype=np.uint8)


def contact_sheet(folder: Path, contract: ActionContract, count: int = 12) -> tuple[NDArray[np.uint8], str]:
    """Return the sheet (height, width, 3) RGB of an episode and a line about it.

    Raises DatasetError where no image of it can be used.
    """
    with Demonstration(folder, contract) as demonstration:
        trajectory = demonstration.trajectory()
        stamps = demonstration.image_stamps
        wanted = set(np.asarray(stamps)[np.unique(np.linspace(0, len(stamps) - 1, 3 * count).astype(int))].tolist())
        tiles, usable = [], 0
        for frame in demonstration.frames():
            usable += 1
            if frame.stamp_ns in wanted:
                tiles.append(draw_frame(frame, trajectory, stamps[0]))
        if not tiles:
            raise DatasetError(f"none of {len(stamps)} images can be used: {dict(demonstration.skipped)}")
        tiles = [tiles[row] for row in np.unique(np.linspace(0, len(tiles) - 1, count).astype(int))]
        info = demonstration.info
        line = (
            f"{info.name}: '{info.instruction}', {info.outcome.value}, {usable} of {len(stamps)} images usable, "
            f"{sum(info.counts.values())} messages"
        )
        if demonstration.skipped:
            line += f"; left out: {dict(demonstration.skipped)}"
    blank = np.zeros_like(tiles[0])
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    grid = np.vstack([np.hstack([*row, *[blank] * (min(COLUMNS, len(tiles)) - len(row))]) for row in rows])
    head = np.full((CAPTION, grid.shape[1], 3), 24, np.uint8)
    cv2.putText(head, line[:200], (8, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([head, grid]), line


def _shown(pixels: Array, scale: float) -> NDArray[np.int32]:
    # Pixel centres lie at whole numbers, before and after scaling.
    return np.rint((np.clip(pixels, -1e4, 1e4) + 0.5) * scale - 0.5).astype(np.int32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 1 where the episode cannot be drawn."""
    parser = argparse.ArgumentParser(description="Draw what an episode holds.")
    parser.add_argument("episode", type=Path, help="episode folder")
    parser.add_argument("--out", type=Path, default=Path("out/episode.png"), help="picture to write")
    parser.add_argument("--count", type=int, default=12, help="images to show")
    parser.add_argument("--contract", type=Path, help="JSON of the action contract; default as for convert.py")
    options = parser.parse_args(arguments)
    try:
        sheet, line = contact_sheet(options.episode, contract_for([options.episode], options.contract), options.count)
    except VipaError as error:
        print(error, file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    print(f"{options.out}: {line}")
    return 0
