"""Scripted demonstrations in the simulated cell, recorded: the cell, a scripted policy, the arm node, the recorder.

ros2 launch vipa_bringup record_cell.launch.py episodes:=20 tasks:=reach,pick
Takes the arguments of franka.launch.py, too.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

FRANKA = Path(get_package_share_directory("vipa_bringup")) / "launch" / "franka.launch.py"

# name, default, description
ARGUMENTS = (
    ("episodes", "20", "how many to demonstrate"),
    ("tasks", "reach", "of reach, pick, place, with commas between; taken in turn"),
    ("first_layout", "0", "seed of the first layout; the others count up from it"),
)


def demonstrator(context: LaunchContext) -> Node:
    """Return the node that lays the table and says the words; the launch ends with it."""
    # Taken out, because the file that is included next refuses arguments that it does not know.
    given = {name: context.launch_configurations.pop(name) for name, *_ in ARGUMENTS}
    for name in ("episodes", "first_layout"):
        if not given[name].isdecimal():
            raise RuntimeError(f"expected a whole number for {name}, got {given[name]!r}")
    parameters = {
        "use_sim_time": True,
        "episodes": int(given["episodes"]),
        "tasks": given["tasks"],
        "seed": int(given["first_layout"]),
    }
    return Node(
        package="vipa_sim",
        executable="demonstrator",
        name="demonstrator",
        output="screen",
        parameters=[parameters],
        on_exit=Shutdown(reason="the demonstrations are done"),
    )


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    # Not from within the function: what it declares could not be seen, nor given, beforehand.
    graph = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(FRANKA)),
        launch_arguments={"policy": "scripted", "recorder": "true"}.items(),
    )
    nodes: list[LaunchDescriptionEntity] = []

    def read_arguments(context: LaunchContext) -> None:
        nodes[:] = [demonstrator(context)]

    def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return nodes

    # The node comes last: where the other file refuses its arguments, launch leaves behind what has begun by then.
    return LaunchDescription(
        [*declared, OpaqueFunction(function=read_arguments), graph, OpaqueFunction(function=start)]
    )
