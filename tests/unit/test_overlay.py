"""The overlay: projection, enlargement, and that what is drawn lies where it belongs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_sim.overlay import Caption, Intent, draw_caption, draw_intent, enlarge, project

INTRINSICS = np.array([[250.0, 0.0, 159.5], [0.0, 250.0, 119.5], [0.0, 0.0, 1.0]])


def blank() -> np.ndarray:
    return np.full((240, 320, 3), 90, dtype=np.uint8)


def changed(picture: np.ndarray) -> np.ndarray:
    return np.any(picture != 90, axis=2)


@given(u=st.floats(0, 319), v=st.floats(0, 239), z=st.floats(0.1, 5.0))
def test_projection_inverts_back_projection(u: float, v: float, z: float) -> None:
    point = np.array([(u - 159.5) / 250.0 * z, (v - 119.5) / 250.0 * z, z])
    pixels, visible = project(point, INTRINSICS)
    assert visible.all()
    assert pixels[0] == pytest.approx((u, v), abs=1e-9)


def test_points_behind_or_not_finite_have_no_pixel() -> None:
    pixels, visible = project(np.array([[0.0, 0.0, -1.0], [0.0, np.nan, 1.0], [0.0, 0.0, 1.0]]), INTRINSICS)
    assert visible.tolist() == [False, False, True]
    assert np.isnan(pixels[:2]).all()


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_enlarging_keeps_points_on_what_they_point_at(factor: int) -> None:
    picture = blank()
    picture[60, 200] = 255
    larger, intrinsics = enlarge(picture, INTRINSICS, factor)
    assert larger.shape == (240 * factor, 320 * factor, 3)
    point = np.array([(200 - 159.5) / 250.0, (60 - 119.5) / 250.0, 1.0])
    weights = larger[..., 0].astype(float) - 90.0
    rows, columns = np.indices(weights.shape)
    centre = (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()
    assert project(point, intrinsics)[0][0] == pytest.approx(centre, abs=0.05)


def test_path_and_ring_are_drawn_where_they_project_and_nowhere_else() -> None:
    picture = blank()
    path = np.stack([np.array([x, 0.0, 1.0]) for x in np.linspace(-0.2, 0.2, 16)])
    pointed = np.array([0.0, 0.2, 1.0])
    draw_intent(picture, INTRINSICS, Intent(path, np.full(16, 0.08), pointed, 0.5))
    drawn = changed(picture)
    for pixel in project(path, INTRINSICS)[0]:
        assert drawn[round(pixel[1]), round(pixel[0])]
    u, v = (round(c) for c in project(pointed, INTRINSICS)[0][0])
    assert drawn[v, u]
    assert drawn[v - 9, u]
    assert not drawn[:100].any()
    assert not drawn[v + 15 :].any()


def test_ring_shows_confidence() -> None:
    bright = []
    for confidence in (0.0, 0.5, 1.0):
        picture = blank()
        draw_intent(picture, INTRINSICS, Intent(np.zeros((0, 3)), np.zeros(0), np.array([0.0, 0.0, 1.0]), confidence))
        bright.append(int((picture.min(axis=2) > 230).sum()))
    assert bright[0] < bright[1] < bright[2]


def test_path_behind_the_camera_or_far_outside_is_no_error() -> None:
    picture = blank()
    path = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1e9, 1e9, 0.03], [np.inf, 0.0, 1.0]])
    draw_intent(picture, INTRINSICS, Intent(path, np.full(4, 0.0), np.array([0.0, 0.0, -2.0]), np.nan))
    assert picture.shape == (240, 320, 3)


def test_poses_and_positions_are_drawn_alike() -> None:
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, 3] = [[0.0, 0.05 * k, 0.8] for k in range(4)]
    first, second = blank(), blank()
    draw_intent(first, INTRINSICS, Intent(poses, np.full(4, 0.08)))
    draw_intent(second, INTRINSICS, Intent(poses[:, :3, 3], np.full(4, 0.08)))
    assert np.array_equal(first, second)
    assert changed(first).any()


def test_caption_is_added_below_and_coloured_by_the_verdict() -> None:
    pictures = {}
    for verdict in (None, True, False):
        result = draw_caption(blank(), Caption("reach the red block", ("12 mm", "3.1 s"), verdict))
        assert result.shape[0] % 2 == 0
        assert result.shape[0] > 240
        assert result.shape[1] == 320
        assert np.array_equal(result[:240], blank())
        pictures[verdict] = result
    assert not np.array_equal(pictures[True], pictures[False])
    assert not np.array_equal(pictures[None], pictures[False])


def test_long_and_foreign_words_stay_inside() -> None:
    result = draw_caption(blank(), Caption("reach " + "réd " * 200, ()))
    assert result.shape[1] == 320
