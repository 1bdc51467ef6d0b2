"""The file that comes out of a calibration: the single place for its fields, its version and its age.

YAML, for people to read; poses as translation in m and quaternion x, y, z, w. Guarded by
tests/unit/test_calibration_result.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from vipa_policy import geometry
from vipa_policy.calibration.board import Board
from vipa_policy.calibration.hand_eye import HandEye, Mode
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.validation import HeldOut
from vipa_policy.episode.info import software_version, write_atomically
from vipa_policy.errors import CalibrationError
from vipa_policy.geometry import Array

VERSION = 1
DAY = 86400.0


@dataclass(frozen=True)
class Frames:
    """TF names of a calibration.

    Attributes:
        base: where the arm stands.
        hand: what the camera or the board is fixed to.
        camera: optical frame in which images are stamped.
        root: topmost frame of the camera's own tree, the one that is hung into the robot's.
    """

    base: str
    hand: str
    camera: str
    root: str

    def parent(self, mode: Mode) -> str:
        """Return the frame the camera is fixed to."""
        return self.hand if mode is Mode.EYE_IN_HAND else self.base

    def carrier(self, mode: Mode) -> str:
        """Return the frame the board is fixed to."""
        return self.base if mode is Mode.EYE_IN_HAND else self.hand


@dataclass(frozen=True)
class Figures:
    """How good a calibration is. px, m and rad; see HandEye and HeldOut.

    Attributes:
        poses: it was solved from.
        residual: px, RMS reprojection error of the solution.
        held_out_reprojection: px, the same on poses left out.
        held_out_position: m, RMS of the board's place on poses left out.
        held_out_rotation: rad, RMS of its rotation on poses left out.
        position_error: m, standard error of the camera's position.
        rotation_error: rad, standard error of its rotation.
    """

    poses: int
    residual: float
    held_out_reprojection: float
    held_out_position: float
    held_out_rotation: float
    position_error: float
    rotation_error: float

    def __str__(self) -> str:
        return (
            f"{self.poses} poses; on poses held out {self.held_out_reprojection:.2f} px, "
            f"{1000.0 * self.held_out_position:.2f} mm, {math.degrees(self.held_out_rotation):.3f} degrees RMS; "
            f"standard error of the camera {1000.0 * self.position_error:.2f} mm, "
            f"{math.degrees(self.rotation_error):.3f} degrees"
        )


@dataclass(frozen=True)
class Calibration:
    """A calibrated camera.

    Attributes:
        mode: who carries the camera.
        frames: TF names.
        camera_topic: prefix of the camera's topics.
        parent_from_camera: (4, 4), of the optical frame in ``frames.parent``.
        carrier_from_board: (4, 4), of the board in ``frames.carrier`` at the time.
        board: that was used.
        lens: of the camera at the time.
        figures: how good it is.
        created: when it was solved, UTC.
        software_version: of vipa_policy.
    """

    mode: Mode
    frames: Frames
    camera_topic: str
    parent_from_camera: Array
    carrier_from_board: Array
    board: Board
    lens: Lens
    figures: Figures
    created: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    software_version: str = field(default_factory=software_version)

    @classmethod
    def of(
        cls, solution: HandEye, held_out: HeldOut, board: Board, lens: Lens, frames: Frames, camera_topic: str
    ) -> Calibration:
        """Return what is to be written of a solution."""
        figures = Figures(
            poses=solution.diversity.poses,
            residual=solution.residual,
            held_out_reprojection=held_out.reprojection,
            held_out_position=held_out.position,
            held_out_rotation=held_out.rotation,
            position_error=held_out.position_error,
            rotation_error=held_out.rotation_error,
        )
        return cls(
            solution.mode,
            frames,
            camera_topic,
            solution.parent_from_camera,
            solution.carrier_from_board,
            board,
            lens,
            figures,
        )

    def age(self, now: datetime | None = None) -> float:
        """Return the age in days; negative where the clock was set back since."""
        return ((now or datetime.now(UTC)) - self.created).total_seconds() / DAY

    def to_yaml(self) -> str:
        """Return the text of the file."""
        values = {
            "version": VERSION,
            "created": self.created.isoformat(),
            "mode": self.mode.value,
            "frames": dict(vars(self.frames)),
            "camera_topic": self.camera_topic,
            "parent_from_camera": _pose_to_dict(self.parent_from_camera),
            "carrier_from_board": _pose_to_dict(self.carrier_from_board),
            "figures": dict(vars(self.figures)),
            "board": self.board.to_dict(),
            "lens": {
                "width": self.lens.width,
                "height": self.lens.height,
                "matrix": [float(value) for value in self.lens.matrix.ravel()],
                "distortion": list(self.lens.distortion),
            },
            "software_version": self.software_version,
        }
        parent, carrier = self.frames.parent(self.mode), self.frames.carrier(self.mode)
        return (
            f"# Hand-eye calibration of {self.frames.camera} in {parent}; the board was fixed to {carrier}.\n"
            "# m, quaternions x y z w, px, rad. See docs/calibration.md.\n" + yaml.safe_dump(values, sort_keys=False)
        )

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises CalibrationError where it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self.to_yaml())
        except OSError as error:
            raise CalibrationError(
                f"cannot write {path}: {error}; name a file in a folder that may be written"
            ) from error

    @classmethod
    def load(cls, path: Path | str) -> Calibration:
        """Read a file. Raises CalibrationError where it is missing or not a calibration."""
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CalibrationError(f"expected a calibration at {path}, it cannot be read: {error}") from error
        return cls.from_yaml(text, str(path))

    @classmethod
    def from_yaml(cls, text: str, where: str = "the text") -> Calibration:
        """Read what ``to_yaml`` wrote. Raises CalibrationError on anything else, naming ``where``."""
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise CalibrationError(f"{where} is not YAML ({error}); expected what `calibrate` wrote") from error
        if not isinstance(values, Mapping) or not isinstance(values.get("version"), int):
            raise CalibrationError(f"{where} is no calibration; expected the file that `calibrate` wrote")
        if values["version"] > VERSION:
            raise CalibrationError(
                f"{where} is of version {values['version']}, this software reads {VERSION} and older: "
                "update vipa_policy"
            )
        try:
            lens = values["lens"]
            return cls(
                mode=Mode(values["mode"]),
                frames=_frames(values["frames"]),
                camera_topic=str(values["camera_topic"]),
                parent_from_camera=_pose_from_dict(values["parent_from_camera"]),
                carrier_from_board=_pose_from_dict(values["carrier_from_board"]),
                board=Board.from_dict(values["board"]),
                lens=Lens(
                    _numbers(lens["matrix"], 9).reshape(3, 3),
                    tuple(float(value) for value in lens["distortion"]),
                    int(lens["width"]),
                    int(lens["height"]),
                ),
                figures=Figures(**values["figures"]),
                created=_instant(values["created"]),
                software_version=str(values["software_version"]),
            )
        except CalibrationError as error:
            raise CalibrationError(f"{where}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(f"{where} is no whole calibration: {error!r}; calibrate again") from error


def _frames(values: Any) -> Frames:
    frames = Frames(**values)
    if not all(isinstance(name, str) and name for name in vars(frames).values()):
        raise ValueError(f"expected names of frames, got {values}")
    return frames


def _instant(value: Any) -> datetime:
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _pose_to_dict(matrix: Array) -> dict[str, list[float]]:
    return {
        "translation": [float(value) for value in geometry.position_of(matrix)],
        "rotation": [float(value) for value in geometry.quaternion_of(matrix)],
    }


def _pose_from_dict(values: Any) -> Array:
    quaternion = _numbers(values["rotation"], 4)
    if abs(float(np.linalg.norm(quaternion)) - 1.0) > 1e-3:
        raise ValueError(f"expected a unit quaternion x, y, z, w, got {quaternion.tolist()}")
    return geometry.transform(_numbers(values["translation"], 3), quaternion)


def _numbers(values: Sequence[float], count: int) -> Array:
    array = np.array(values, dtype=float)
    if array.shape != (count,) or not np.all(np.isfinite(array)):
        raise ValueError(f"expected {count} finite numbers, got {values!r}")
    return array
