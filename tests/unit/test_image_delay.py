"""The pictures' delay, on pictures made here whose delay is known: a textured hand before a textured wall."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy import geometry
from vipa_policy.geometry import Array
from vipa_policy.image_delay import DelayEstimator, Estimate

WIDTH, HEIGHT, FOCAL = 160, 120, 150.0
RATE, SECONDS = 15.0, 20.0
DOWN = geometry.transform((0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))


class Wander:
    """A tip that goes from place to place and rests now and then; a camera that stands or goes with it."""

    def __init__(self, seed: int, moving_camera: bool = False, still: bool = False) -> None:
        random = np.random.default_rng(seed)
        self.moving_camera = moving_camera
        self.times, self.places = [0.0], [np.zeros(3)]
        while self.times[-1] < SECONDS + 1.0:
            way = np.zeros(3) if still else random.uniform(-0.25, 0.25, 3) - 0.5 * self.places[-1]
            seconds = max(0.5, float(np.linalg.norm(way)) / 0.2) * random.uniform(1.0, 1.5)
            self.places.append(self.places[-1] + way)
            self.times.append(self.times[-1] + seconds)
            self.places.append(self.places[-1])
            self.times.append(self.times[-1] + random.choice([0.01, 0.5]))

    def place(self, time: float) -> Array:
        index = int(np.clip(np.searchsorted(self.times, time) - 1, 0, len(self.times) - 2))
        share = np.clip((time - self.times[index]) / (self.times[index + 1] - self.times[index]), 0.0, 1.0)
        share = share**3 * (10 - 15 * share + 6 * share**2)
        return self.places[index] + share * (self.places[index + 1] - self.places[index])

    def poses(self, time: float) -> tuple[Array, Array]:
        """Tip and camera in the base, which is where the camera stands: z is its axis."""
        tip = DOWN.copy()
        tip[:3, 3] = self.place(time) + np.array([0.0, 0.0, 1.0])
        camera = np.eye(4)
        if self.moving_camera:
            camera[:3, 3] = self.place(time)
        return tip, camera


class Painter:
    """Draws what the camera sees: a wall 1.4 m away and a hand of 12 cm, with a sensor's noise."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.noise = self.random.normal(0.0, 3.0, (HEIGHT, WIDTH))
        coarse = self.random.uniform(40, 210, (40, 54))
        self.wall = np.kron(coarse, np.ones((8, 8)))
        self.hand = np.kron(self.random.uniform(0, 255, (5, 5)), np.ones((4, 4)))

    def paint(self, tip: Array, camera: Array) -> np.ndarray:
        seen = geometry.inverse(camera) @ tip
        size = (WIDTH, HEIGHT)
        corner = np.array([96.0, 96.0]) + camera[:2, 3] * FOCAL / 1.4
        picture = cv2.warpAffine(self.wall, np.array([[1.0, 0.0, -corner[0]], [0.0, 1.0, -corner[1]]]), size)
        column, row = np.array([WIDTH, HEIGHT]) / 2 - 10 + FOCAL * seen[:2, 3] / seen[2, 3]
        placed = np.array([[1.0, 0.0, column], [0.0, 1.0, row]])
        cv2.warpAffine(self.hand, placed, size, dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
        noisy = picture + np.roll(self.noise, int(self.random.integers(self.noise.size)))
        return np.repeat(np.clip(noisy, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


@cache
def record(seed: int, moving_camera: bool = False, still: bool = False) -> tuple[list, list]:
    """Return poses by their time, and pictures by the time at which they were taken."""
    wander, painter = Wander(seed, moving_camera, still), Painter(seed)
    poses = [(float(time), *wander.poses(time)) for time in np.arange(0.0, SECONDS, 0.025)]
    taken = np.arange(0.3, SECONDS - 0.3, 1.0 / RATE)
    return poses, [(float(time), painter.paint(*wander.poses(time))) for time in taken]


def watch(poses: list, pictures: list, delay: float, gap: tuple[float, float] = (0.0, 0.0)) -> Estimate | None:
    """Show pictures stamped ``delay`` later than they were taken; poses are missing within ``gap``."""
    estimator = DelayEstimator()
    for time, tip, camera in poses:
        if not gap[0] < time < gap[1]:
            estimator.pose(time, tip, camera)
    for time, picture in pictures:
        estimator.picture(time + delay, picture)
    return estimator.estimate()


@settings(max_examples=8)
@given(st.floats(-0.12, 0.12), st.sampled_from([3, 5]), st.booleans())
def test_a_known_delay_is_found(delay: float, seed: int, moving_camera: bool) -> None:
    found = watch(*record(seed, moving_camera), delay)
    assert found is not None
    assert abs(found.delay - delay) <= min(max(4.0 * found.deviation, 0.006), 0.012)
    assert found.deviation < 0.01
    assert found.confidence > 0.8


def test_an_arm_that_rests_tells_nothing() -> None:
    assert watch(*record(1, still=True), 0.05) is None


def test_pictures_that_have_nothing_to_do_with_the_arm_tell_nothing() -> None:
    assert watch(record(3)[0], record(5)[1], 0.0) is None


def test_poses_that_are_missing_for_a_while_do_not_mislead() -> None:
    found = watch(*record(3), 0.05, gap=(6.0, 9.0))
    assert found is not None
    assert abs(found.delay - 0.05) < 0.012


def test_too_few_pictures_and_a_delay_beyond_the_range_tell_nothing() -> None:
    assert DelayEstimator().estimate() is None
    assert watch(*record(3), 0.5) is None


def test_stamps_that_run_backwards_begin_anew() -> None:
    estimator, painter, wander = DelayEstimator(), Painter(1), Wander(3)
    for time in (10.0, 10.02, 5.0, 5.02):
        estimator.pose(time, *wander.poses(time))
        estimator.picture(time, painter.paint(*wander.poses(time)))
    assert estimator.estimate() is None
