"""A RealSense camera alone, or a recording of one, on the topics of realsense-ros.

ros2 launch vipa_bringup realsense.launch.py --show-args
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("vipa_bringup"))

# name, default, description. An empty default takes the value from params_file.
ARGUMENTS = (
    ("serial", "", "serial number of the camera; empty takes the only one there is"),
    ("recording", "", "a recording (.db3) to play in place of a camera"),
    ("topics", "", "topic prefix, for example camera/camera"),
    ("frames", "", "prefix of frame names, for example camera for camera_link"),
    ("colour_profile", "", "width x height x Hz of colour, for example 640x480x30"),
    ("depth_profile", "", "width x height x Hz of depth, for example 848x480x30"),
    ("params_file", str(SHARE / "config" / "franka.yaml"), "parameters of the node realsense"),
)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return what to start."""
    known = [name for name, *_ in ARGUMENTS]
    unknown = sorted(set(context.launch_configurations) - set(known))
    if unknown:
        raise RuntimeError(
            f"unknown launch argument {', '.join(unknown)}; realsense.launch.py knows {', '.join(known)} "
            "(see --show-args)"
        )
    given = {name: context.launch_configurations[name] for name in known}
    params_file = given.pop("params_file")
    if not Path(params_file).is_file():
        raise RuntimeError(f"expected a parameter file at params_file:={params_file}, there is none")
    values: dict[str, Any] = {name: value for name, value in given.items() if value}
    if "serial" in values:
        # All digits: without the underscore, which the node takes away, it would be read as a number.
        values["serial"] = f"_{values['serial'].removeprefix('_')}"
    profile = str(SHARE / "config" / "fastdds.xml")
    # Transports large enough for images, unless the user chose others: for Fast DDS of Kilted and newer, and Jazzy's.
    names = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    return [
        *(SetEnvironmentVariable(name, profile) for name in names if not context.environment.get(name)),
        Node(
            package="vipa_policy",
            executable="realsense_node",
            name="realsense",
            output="screen",
            parameters=[params_file, *([values] if values else [])],
            on_exit=Shutdown(reason="realsense ended"),
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
