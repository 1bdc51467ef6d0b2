"""What comes out of a recording is what went in at the image's own stamp, and gaps are counted, never filled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support import synthetic_episode as synthetic
from support.synthetic_episode import CAMERA, PERIOD, SECOND, START, Scene, write_synthetic_episode

from vipa_policy import geometry
from vipa_policy.contract import ActionContract, CameraSpec
from vipa_policy.episode import RecordedMessage
from vipa_policy.errors import ContractMismatch, DatasetError, ObservationError
from vipa_training import recorded_messages
from vipa_training.episodes import Demonstration

CONTRACT = ActionContract(
    reference_camera="scene",
    tip_frame="tip",
    control_period=1 / 15,
    horizon=8,
    cameras=(CameraSpec("scene", 112, 112),),
    proprioception=(),
)


def seconds_of(stamp: int) -> float:
    return (stamp - START) / SECOND


def test_frames_are_what_was_recorded_at_the_stamp(tmp_path: Path) -> None:
    scene = Scene()
    path = write_synthetic_episode(tmp_path, scene)
    with Demonstration(path, CONTRACT) as demonstration:
        frames = list(demonstration.frames())
        assert not demonstration.skipped
        assert demonstration.image_count == len(frames) == 30
    for index, (frame, stamp) in enumerate(zip(frames, scene.image_stamps(), strict=True)):
        now = seconds_of(stamp)
        view = frame.observation.views[0]
        assert frame.stamp_ns == stamp
        assert frame.instruction == "reach the red block"
        np.testing.assert_array_equal(view.rgb, scene.rgb(index))
        np.testing.assert_array_equal(view.depth, scene.depth(index).astype(np.float32) * np.float32(1e-3))
        assert view.depth.dtype == np.float32
        np.testing.assert_array_equal(view.reference_from_camera, np.eye(4))
        assert view.intrinsics[0, 2] == (synthetic.WIDTH - 1) / 2
        # Constant velocity and spin per link: interpolation is exact however the samples fall.
        world_from_camera = scene.world_from_camera(now)
        np.testing.assert_allclose(frame.base_from_camera, world_from_camera, atol=1e-6)
        true = geometry.inverse(world_from_camera) @ scene.base_from_tip(now)
        np.testing.assert_allclose(frame.observation.camera_from_tip, true, atol=1e-6)
        assert abs(frame.observation.gripper_width - scene.width(now)) < 1e-6
        expected = geometry.apply(geometry.inverse(world_from_camera), scene.grasp_point(now))
        assert [item.name for item in frame.objects] == ["red_block", "white_bowl"]
        np.testing.assert_allclose(frame.objects[0].grasp_point, expected, atol=1e-6)


def test_trajectory_is_what_the_arm_did(tmp_path: Path) -> None:
    scene = Scene()
    with Demonstration(write_synthetic_episode(tmp_path, scene), CONTRACT) as demonstration:
        trajectory = demonstration.trajectory()
    assert len(trajectory.stamps_ns) == 420
    for row in range(0, 420, 60):
        now = seconds_of(int(trajectory.stamps_ns[row]))
        np.testing.assert_allclose(trajectory.base_from_tip[row], scene.base_from_tip(now), atol=1e-6)
        assert abs(trajectory.gripper[row] - scene.width(now)) < 1e-9
    cut = trajectory.until(START + SECOND)
    assert cut.stamps_ns[-1] == START + SECOND
    assert len(cut.base_from_tip) == len(cut.gripper) == len(cut.stamps_ns) == 201


def test_commanded_gripper_goes_before_the_measured_one(tmp_path: Path) -> None:
    with Demonstration(write_synthetic_episode(tmp_path, Scene(execution=True)), CONTRACT) as demonstration:
        trajectory = demonstration.trajectory()
        frame = next(iter(demonstration.frames()))
    assert set(np.round(trajectory.gripper, 9)) == {0.03, 0.08}, "what was asked for, without steps between"
    assert abs(frame.observation.gripper_width - Scene().width(seconds_of(frame.stamp_ns))) < 1e-6


def drop(topic: str, *indexes: int) -> Callable[[str, int], bool]:
    return lambda name, index: name == topic and index in indexes


@pytest.mark.parametrize(
    ("topic", "indexes", "reason"),
    [
        (CAMERA.depth, (3, 4), "no depth for the image of camera scene"),
        (CAMERA.camera_info, (3, 4), "no CameraInfo for the image of camera scene"),
        # From well before the fourth image to behind the fifth.
        ("/joint_states", tuple(range(44, 64)), "no joint state of both fingers near the image's stamp"),
        ("/joint_states", tuple(range(20)), "no joint state of both fingers at the image's stamp"),
        ("/tf", tuple(range(20)), "no TF from base to camera_optical at the image's stamp"),
    ],
)
def test_gaps_are_skipped_and_counted(tmp_path: Path, topic: str, indexes: tuple[int, ...], reason: str) -> None:
    path = write_synthetic_episode(tmp_path, Scene(drop=drop(topic, *indexes)))
    with Demonstration(path, CONTRACT) as demonstration:
        frames = list(demonstration.frames())
    assert dict(demonstration.skipped) == {reason: 30 - len(frames)}
    missing = set(Scene().image_stamps()) - {frame.stamp_ns for frame in frames}
    assert 1 <= len(missing) <= 2


def test_without_tf_every_frame_is_skipped_with_the_frames_named(tmp_path: Path) -> None:
    path = write_synthetic_episode(tmp_path, Scene(drop=lambda topic, _: topic == "/tf"))
    with Demonstration(path, CONTRACT) as demonstration:
        assert not list(demonstration.frames())
        (reason,) = demonstration.skipped
        assert "no transform between 'base' and 'camera_optical'" in reason
        with pytest.raises(DatasetError, match="no transform between"):
            demonstration.trajectory()


def test_words_are_those_in_force_and_a_stop_latches(tmp_path: Path) -> None:
    words = [(0.0, "Reach the red block!"), (0.5, "stop"), (0.8, "reach the red block"), (1.2, "reach the blue block")]
    with Demonstration(write_synthetic_episode(tmp_path, Scene(words=words)), CONTRACT) as demonstration:
        frames = list(demonstration.frames())
    for frame in frames:
        now = seconds_of(frame.stamp_ns)
        # A repeat of the words that were stopped does not undo the stop.
        expected = "reach the red block" if now < 0.5 else "" if now < 1.2 else "reach the blue block"
        assert frame.instruction == expected, now
    first = frames[0]
    assert first.instruction_end_ns == START + SECOND // 2


def test_an_image_of_an_instant_is_used_once(tmp_path: Path) -> None:
    """A depth image that was published late, with the wrong stamp, does not serve two pictures."""
    scene = Scene()
    original = scene.image_stamps

    def doubled() -> list[int]:
        stamps = original()
        return [stamps[0], stamps[0] + 2_000_000, *stamps[1:]]

    scene.image_stamps = doubled  # type: ignore[method-assign]
    path = write_synthetic_episode(tmp_path, scene)
    with Demonstration(path, CONTRACT) as demonstration:
        demonstration._streams[CAMERA.depth].stamps.pop(1)
        demonstration._streams[CAMERA.depth].items.pop(1)
        frames = list(demonstration.frames())
    assert [frame.stamp_ns for frame in frames] == original()
    assert dict(demonstration.skipped) == {"no depth for the image of camera scene": 1}


def test_contracts_are_checked(tmp_path: Path) -> None:
    other = ActionContract(**{**CONTRACT.__dict__, "control_period": 0.1})
    path = write_synthetic_episode(tmp_path, Scene(duration=0.2), contract=CONTRACT)
    with Demonstration(path) as demonstration:
        assert demonstration.contract == CONTRACT
    with pytest.raises(ContractMismatch, match="the episode synthetic"):
        Demonstration(path, other)


def test_missing_contract_and_missing_camera_are_named(tmp_path: Path) -> None:
    path = write_synthetic_episode(tmp_path, Scene(duration=0.2))
    with pytest.raises(DatasetError, match="without an action contract"):
        Demonstration(path)
    two = ActionContract(**{**CONTRACT.__dict__, "cameras": (*CONTRACT.cameras, CameraSpec("wrist", 112, 112))})
    with pytest.raises(DatasetError, match=r"asks for \['wrist'\]"):
        Demonstration(path, two)


def test_two_cameras_are_placed_relative_to_the_reference(tmp_path: Path) -> None:
    two = ActionContract(**{**CONTRACT.__dict__, "cameras": (CameraSpec("again", 112, 112), *CONTRACT.cameras)})
    scene = Scene(duration=0.4)
    path = write_synthetic_episode(
        tmp_path,
        scene,
        # The same topics under a second name: its exposure is used by the reference already, so it is not there twice.
        cameras={"scene": CAMERA, "again": CAMERA},
    )
    with Demonstration(path, two) as demonstration:
        assert not list(demonstration.frames())
        assert set(demonstration.skipped) == {"no image of camera again"}


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_pictures_of_every_encoding(encoding: str) -> None:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 255, (6, 5, 3), dtype=np.uint8)
    channels = {"rgb8": rgb, "bgr8": rgb[..., ::-1], "mono8": rgb[..., :1]}
    alpha = np.full((6, 5, 1), 9, np.uint8)
    channels |= {"rgba8": np.dstack([rgb, alpha]), "bgra8": np.dstack([rgb[..., ::-1], alpha])}
    # Rows with padding behind them.
    padded = np.pad(channels[encoding].reshape(6, -1), ((0, 0), (0, 7)))
    message = synthetic.image(START, encoding, rgb)
    message.step, message.data = padded.shape[1], padded.reshape(-1)
    expected = rgb[..., [0, 0, 0]] if encoding == "mono8" else rgb
    np.testing.assert_array_equal(recorded_messages.rgb_from_image(message), expected)


def test_float_depth_and_big_endian_depth() -> None:
    metres = np.array([[0.5, np.nan], [np.inf, -1.0]], dtype=np.float32)
    got = recorded_messages.depth_from_image(synthetic.image(START, "32FC1", metres))
    np.testing.assert_array_equal(got, [[0.5, np.nan], [np.nan, np.nan]])
    message = synthetic.image(START, "16UC1", np.array([[1234, 0]], dtype=">u2"))
    message.is_bigendian = 1
    np.testing.assert_allclose(recorded_messages.depth_from_image(message), [[1.234, 0.0]])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: recorded_messages.rgb_from_image(synthetic.image(START, "16UC1", np.zeros((2, 2), np.uint16))),
            "16UC1",
        ),
        (
            lambda: recorded_messages.depth_from_image(synthetic.image(START, "rgb8", np.zeros((2, 2, 3), np.uint8))),
            "rgb8",
        ),
        (
            lambda: recorded_messages.intrinsics_from_camera_info(synthetic.camera_info(START), 640, 480),
            "640 x 480 pixels, got one for 160 x 120",
        ),
    ],
)
def test_wrong_pictures_are_refused(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(ObservationError, match=expected):
        make()


def test_picture_of_the_wrong_size_is_skipped_not_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_info = synthetic.camera_info
    monkeypatch.setattr(synthetic, "camera_info", lambda stamp: true_info(stamp, 640, 480))
    path = write_synthetic_episode(tmp_path, Scene(duration=0.4))
    with Demonstration(path, CONTRACT) as demonstration:
        assert not list(demonstration.frames())
        (reason,) = demonstration.skipped
        assert "got one for 640 x 480" in reason


def test_bytes_that_are_no_message_are_refused(tmp_path: Path) -> None:
    path = write_synthetic_episode(tmp_path, Scene(duration=0.2))
    with Demonstration(path, CONTRACT) as demonstration:
        message = demonstration._streams[CAMERA.camera_info].items[0]
        broken = RecordedMessage(message.topic, 0, memoryview(bytes(message.data)[:20]))
        with pytest.raises(DatasetError, match=r"no sensor_msgs/msg/CameraInfo"):
            recorded_messages.Deserialiser()(broken)


def test_images_arrive_a_period_apart() -> None:
    assert set(np.diff(Scene().image_stamps())) == {PERIOD}
