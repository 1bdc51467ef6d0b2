"""Calibrations as messages, and what an episode keeps of them.

Guarded by tests/graph/test_calibrated_camera_node.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from vipa_msgs.msg import HandEyeCalibration
from vipa_policy.calibration.lens import Lens
from vipa_policy.calibration.result import Calibration
from vipa_policy.geometry import Array
from vipa_policy.nodes.conversions import intrinsics_from_camera_info, pose_from_matrix, seconds_of, stamp_from_seconds

FIGURES = (
    "poses",
    "residual",
    "held_out_reprojection",
    "held_out_position",
    "held_out_rotation",
    "position_error",
    "rotation_error",
)


def calibration_message(calibration: Calibration, parent_from_root: Array, stamp: Time) -> HandEyeCalibration:
    """Return the message of a calibration whose camera hangs in TF by ``parent_from_root`` (4, 4)."""
    return HandEyeCalibration(
        header=Header(stamp=stamp, frame_id=calibration.frames.parent(calibration.mode)),
        mode=calibration.mode.value,
        camera_frame=calibration.frames.camera,
        root_frame=calibration.frames.root,
        parent_from_camera=pose_from_matrix(calibration.parent_from_camera),
        parent_from_root=pose_from_matrix(parent_from_root),
        created=stamp_from_seconds(calibration.created.timestamp()),
        board=str(calibration.board),
        software_version=calibration.software_version,
        **{name: getattr(calibration.figures, name) for name in FIGURES},
    )


def hand_eye_facts(message: HandEyeCalibration) -> dict[str, Any]:
    """Return what episode.json says of a calibration, as plain JSON types."""
    return {
        "mode": message.mode,
        "parent": message.header.frame_id,
        "root": message.root_frame,
        "camera": message.camera_frame,
        "parent_from_camera": _pose(message.parent_from_camera),
        "parent_from_root": _pose(message.parent_from_root),
        "created": datetime.fromtimestamp(round(seconds_of(message.created)), UTC).isoformat(),
        "board": message.board,
        "software_version": message.software_version,
        **{name: getattr(message, name) for name in FIGURES},
    }


def lens_from_camera_info(info: CameraInfo) -> Lens:
    """Return the lens a CameraInfo describes.

    Raises ObservationError where it holds no pinhole matrix, CalibrationError on distortion that is not OpenCV's.
    """
    matrix = intrinsics_from_camera_info(info, info.width, info.height)
    return Lens.from_parts(matrix, info.d, info.distortion_model, info.width, info.height)


def _pose(pose: Any) -> dict[str, list[float]]:
    position, orientation = pose.position, pose.orientation
    return {
        "translation": [position.x, position.y, position.z],
        "rotation": [orientation.x, orientation.y, orientation.z, orientation.w],
    }
