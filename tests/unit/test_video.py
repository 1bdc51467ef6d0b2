"""Films hold the pictures they were given."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vipa_sim.video import VideoError, VideoWriter


def read(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while True:
        found, picture = capture.read()
        if not found:
            return pictures
        pictures.append(picture[..., ::-1])


def test_pictures_come_back_in_order(tmp_path: Path) -> None:
    levels = [30, 90, 150, 210]
    with VideoWriter(tmp_path / "a" / "film.mp4", 15.0) as writer:
        for level in levels:
            writer.add(np.full((64, 96, 3), level, dtype=np.uint8))
        assert writer.pictures == 4
    pictures = read(tmp_path / "a" / "film.mp4")
    assert [picture.shape for picture in pictures] == [(64, 96, 3)] * 4
    assert [picture.mean() for picture in pictures] == pytest.approx(levels, abs=6.0)


def test_colours_are_not_swapped(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4", 15.0) as writer:
        writer.add(np.tile(np.array([200, 40, 40], dtype=np.uint8), (64, 64, 1)))
    red, green, blue = read(tmp_path / "film.mp4")[0].reshape(-1, 3).mean(axis=0)
    assert red > 150
    assert max(green, blue) < 90


@pytest.mark.parametrize("shape", [(63, 64, 3), (64, 64), (64, 64, 4)])
def test_pictures_that_do_not_fit_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    writer = VideoWriter(tmp_path / "film.mp4", 15.0)
    with pytest.raises(ValueError, match="even edges"):
        writer.add(np.zeros(shape, dtype=np.uint8))
    writer.close()
    assert not (tmp_path / "film.mp4").exists()


def test_another_size_is_refused(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4", 15.0) as writer:
        writer.add(np.zeros((64, 64, 3), dtype=np.uint8))
        with pytest.raises(ValueError, match="like the first"):
            writer.add(np.zeros((32, 64, 3), dtype=np.uint8))


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").mkdir()
    writer = VideoWriter(tmp_path / "film.mp4", 15.0)
    writer.add(np.zeros((64, 64, 3), dtype=np.uint8))
    with pytest.raises(VideoError, match="ffmpeg"):
        writer.close()


def test_a_missing_ffmpeg_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VideoError, match="apt-get install ffmpeg"):
        VideoWriter(tmp_path / "film.mp4", 15.0)
