"""The contact sheet shows where the tip was: a pixel of the mark, and a refusal where there is nothing to show."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.synthetic_episode import HEIGHT, WIDTH, Scene, write_synthetic_episode

from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.presets import franka_contract
from vipa_training.contact_sheet import CAPTION, NOW, TILE_WIDTH, contact_sheet, main, project

CONTRACT = ActionContract(**(franka_contract().__dict__ | {"tip_frame": "tip"}))


def facing_scene() -> Scene:
    """A camera that looks at the arm from above, standing still."""
    camera = geometry.transform([0.45, 0.0, 1.2], [1, 0, 0, 0])
    scene = Scene(duration=0.8, camera_moves=False, world_from_camera=lambda _: camera)
    scene.rgb = lambda index: np.zeros((HEIGHT, WIDTH, 3), np.uint8)  # type: ignore[method-assign]
    return scene


def test_the_tip_is_marked_where_it_was(tmp_path: Path) -> None:
    scene = facing_scene()
    episode = write_synthetic_episode(tmp_path, scene)
    sheet, line = contact_sheet(episode, CONTRACT, count=1)
    assert "12 of 12 images usable" in line
    tile = sheet[CAPTION:]
    assert tile.shape == (HEIGHT * TILE_WIDTH // WIDTH, TILE_WIDTH, 3)
    seconds = (scene.image_stamps()[0] - scene.start) * 1e-9
    camera_from_tip = geometry.inverse(scene.world_from_camera(0)) @ scene.base_from_tip(seconds)
    x, y, z = camera_from_tip[:3, 3]
    scale = TILE_WIDTH / WIDTH
    expected = np.array([120 * x / z + (WIDTH - 1) / 2, 120 * y / z + (HEIGHT - 1) / 2]) * scale + (scale - 1) / 2
    marked = np.argwhere(np.abs(tile.astype(int) - NOW).sum(axis=2) < 60)
    assert len(marked) > 10
    np.testing.assert_allclose(marked.mean(axis=0)[::-1], expected, atol=2.5)


def test_points_behind_the_camera_are_not_ahead() -> None:
    pixels, ahead = project(np.array([[0.0, 0.0, 1.0], [0.1, 0.0, -1.0]]), np.diag([100.0, 100.0, 1.0]))
    assert ahead.tolist() == [True, False]
    np.testing.assert_allclose(pixels[0], [0.0, 0.0])


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    episode = write_synthetic_episode(tmp_path, facing_scene(), contract=CONTRACT)
    out = tmp_path / "pictures" / "episode.png"
    assert main([str(episode), "--out", str(out), "--count", "5"]) == 0
    assert np.asarray(cv2.imread(str(out))).shape[1] == 4 * TILE_WIDTH
    assert "12 of 12 images usable" in capsys.readouterr().out
    blind = write_synthetic_episode(
        tmp_path, Scene(duration=0.4, drop=lambda topic, _: "depth" in topic), name="blind", contract=CONTRACT
    )
    assert main([str(blind), "--out", str(out)]) == 1
    assert "none of 6 images can be used" in capsys.readouterr().err
