"""Guards vipa_policy.nodes.conversions: nothing is lost on the way, and bad input is refused in words."""

from __future__ import annotations

import array
import math

import numpy as np
import pytest
from geometry_msgs.msg import Pose, Transform
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from vipa_msgs.msg import ChunkTimings
from vipa_policy import geometry
from vipa_policy.contract import ActionContract, CameraSpec, ProprioceptionField
from vipa_policy.errors import ChunkError, ContractMismatch, ObservationError
from vipa_policy.nodes import conversions
from vipa_policy.observation import Chunk
from vipa_policy.presets import human_hand_contract

CONTRACT = ActionContract(
    reference_camera="scene",
    tip_frame="fr3_hand_tcp",
    control_period=1.0 / 15.0,
    horizon=4,
    cameras=(CameraSpec("scene", 320, 240), CameraSpec("wrist", 160, 120)),
    proprioception=(ProprioceptionField("tip_position", 3, "camera", "m"), ProprioceptionField("width", 1, "", "m")),
)

coordinates = st.floats(-5.0, 5.0)
units = st.floats(-1.0, 1.0)


@st.composite
def poses(draw: st.DrawFn) -> np.ndarray:
    quaternion = np.array([draw(units) for _ in range(4)])
    length = np.linalg.norm(quaternion)
    quaternion = np.array([0.0, 0.0, 0.0, 1.0]) if length < 1e-3 else quaternion / length
    return geometry.transform([draw(coordinates) for _ in range(3)], quaternion)


def image_of(pixels: np.ndarray, encoding: str, padding: int = 0) -> Image:
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1])
    message.data = array.array("B", rows.tobytes())
    return message


def chunk_message(poses_of_tip: np.ndarray | None = None):
    if poses_of_tip is None:
        poses_of_tip = np.tile(np.eye(4), (4, 1, 1))
    chunk = Chunk(
        stamp=12.5,
        camera_from_tip=poses_of_tip,
        gripper=np.array([0.0, 0.02, 0.04, 0.08]),
        pointed=np.array([0.1, 0.2, 0.7]),
        pointed_confidence=0.75,
        instruction="reach the red block",
    )
    header = Header(stamp=conversions.stamp_from_seconds(12.5), frame_id="camera_color_optical_frame")
    return chunk, conversions.chunk_to_message(chunk, CONTRACT, 7, header, ChunkTimings())


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_nanoseconds_survive(nanoseconds: int) -> None:
    assert conversions.nanoseconds_of(conversions.stamp_from_nanoseconds(nanoseconds)) == nanoseconds


@given(st.floats(0.0, 2e9))
def test_seconds_survive_to_a_microsecond(seconds: float) -> None:
    assert conversions.seconds_of(conversions.stamp_from_seconds(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(poses())
def test_poses_and_transforms_survive(matrix: np.ndarray) -> None:
    assert np.allclose(conversions.matrix_from_pose(conversions.pose_from_matrix(matrix)), matrix, atol=1e-12)
    stamped = conversions.transform_stamped(matrix, "world", "tip", conversions.stamp_from_seconds(1.5))
    assert np.allclose(conversions.matrix_from_transform(stamped.transform), matrix, atol=1e-12)
    assert (stamped.header.frame_id, stamped.child_frame_id) == ("world", "tip")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_positions_that_are_not_finite_are_refused(bad: float) -> None:
    pose, transform = Pose(), Transform()
    pose.position.y = transform.translation.z = bad
    with pytest.raises(ObservationError, match="expected finite numbers in a pose"):
        conversions.matrix_from_pose(pose)
    with pytest.raises(ObservationError, match="expected finite numbers in a transform"):
        conversions.matrix_from_transform(transform)


@pytest.mark.parametrize("w", [0.0, 0.9, 1.1])
def test_quaternions_of_another_length_are_refused(w: float) -> None:
    pose = Pose()
    pose.orientation.w = w
    with pytest.raises(ObservationError, match="expected a unit quaternion"):
        conversions.matrix_from_pose(pose)


@pytest.mark.parametrize("contract", [CONTRACT, human_hand_contract("left")])
def test_contract_survives(contract: ActionContract) -> None:
    assert conversions.contract_from_message(conversions.contract_to_message(contract)) == contract


def test_a_hand_that_cannot_be_is_refused() -> None:
    message = conversions.contract_to_message(human_hand_contract())
    message.hand[0].open_distance = 100.0
    with pytest.raises(ContractMismatch, match="they are in metres, not in millimetres"):
        conversions.contract_from_message(message)


def test_contract_that_contradicts_itself_is_refused() -> None:
    message = conversions.contract_to_message(CONTRACT)
    message.reference_camera = "ceiling"
    with pytest.raises(ContractMismatch, match="'ceiling' is none of its cameras"):
        conversions.contract_from_message(message)


@given(st.lists(poses(), min_size=4, max_size=4))
def test_chunk_survives(matrices: list[np.ndarray]) -> None:
    chunk, message = chunk_message(np.stack(matrices))
    result, contract = conversions.chunk_from_message(message)
    assert contract == CONTRACT
    assert message.id == 7
    assert np.allclose(result.camera_from_tip, chunk.camera_from_tip, atol=1e-12)
    assert np.array_equal(result.gripper, chunk.gripper)
    assert np.array_equal(result.pointed, chunk.pointed)
    assert (result.stamp, result.instruction, result.pointed_confidence) == (12.5, "reach the red block", 0.75)


def test_chunk_of_the_wrong_length_is_refused() -> None:
    _, message = chunk_message()
    message.poses = message.poses[:3]
    with pytest.raises(ChunkError, match=r"expected 4 poses and gripper widths in chunk 7.*got 3 and 4"):
        conversions.chunk_from_message(message)


@pytest.mark.parametrize("width", [-0.01, 0.09, math.nan])
def test_chunk_with_an_impossible_gripper_is_refused(width: float) -> None:
    _, message = chunk_message()
    message.gripper[2] = width
    with pytest.raises(ChunkError, match=r"expected gripper widths of 0.0 to 0.08 m"):
        conversions.chunk_from_message(message)


def test_chunk_with_a_broken_row_is_refused() -> None:
    _, message = chunk_message()
    message.poses[1].orientation.w = 0.5
    with pytest.raises(ChunkError, match="row 1 of chunk 7"):
        conversions.chunk_from_message(message)


def test_chunk_without_a_frame_is_refused() -> None:
    _, message = chunk_message()
    message.header.frame_id = ""
    with pytest.raises(ChunkError, match="optical frame"):
        conversions.chunk_from_message(message)


def camera_info() -> CameraInfo:
    return CameraInfo(width=320, height=240, k=[260.0, 0.0, 159.5, 0.0, 261.0, 119.5, 0.0, 0.0, 1.0])


def test_intrinsics_are_read() -> None:
    expected = [[260.0, 0.0, 159.5], [0.0, 261.0, 119.5], [0.0, 0.0, 1.0]]
    assert np.array_equal(conversions.intrinsics_from_camera_info(camera_info(), 320, 240), expected)


def test_intrinsics_of_another_size_are_refused() -> None:
    with pytest.raises(ObservationError, match="640 x 480 pixels, got one for 320 x 240"):
        conversions.intrinsics_from_camera_info(camera_info(), 640, 480)


@pytest.mark.parametrize(("index", "value"), [(0, 0.0), (4, -5.0), (2, math.nan), (0, math.inf), (8, 0.0)])
def test_intrinsics_that_are_none_are_refused(index: int, value: float) -> None:
    info = camera_info()
    info.k[index] = value
    with pytest.raises(ObservationError, match="expected a pinhole matrix"):
        conversions.intrinsics_from_camera_info(info, 320, 240)


@pytest.mark.parametrize("padding", [0, 6])
def test_colours_come_out_as_rgb(padding: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    alpha = np.concatenate([rgb[..., ::-1], np.full((5, 7, 1), 9, np.uint8)], axis=-1)
    for pixels, encoding in ((rgb, "rgb8"), (rgb[..., ::-1], "bgr8"), (alpha, "bgra8")):
        assert np.array_equal(conversions.rgb_from_image(image_of(pixels, encoding, padding)), rgb)


def test_image_cut_short_is_refused() -> None:
    message = image_of(np.zeros((5, 7, 3), np.uint8), "rgb8")
    message.data = message.data[:-4]
    with pytest.raises(ObservationError, match=r"cannot use the colour image.*expected 5 rows x step 21 = 105 bytes"):
        conversions.rgb_from_image(message)


def test_depth_topic_as_colour_is_refused() -> None:
    with pytest.raises(ObservationError, match="not a color format"):
        conversions.rgb_from_image(image_of(np.zeros((5, 7), np.uint16), "16UC1"))


def test_depth_in_millimetres_becomes_metres() -> None:
    depth = conversions.depth_from_image(image_of(np.array([[0, 1, 1500], [65535, 2, 3]], np.uint16), "16UC1", 2))
    assert depth.dtype == np.float32
    assert np.allclose(depth, [[0.0, 0.001, 1.5], [65.535, 0.002, 0.003]], rtol=1e-6)


def test_depth_in_metres_keeps_its_holes() -> None:
    values = np.array([[0.0, math.nan, math.inf], [-1.0, 0.75, -math.inf]], np.float32)
    depth = conversions.depth_from_image(image_of(values, "32FC1"))
    expected = [[0.0, math.nan, math.nan], [math.nan, 0.75, math.nan]]
    assert np.array_equal(depth, np.array(expected, np.float32), equal_nan=True)


def test_colour_topic_as_depth_is_refused() -> None:
    with pytest.raises(ObservationError, match="expected a depth image of 16UC1 in mm or 32FC1 in m, got 'rgb8'"):
        conversions.depth_from_image(image_of(np.zeros((5, 7, 3), np.uint8), "rgb8"))
