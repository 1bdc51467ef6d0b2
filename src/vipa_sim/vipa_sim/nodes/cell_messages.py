"""The single place where the cell's truth becomes messages, and back. Guarded by tests/graph/test_cell_node.py."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from vipa_msgs.msg import CellObject as ObjectMessage
from vipa_msgs.msg import CellState
from vipa_policy.camera.optics import StreamCalibration
from vipa_policy.geometry import Array
from vipa_policy.nodes.camera_messages import calibration_message
from vipa_policy.nodes.conversions import (
    array_from_point,
    matrix_from_pose,
    point_from_array,
    pose_from_matrix,
    seconds_of,
)
from vipa_sim.scene import CellObject, CellSnapshot


def camera_info(frame: str, width: int, height: int, intrinsics: Array) -> CameraInfo:
    """Return the calibration of an undistorted pinhole camera with this 3 x 3 matrix."""
    calibration = StreamCalibration(width, height, np.asarray(intrinsics, dtype=float), "plumb_bob", (0.0,) * 5)
    return calibration_message(frame, calibration)


def cell_state(snapshot: CellSnapshot, seed: int, stamp: Time) -> CellState:
    """Return the truth of one instant as a message."""
    return CellState(
        header=Header(stamp=stamp, frame_id="world"),
        seed=seed,
        objects=[
            ObjectMessage(
                name=item.name,
                kind=item.kind,
                colour=item.colour,
                pose=pose_from_matrix(item.world_from_object),
                grasp_point=point_from_array(item.grasp_point),
                size=float(item.size),
            )
            for item in snapshot.objects
        ],
        tip=pose_from_matrix(snapshot.base_from_tip),
        gripper_width=float(snapshot.gripper_width),
    )


def snapshot_of(message: CellState) -> CellSnapshot:
    """Return the truth of one instant from its message; the inverse of ``cell_state``."""
    return CellSnapshot(
        time=seconds_of(message.header.stamp),
        base_from_tip=matrix_from_pose(message.tip),
        gripper_width=message.gripper_width,
        objects=tuple(
            CellObject(
                name=item.name,
                kind=item.kind,
                colour=item.colour,
                world_from_object=matrix_from_pose(item.pose),
                grasp_point=array_from_point(item.grasp_point),
                size=item.size,
            )
            for item in message.objects
        ),
    )
