"""The calibration's file: what is written is read, what is broken is refused in words, and its age is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.board_scene import BOARD, LENS, Rig, finished

from vipa_policy.calibration.hand_eye import Mode, solve
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.result import VERSION, Calibration, Frames
from vipa_policy.calibration.validation import hold_out
from vipa_policy.errors import CalibrationError

FRAMES = Frames("fr3_link0", "fr3_hand", "camera_color_optical_frame", "camera_link")


@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_written_is_read(mode: Mode, tmp_path: Path) -> None:
    rig = Rig(mode, 0)
    samples = rig.samples(6)
    solution = solve(mode, BOARD, LENS, samples)
    lens = Lens(LENS.matrix, (0.1, -0.2, 0.0, 0.0, 0.0), 640, 480)
    held_out = hold_out(mode, BOARD, LENS, samples, solution)
    written = Calibration.of(solution, held_out, BOARD, lens, FRAMES, "camera/camera")
    path = tmp_path / "new" / "calibration.yaml"
    written.save(path)
    read = Calibration.load(path)
    for name, value in vars(written).items():
        if isinstance(value, np.ndarray):
            assert np.allclose(getattr(read, name), value, atol=1e-12), name
        elif name == "lens":
            assert np.array_equal(read.lens.matrix, lens.matrix)
            assert (read.lens.distortion, read.lens.width) == (lens.distortion, lens.width)
        else:
            assert getattr(read, name) == value, name
    assert read.figures.poses == 6
    assert read.figures.held_out_reprojection == held_out.reprojection
    assert read.frames.parent(mode) == ("fr3_hand" if mode is Mode.EYE_IN_HAND else "fr3_link0")
    assert read.frames.carrier(mode) == ("fr3_link0" if mode is Mode.EYE_IN_HAND else "fr3_hand")


def test_age() -> None:
    calibration = finished(Mode.EYE_TO_HAND)
    assert calibration.age(calibration.created + timedelta(days=3)) == pytest.approx(3.0)
    assert calibration.age(calibration.created - timedelta(hours=12)) == pytest.approx(-0.5)
    moved = replace(calibration, created=datetime(2026, 1, 1, tzinfo=UTC))
    assert Calibration.from_yaml(moved.to_yaml()).created == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": VERSION + 1}, "update vipa_policy"),
        ({"version": "1"}, "is no calibration"),
        ({"mode": "eye_on_foot"}, "is no whole calibration"),
        ({"frames": {"base": "a", "hand": "b", "camera": "c"}}, "is no whole calibration"),
        ({"frames": {"base": "a", "hand": "b", "camera": "c", "root": ""}}, "names of frames"),
        ({"parent_from_camera": {"translation": [0, 0, 0], "rotation": [0, 0, 0, 2]}}, "unit quaternion"),
        ({"parent_from_camera": {"translation": [0, float("nan"), 0], "rotation": [0, 0, 0, 1]}}, "finite numbers"),
        ({"parent_from_camera": {"translation": [0, 0], "rotation": [0, 0, 0, 1]}}, "3 finite numbers"),
        ({"board": {"columns": 7}}, None),
        ({"board": {"columns": 1}}, "3 to 30 squares"),
        ({"figures": {}}, "is no whole calibration"),
        ({"lens": None}, "is no whole calibration"),
        ({"created": "yesterday"}, "is no whole calibration"),
    ],
)
def test_broken_files_are_refused(change: dict[str, object], words: str | None, tmp_path: Path) -> None:
    values = {**yaml.safe_load(finished(Mode.EYE_IN_HAND).to_yaml()), **change}
    path = tmp_path / "calibration.yaml"
    path.write_text(yaml.safe_dump(values))
    if words is None:  # what is left out of a board is as usual
        assert Calibration.load(path).board == BOARD
        return
    with pytest.raises(CalibrationError, match=words) as refusal:
        Calibration.load(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("text", ["", "[]", "just words", "a: [", "\x00"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=r"other\.yaml"):
        Calibration.load(path)


def test_missing_and_unwritable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        Calibration.load(tmp_path / "nowhere.yaml")
    (tmp_path / "file").write_text("")
    with pytest.raises(CalibrationError, match="cannot write"):
        finished(Mode.EYE_IN_HAND).save(tmp_path / "file" / "calibration.yaml")
