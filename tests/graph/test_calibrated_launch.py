"""The launched cell with a calibration: the camera hangs in TF by it, and a knock against the camera holds the arm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from graph.cell_graph import LATCHED, Observer
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.time import Time
from support.board_scene import finished
from support.processes import ProcessStarter
from support.workspace import REPOSITORY
from tf2_msgs.msg import TFMessage
from tf2_ros import Buffer, TransformListener

from vipa_msgs.msg import ExecutionState
from vipa_policy.calibration.hand_eye import Mode
from vipa_policy.nodes.conversions import matrix_from_transform
from vipa_sim.camera import LINK_FROM_OPTICAL, CameraConfig

pytestmark = [pytest.mark.graph, pytest.mark.sim]

CAMERA = (1.0, 0.0, 0.65, 0.0, 0.85, 3.14159)
OPTICAL = "camera_color_optical_frame"


def set_camera(observer: Observer, pose: tuple[float, ...]) -> None:
    request = SetParameters.Request(parameters=[Parameter("camera_pose", value=list(pose)).to_parameter_msg()])
    assert observer.call(SetParameters, "cell/set_parameters", request).results[0].successful


def test_calibrated_launched_bumped(launch_process: ProcessStarter, ros_domain_id: int, tmp_path: Path) -> None:
    parameters = yaml.safe_load((REPOSITORY / "src/vipa_bringup/config/franka.yaml").read_text())
    parameters["cell"]["ros__parameters"] |= {"calibration_board": "table", "camera_pose": list(CAMERA)}
    parameters["calibrated_camera"] = {"ros__parameters": {"watch": "standing", "rate": 5.0}}
    file = tmp_path / "parameters.yaml"
    file.write_text(yaml.safe_dump(parameters))
    calibration = finished(Mode.EYE_TO_HAND)
    # As it would have been solved: the truth, without the errors of a solution.
    calibration.parent_from_camera[:] = CameraConfig(CAMERA).parent_from_link() @ LINK_FROM_OPTICAL
    calibration.save(tmp_path / "calibration.yaml")
    arguments = [f"params_file:={file}", f"calibration:={tmp_path / 'calibration.yaml'}", "policy:=scripted"]
    arguments += ["image_width:=640", "image_height:=480", "image_rate:=5"]
    launched = launch_process("ros2", "launch", "vipa_bringup", "franka.launch.py", *arguments)
    with Observer(ros_domain_id) as observer:
        static = observer.listen(TFMessage, "/tf_static", LATCHED)
        states = observer.listen(ExecutionState, "arm/execution_state")
        health = observer.listen(DiagnosticArray, "diagnostics")
        buffer = Buffer()
        listener = TransformListener(buffer, observer.node)

        def says(words: str) -> bool:
            statuses = [item for array in health[-20:] for item in array.status if item.name == "calibrated_camera"]
            return bool(statuses) and words in statuses[-1].message

        observer.wait(lambda: says("the camera is in place"), f"comparisons: {launched.output}", 90.0)
        observer.wait(lambda: buffer.can_transform("fr3_link0", OPTICAL, Time()), "the camera in TF")
        found = matrix_from_transform(buffer.lookup_transform("fr3_link0", OPTICAL, Time()).transform)
        assert np.allclose(found, calibration.parent_from_camera, atol=1e-6)
        observer.wait(lambda: bool(states), "the arm")
        assert not states[-1].stopped
        set_camera(observer, (*CAMERA[:1], 0.02, *CAMERA[2:]))
        observer.wait(lambda: states[-1].stopped, "the arm to be held")
        assert "was bumped: the board is seen" in states[-1].hold_reason
        observer.wait(lambda: says("was bumped: the board is seen"), "the bump to be told")
        set_camera(observer, CAMERA)
        observer.wait(lambda: says("the camera is in place"), "the camera to be back")
        edges = {(item.header.frame_id, item.child_frame_id) for message in static for item in message.transforms}
        assert [parent for parent, child in edges if child == "camera_link"] == ["fr3_link0"]
        listener.unregister()
