"""Messages to the library's types and back: the single place for it, used by every node.

Whatever comes in is checked here, so that nothing behind it meets a NaN, a rotation that is none or an image whose
parts do not fit. Guarded by tests/bare/test_conversions.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge, CvBridgeError
from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, Transform, TransformStamped, Twist, TwistStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from vipa_msgs.msg import ActionChunk, ChunkTimings
from vipa_msgs.msg import ActionContract as ContractMessage
from vipa_msgs.msg import CameraSpec as CameraSpecMessage
from vipa_msgs.msg import HandMapping as HandMessage
from vipa_msgs.msg import ProprioceptionField as FieldMessage
from vipa_policy import geometry
from vipa_policy.contract import ActionContract, HandMapping
from vipa_policy.control import rotations
from vipa_policy.errors import ChunkError, ObservationError, VipaError
from vipa_policy.geometry import Array
from vipa_policy.nodes.reception import Picture
from vipa_policy.observation import Chunk

NANOSECONDS = 1_000_000_000
QUATERNION_TOLERANCE = 1e-3
GRIPPER_TOLERANCE = 1e-4  # m, what rounding on the way may leave

_BRIDGE = CvBridge()


def nanoseconds_of(stamp: Time) -> int:
    """Return a stamp in whole ns."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def seconds_of(stamp: Time) -> float:
    """Return a stamp in s, to within a quarter of a microsecond for dates of today."""
    return nanoseconds_of(stamp) * 1e-9


def stamp_from_nanoseconds(nanoseconds: int) -> Time:
    """Return the stamp of whole ns."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    return Time(sec=seconds, nanosec=rest)


def stamp_from_seconds(seconds: float) -> Time:
    """Return the stamp nearest to a time in s."""
    return stamp_from_nanoseconds(round(seconds * NANOSECONDS))


def matrix_from_transform(transform: Transform) -> Array:
    """Return the (4, 4) of a transform. Raises ObservationError on NaN, infinity or a quaternion not of length 1."""
    translation = transform.translation
    return _matrix((translation.x, translation.y, translation.z), transform.rotation, "a transform", ObservationError)


def transform_from_matrix(matrix: Array) -> Transform:
    """Return the message of a rigid (4, 4)."""
    message = Transform()
    translation, rotation = message.translation, message.rotation
    translation.x, translation.y, translation.z = geometry.position_of(matrix).tolist()
    rotation.x, rotation.y, rotation.z, rotation.w = _quaternion(matrix)
    return message


def transform_stamped(matrix: Array, parent: str, child: str, stamp: Time) -> TransformStamped:
    """Return the message of ``parent_from_child`` (4, 4) for TF."""
    header = Header(stamp=stamp, frame_id=parent)
    return TransformStamped(header=header, child_frame_id=child, transform=transform_from_matrix(matrix))


def matrix_from_pose(pose: Pose) -> Array:
    """Return the (4, 4) of a pose. Raises ObservationError on NaN, infinity or a quaternion not of length 1."""
    place = pose.position
    return _matrix((place.x, place.y, place.z), pose.orientation, "a pose", ObservationError)


def pose_from_matrix(matrix: Array) -> Pose:
    """Return the message of a rigid (4, 4)."""
    message = Pose()
    position, orientation = message.position, message.orientation
    position.x, position.y, position.z = geometry.position_of(matrix).tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = _quaternion(matrix)
    return message


def pose_stamped(matrix: Array, frame: str, stamp: Time) -> PoseStamped:
    """Return the message of a pose (4, 4) in ``frame``."""
    return PoseStamped(header=Header(stamp=stamp, frame_id=frame), pose=pose_from_matrix(matrix))


def twist_stamped(velocity: Sequence[float], turn_rate: Sequence[float], frame: str, stamp: Time) -> TwistStamped:
    """Return the message of a velocity (3,) in m/s and a turn rate (3,) in rad/s along the axes of ``frame``."""
    twist = Twist()
    twist.linear.x, twist.linear.y, twist.linear.z = velocity
    twist.angular.x, twist.angular.y, twist.angular.z = turn_rate
    return TwistStamped(header=Header(stamp=stamp, frame_id=frame), twist=twist)


def array_from_point(point: Point) -> Array:
    """Return the (3,) of a point."""
    return np.array([point.x, point.y, point.z])


def point_from_array(values: Sequence[float] | Array) -> Point:
    """Return the message of a point (3,)."""
    x, y, z = (float(value) for value in values)
    return Point(x=x, y=y, z=z)


def contract_to_message(contract: ActionContract) -> ContractMessage:
    """Return the message of a contract."""
    return ContractMessage(
        version=contract.version,
        embodiment=contract.embodiment,
        reference_camera=contract.reference_camera,
        tip_frame=contract.tip_frame,
        mode=contract.mode,
        position_unit=contract.position_unit,
        rotation=contract.rotation,
        gripper=contract.gripper,
        gripper_minimum=contract.gripper_minimum,
        gripper_maximum=contract.gripper_maximum,
        control_period=contract.control_period,
        horizon=contract.horizon,
        normalisation=contract.normalisation,
        cameras=[
            CameraSpecMessage(name=camera.name, width=camera.width, height=camera.height) for camera in contract.cameras
        ],
        proprioception=[
            FieldMessage(name=field.name, size=field.size, frame=field.frame, unit=field.unit)
            for field in contract.proprioception
        ],
        hand=[] if contract.hand is None else [_hand_to_message(contract.hand)],
    )


def _hand_to_message(hand: HandMapping) -> HandMessage:
    message = HandMessage(closed_distance=hand.closed_distance, open_distance=hand.open_distance)
    translation, rotation = message.wrist_from_tip.translation, message.wrist_from_tip.rotation
    translation.x, translation.y, translation.z = hand.translation
    rotation.x, rotation.y, rotation.z, rotation.w = hand.rotation
    return message


def _hand_from_message(message: HandMessage) -> HandMapping:
    translation, rotation = message.wrist_from_tip.translation, message.wrist_from_tip.rotation
    return HandMapping(
        (translation.x, translation.y, translation.z),
        (rotation.x, rotation.y, rotation.z, rotation.w),
        message.closed_distance,
        message.open_distance,
    )


def contract_from_message(message: ContractMessage) -> ActionContract:
    """Return the contract of a message. Raises ContractMismatch on one that is newer or contradicts itself."""
    values = {name: getattr(message, name) for name in message.get_fields_and_field_types()}
    values["cameras"] = [{"name": item.name, "width": item.width, "height": item.height} for item in message.cameras]
    values["proprioception"] = [
        {"name": item.name, "size": item.size, "frame": item.frame, "unit": item.unit}
        for item in message.proprioception
    ]
    values["hand"] = dataclasses.asdict(_hand_from_message(message.hand[0])) if message.hand else None
    return ActionContract.from_dict(values)


def chunk_to_message(
    chunk: Chunk, contract: ActionContract, chunk_id: int, header: Header, timings: ChunkTimings
) -> ActionChunk:
    """Return the message of a prediction.

    Args:
        chunk: what the policy predicted.
        contract: what its numbers mean.
        chunk_id: counts up from 1.
        header: stamp of the reference image, exact, and the reference camera's optical frame.
        timings: when the work was done.
    """
    return ActionChunk(
        header=header,
        id=chunk_id,
        contract=contract_to_message(contract),
        poses=[pose_from_matrix(matrix) for matrix in chunk.camera_from_tip],
        gripper=[float(width) for width in chunk.gripper],
        instruction=chunk.instruction,
        pointed=point_from_array(np.full(3, np.nan) if chunk.pointed is None else chunk.pointed),
        pointed_confidence=float(chunk.pointed_confidence),
        timings=timings,
    )


def chunk_from_message(message: ActionChunk) -> tuple[Chunk, ActionContract]:
    """Return a prediction and what its numbers mean.

    Raises ContractMismatch on a contract that contradicts itself, ChunkError where the rows do not fit it, a value is
    not finite, a rotation is none or a gripper width lies outside its range.
    """
    contract = contract_from_message(message.contract)
    if len(message.poses) != contract.horizon or len(message.gripper) != contract.horizon:
        raise ChunkError(
            f"expected {contract.horizon} poses and gripper widths in chunk {message.id}, as its contract says, got "
            f"{len(message.poses)} and {len(message.gripper)}; the sender is broken"
        )
    if not message.header.frame_id:
        raise ChunkError(f"expected the camera's optical frame in the header of chunk {message.id}, got an empty name")
    matrices = [
        _matrix((place.x, place.y, place.z), pose.orientation, f"row {row} of chunk {message.id}", ChunkError)
        for row, pose in enumerate(message.poses)
        for place in (pose.position,)
    ]
    gripper = np.asarray(message.gripper, dtype=float)
    low, high = contract.gripper_minimum - GRIPPER_TOLERANCE, contract.gripper_maximum + GRIPPER_TOLERANCE
    if not np.all((gripper >= low) & (gripper <= high)):
        raise ChunkError(
            f"expected gripper widths of {contract.gripper_minimum} to {contract.gripper_maximum} m in chunk "
            f"{message.id}, got {gripper.min()} to {gripper.max()} m; the policy's output is not to be used"
        )
    pointed = array_from_point(message.pointed)
    chunk = Chunk(
        stamp=seconds_of(message.header.stamp),
        camera_from_tip=np.stack(matrices),
        gripper=gripper,
        pointed=pointed if np.isfinite(pointed).all() else None,
        pointed_confidence=float(message.pointed_confidence),
        instruction=message.instruction,
    )
    return chunk, contract


def intrinsics_from_camera_info(info: CameraInfo, width: int, height: int) -> Array:
    """Return the (3, 3) pinhole matrix of an image of ``width`` x ``height`` pixels.

    Raises ObservationError where it was made for another size or is no pinhole matrix.
    """
    if (info.width, info.height) != (width, height):
        raise ObservationError(
            f"expected CameraInfo for an image of {width} x {height} pixels, got one for {info.width} x {info.height}; "
            "subscribe to the camera_info that belongs to this image topic"
        )
    matrix = np.asarray(info.k, dtype=float).reshape(3, 3)
    focal_lengths_fit = matrix[0, 0] > 0.0 and matrix[1, 1] > 0.0
    if not (np.all(np.isfinite(matrix)) and focal_lengths_fit and np.array_equal(matrix[2], [0.0, 0.0, 1.0])):
        raise ObservationError(
            f"expected a pinhole matrix with focal lengths above 0 in CameraInfo, got k = {matrix.ravel().tolist()}; "
            "calibrate the camera or wait until its driver publishes its intrinsics"
        )
    return matrix


def rgb_from_image(image: Image | Picture) -> NDArray[np.uint8]:
    """Return the (height, width, 3) uint8 of a colour or grey image; it may share the message's memory.

    Raises ObservationError where its encoding is no colour or its data does not fit its size.
    """
    try:
        # What is rgb8 already is not copied once more.
        pixels = _BRIDGE.imgmsg_to_cv2(image, "passthrough" if image.encoding == "rgb8" else "rgb8")
    except CvBridgeError as error:
        raise ObservationError(
            f"cannot use the colour image: {error}. Expected rgb8, bgr8 or another colour encoding"
        ) from error
    return np.asarray(pixels, dtype=np.uint8)


def depth_from_image(image: Image | Picture) -> NDArray[np.float32]:
    """Return the (height, width) float32 of a depth image in m; 0 or NaN where the camera saw nothing.

    Takes 16UC1 or mono16 in mm (0 where nothing was seen) and 32FC1 in m (0, NaN or infinity where nothing was seen).
    Raises ObservationError on another encoding or data that does not fit its size.
    """
    if image.encoding not in ("16UC1", "mono16", "32FC1"):
        raise ObservationError(
            f"expected a depth image of 16UC1 in mm or 32FC1 in m, got {image.encoding!r}; "
            "is the depth topic remapped to a colour image?"
        )
    try:
        pixels = _BRIDGE.imgmsg_to_cv2(image)
    except CvBridgeError as error:
        raise ObservationError(f"cannot use the depth image: {error}") from error
    if image.encoding == "32FC1":
        depth = np.array(pixels, dtype=np.float32)
        depth[~(np.isfinite(depth) & (depth >= 0.0))] = np.nan
        return depth
    return np.multiply(pixels, np.float32(1e-3), dtype=np.float32)


def _quaternion(matrix: Array) -> rotations.Quaternion:
    """Return x, y, z, w with w >= 0. Poses come in hundreds a second: scipy's general way costs fifty times as much."""
    quaternion = rotations.from_matrix(matrix)
    if quaternion[3] < 0.0:
        x, y, z, w = quaternion
        return -x, -y, -z, -w
    return quaternion


def _matrix(position: tuple[float, float, float], rotation: Quaternion, what: str, error: type[VipaError]) -> Array:
    x, y, z = position
    quaternion = [rotation.x, rotation.y, rotation.z, rotation.w]
    # A sum is finite only where every part of it is.
    if not math.isfinite(x + y + z + sum(quaternion)):
        raise error(f"expected finite numbers in {what}, got position {list(position)} and quaternion {quaternion}")
    length = math.hypot(*quaternion)
    if abs(length - 1.0) > QUATERNION_TOLERANCE:
        raise error(
            f"expected a unit quaternion x, y, z, w in {what}, got {quaternion} of length {length:.6g}; "
            "its sender must normalise it"
        )
    qx, qy, qz, qw = (value / length for value in quaternion)
    return rotations.to_matrix((qx, qy, qz, qw), (x, y, z))
