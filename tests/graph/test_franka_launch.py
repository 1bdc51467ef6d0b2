"""Mistakes in the arguments of the launch files: a message that says what to do, exit status 1, nothing started."""

from __future__ import annotations

import runpy

import pytest
from launch import LaunchContext, LaunchDescriptionEntity
from launch_ros.actions import Node
from support.processes import ProcessStarter
from support.workspace import REPOSITORY

pytestmark = pytest.mark.graph


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("camra_pose:=1", "unknown launch argument"),
        ("camera:=realsense", "camera:=realsense does not go with the simulated cell"),
        ("camera:=none", "camera:=none does not go with the simulated cell"),
        ("camera:=webcam", "is not valid"),
        ("camera_pose:=1 2", "expected camera_pose as six numbers"),
        ("image_width:=wide", "expected a number for image_width"),
        ("policy:=other", "is not valid"),
        ("params_file:=/nowhere.yaml", "expected a parameter file"),
        ("robot_ip:=127.9.9.9 and seed:=3 and policy:=scripted", "seed:=3, policy:=scripted does not go with a real"),
        ("robot_ip:=127.9.9.9 and camera:=sim", "camera:=sim does not go with a real arm"),
        ("calibration:=/nowhere.yaml", "expected a calibration at /nowhere.yaml"),
    ],
)
def test_a_mistaken_argument_is_refused(launch_process: ProcessStarter, argument: str, words: str) -> None:
    process = launch_process("ros2", "launch", "vipa_bringup", "franka.launch.py", *argument.split(" and "))
    assert process.wait_for_exit(60.0) == 1
    assert words in process.output
    assert "process started" not in process.output


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("episods:=3", "unknown launch argument 'episods'"),
        ("episodes:=many", "expected a whole number for episodes"),
        ("robot_ip:=10.0.0.1", "leave robot_ip out for the simulated cell"),
    ],
)
def test_a_mistaken_argument_of_the_recording_is_refused(
    launch_process: ProcessStarter, argument: str, words: str
) -> None:
    process = launch_process("ros2", "launch", "vipa_bringup", "record_cell.launch.py", argument)
    assert process.wait_for_exit(60.0) == 1
    assert words in process.output
    assert "process started" not in process.output


def test_a_refused_recording_has_begun_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # ROS 2's own launch leaves behind what was begun before an exception, and says nothing of it.
    begun: list[Node] = []
    monkeypatch.setattr(Node, "execute", lambda self, context: begun.append(self))

    def visit(entity: LaunchDescriptionEntity, context: LaunchContext) -> None:
        for part in entity.visit(context) or []:
            visit(part, context)

    def launch(robot: str) -> None:
        made = runpy.run_path(str(REPOSITORY / "launch" / "record_cell.launch.py"))["generate_launch_description"]()
        context = LaunchContext(argv=[])
        context.launch_configurations["robot_ip"] = robot
        visit(made, context)

    with pytest.raises(RuntimeError, match="leave robot_ip out"):
        launch("10.0.0.1")
    assert not begun
    launch("")
    assert len(begun) == 6  # cell, arm, policy, programs, recorder and who demonstrates
