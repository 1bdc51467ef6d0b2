"""No picture is used twice, none that is old, and those stamped late are taken for what they are."""

from __future__ import annotations

import numpy as np
import pytest
from graph.fakes import BASE_FROM_CAMERA, HEIGHT, START, STEP, WIDTH
from graph.node_rig import rig
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from vipa_msgs.msg import PolicyStatus
from vipa_policy.errors import ObservationError
from vipa_policy.nodes.conversions import depth_from_image, rgb_from_image, seconds_of, stamp_from_seconds
from vipa_policy.nodes.reception import picture_from, pixels_of

pytestmark = pytest.mark.graph


def pictures(frozen: set[str], seed: list[int]):
    """What a sensor with noise sees: never the same twice, but for what is frozen."""
    kept: dict[str, np.ndarray] = {}

    def draw(what: str) -> np.ndarray:
        seed[0] += 1
        random = np.random.default_rng(0 if what in frozen else seed[0])
        if what == "colour":
            made = random.integers(60, 120, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        else:
            made = random.uniform(0.79, 0.81, (HEIGHT, WIDTH)).astype(np.float32)
        if what in frozen:
            made = kept.get(what, made)
        kept[what] = made
        return made

    return draw


@pytest.mark.parametrize("what", ["colour", "depth"])
def test_a_camera_that_freezes_with_fresh_stamps_is_lost_like_one_that_died(what: str) -> None:
    frozen: set[str] = set()
    with rig(with_arm=False) as made:
        world = made.world
        world.draw = pictures(frozen, [0])
        world.run(10)
        world.say("reach the red block")
        assert world.run(200, until=lambda: len(world.chunks) >= 3), made.status()
        frozen.add(what)
        assert world.run(60, until=lambda: made.status()[0] == PolicyStatus.NO_OBSERVATION), made.status()
        # At most one picture more than those that are fresh: that which froze.
        lost = seconds_of(world.chunks[-1].header.stamp)
        assert seconds_of(world.statuses[-1].header.stamp) - lost <= 0.15
        assert f"no {what} of camera scene: the same picture for" in made.status()[1]
        assert "bit for bit under fresh stamps: the camera is frozen" in made.status()[1]
        count = len(world.chunks)
        world.run(40)
        assert len(world.chunks) == count
        frozen.clear()
        assert world.run(100, until=lambda: len(world.chunks) > count), made.status()


def test_repeats_are_taken_where_that_is_asked_for() -> None:
    with rig(with_arm=False, refuse_repeats=False) as made:
        world = made.world
        world.draw = pictures({"colour", "depth"}, [0])
        world.run(10)
        world.say("reach the red block")
        assert world.run(200, until=lambda: len(world.chunks) >= 3), made.status()


def test_pictures_that_come_too_late_are_never_predicted_from() -> None:
    with rig(with_arm=False) as made:
        world = made.world
        world.run(60)
        world.image_age = 0.5
        world.run(40)
        world.say("reach the red block")
        world.run(100)
        assert made.policy.observations == []
        assert "s old when it arrives" in made.status()[1]
        world.image_age = 0.0
        assert world.run(200, until=lambda: len(world.chunks) >= 2), made.status()


def test_stamps_are_brought_back_to_the_capture() -> None:
    """Pictures stamped 60 ms late of a tip that moves 1 mm a step: it is seen where it was when they were taken."""
    with rig(with_arm=False, image_delay=0.06) as made:
        world = made.world
        world.image_age = -0.06
        world.run(10)
        world.say("reach the red block")
        places: dict[int, float] = {}
        for _ in range(80):
            world.base_from_tip = START.copy()
            world.base_from_tip[0, 3] += 0.001 * (world.steps + 1)
            places[world.steps + 1] = world.base_from_tip[0, 3]
            world.run(1)
        assert world.wait(lambda: len(made.policy.observations) >= 4)
        checked = 0
        for seen in made.policy.observations:
            step = round(seen.stamp / (STEP * 1e-9))
            assert step % 7 == 0  # the steps at which pictures are taken
            if step in places:
                checked += 1
                assert (BASE_FROM_CAMERA @ seen.camera_from_tip)[0, 3] == pytest.approx(places[step], abs=1e-6)
        assert checked >= 4
        assert round(seconds_of(world.chunks[-1].header.stamp) / (STEP * 1e-9)) % 7 == 0


@pytest.mark.parametrize("frame", ["", "a", "abc", "camera_color_optical_frame"])
@pytest.mark.parametrize(("encoding", "width"), [("bgra8", 2), ("32FC1", 2), ("mono16", 4), ("mono8", 8)])
def test_pixels_are_found_in_a_serialised_picture(frame: str, encoding: str, width: int) -> None:
    message = Image(height=3, width=width, encoding=encoding, step=8, data=list(range(24)))
    message.header.frame_id, message.header.stamp = frame, stamp_from_seconds(1.5)
    found = pixels_of(serialize_message(message))
    assert found is not None
    assert found.shape == (3, width)
    assert np.array_equal(found.view(np.uint8), np.arange(24).reshape(3, 8))
    message.step = 7
    assert pixels_of(serialize_message(message)) is None
    assert pixels_of(serialize_message(message)[:30]) is None


@pytest.mark.parametrize("frame", ["", "a", "abc", "camera_color_optical_frame"])
@pytest.mark.parametrize("encoding", ["rgb8", "16UC1", "8UC1"])
@pytest.mark.parametrize("size", [0, 1, 24])
def test_a_picture_read_from_its_bytes_is_the_one_that_was_sent(frame: str, encoding: str, size: int) -> None:
    """Whether its pixels fit its size or not: that is judged where they are used."""
    message = Image(height=3, width=2, encoding=encoding, is_bigendian=1, step=8, data=list(range(size)))
    message.header.frame_id, message.header.stamp = frame, stamp_from_seconds(1.5)
    picture = picture_from(serialize_message(message))
    for field in ("header", "height", "width", "encoding", "is_bigendian", "step"):
        assert getattr(picture, field) == getattr(message, field)
    assert bytes(picture.data) == bytes(message.data)


def test_a_picture_that_ends_too_early_is_refused() -> None:
    message = Image(height=3, width=2, encoding="rgb8", step=8, data=list(range(24)))
    with pytest.raises(ObservationError, match="expected a whole sensor_msgs/Image, got 60 bytes"):
        picture_from(serialize_message(message)[:60])


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8"])
def test_colours_are_the_same_from_the_bytes_and_from_the_message(encoding: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, 36, dtype=np.uint8)
    message = Image(height=3, width=4 if encoding != "mono8" else 12, encoding=encoding, step=12, data=pixels.tolist())
    colours = rgb_from_image(picture_from(serialize_message(message)))
    assert np.array_equal(colours, rgb_from_image(message))


@pytest.mark.parametrize("big_endian", [0, 1])
def test_depth_is_the_same_from_the_bytes_and_from_the_message(big_endian: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, 24, dtype=np.uint8)
    message = Image(height=3, width=4, encoding="16UC1", is_bigendian=big_endian, step=8, data=pixels.tolist())
    assert np.array_equal(depth_from_image(picture_from(serialize_message(message))), depth_from_image(message))
