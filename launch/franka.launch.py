"""The whole loop: camera and arm (simulated until a robot_ip is named), policy, arm node, programs.

ros2 launch vipa_bringup franka.launch.py --show-args
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.launch_description_entity import LaunchDescriptionEntity
from launch_ros.actions import Node

SHARE = Path(get_package_share_directory("vipa_bringup"))
BOOLEAN = ["true", "false"]
FROM_FILE = ["", "true", "false"]

# name, default, choices (None: free), description. An empty default takes the value from params_file.
ARGUMENTS: tuple[tuple[str, str, list[str] | None, str], ...] = (
    ("robot_ip", "", None, "address of the real arm; empty runs the simulated cell"),
    (
        "controller",
        "",
        ["", "libfranka", "pose", "servo_pose", "servo_twist", "joint_trajectory"],
        "what takes the arm's setpoints; empty: libfranka with a real arm, pose in the simulated cell, which stands in "
        "for all but libfranka. With a real arm any other driver is expected to run already (docs/nodes/arm.md)",
    ),
    (
        "gripper",
        "",
        ["", "move", "franka_hand", "gripper_command"],
        "what takes its gripper goals; empty: move with libfranka and in the simulated cell, else franka_hand",
    ),
    (
        "robot_link",
        "",
        ["", "driver", "franka_ros2"],
        "who tells the arm's status and recovers it; empty: driver with libfranka and in the simulated cell, else "
        "franka_ros2",
    ),
    (
        "policy",
        "vipa",
        ["vipa", "scripted"],
        "vipa: the checkpoint; scripted: an expert that sees the simulator's truth",
    ),
    ("checkpoint", "", None, "folder of a checkpoint, or its name under models/"),
    ("device", "", ["", "auto", "cpu", "cuda"], "where the policy runs"),
    ("seam", "", ["", "replace", "blend", "rtc"], "how chunks are joined; rtc has the policy in-paint them"),
    (
        "camera",
        "",
        ["", "sim", "realsense", "none"],
        "sim: the simulated cell's own; realsense: see realsense.launch.py; none: another driver's; "
        "empty: sim in the simulated cell, realsense with a real arm",
    ),
    ("serial", "", None, "of the RealSense camera; empty takes the only one there is"),
    ("camera_pose", "", None, "'x y z roll pitch yaw' of camera_link in world, m and rad (simulated cell)"),
    ("image_width", "", None, "px (simulated cell)"),
    ("image_height", "", None, "px (simulated cell)"),
    ("image_rate", "", None, "Hz of simulated time (simulated cell)"),
    ("noise", "", FROM_FILE, "sensor noise and depth holes (simulated cell)"),
    ("wrist_camera", "", FROM_FILE, "a second camera on the hand (simulated cell)"),
    ("seed", "", None, "of the first layout and its noise (simulated cell)"),
    ("held_out", "", FROM_FILE, "take the first layout from the split training never sees (simulated cell)"),
    ("use_sim_time", "", FROM_FILE, "use /clock; empty: true in the simulated cell, false with a real arm"),
    (
        "armed_at_start",
        "",
        FROM_FILE,
        "arm by itself once every guard passes; empty: true in the simulated cell, false with a real arm",
    ),
    (
        "calibration",
        "",
        None,
        "files that `calibrate` wrote, with commas between, to put cameras into TF and watch them",
    ),
    ("recorder", "false", BOOLEAN, "start the recorder, too"),
    ("rviz", "false", BOOLEAN, "start RViz, too, where it is installed"),
    ("params_file", str(SHARE / "config" / "franka.yaml"), None, "parameters of all nodes"),
)


def refuse_unknown(context: LaunchContext) -> None:
    """Raise where an argument was given that this file does not know: a typing error must not go unnoticed."""
    known = [name for name, *_ in ARGUMENTS]
    unknown = sorted(set(context.launch_configurations) - set(known))
    if unknown:
        raise RuntimeError(
            f"unknown launch argument {', '.join(unknown)}; franka.launch.py knows {', '.join(known)} (see --show-args)"
        )


def refuse_simulated(given: dict[str, str]) -> None:
    """Raise where a real arm was given what only the simulated cell has."""
    wrong = [f"{name}:={given[name]}" for name in CELL_READERS if given[name]]
    if given["policy"] == "scripted":
        wrong.append("policy:=scripted")
    if wrong:
        raise RuntimeError(f"{', '.join(wrong)} does not go with a real arm; leave robot_ip out for the simulated cell")


class Drivers(NamedTuple):
    """What stands behind the arm node: parameters of the arm and of the cell, whether libfranka's driver starts."""

    arm: dict[str, str]
    cell: dict[str, str]
    libfranka: bool
    saying: str


def choose_drivers(given: dict[str, str], simulated: bool) -> Drivers:
    """Return the drivers of the arm and of its gripper; raises where those asked for do not go together."""
    controller = given["controller"] or ("pose" if simulated else "libfranka")
    libfranka = controller == "libfranka"
    if simulated and (libfranka or given["robot_link"] == "franka_ros2"):
        raise RuntimeError(
            f"{'controller:=libfranka' if libfranka else 'robot_link:=franka_ros2'} needs a real arm: give its address "
            "as robot_ip, or leave it out for the simulated cell"
        )
    own = simulated or libfranka
    gripper = given["gripper"] or ("move" if own else "franka_hand")
    link = given["robot_link"] or ("driver" if own else "franka_ros2")
    arm = {"controller": "pose" if libfranka else controller, "gripper": gripper, "robot_link": link}
    if simulated:
        saying = "no robot_ip given: this is the simulated cell, no real arm will move"
    else:
        saying = f"the arm at {given['robot_ip']} will move: keep clear of it, and the stop button at hand"
        if not libfranka:
            saying += f". controller:={controller} expects that arm's driver to run already"
    cell = {"arm_interface": CELL_ARMS.get(controller, controller), "gripper_interface": CELL_GRIPPERS[gripper]}
    return Drivers(arm, cell, libfranka, saying)


def number(text: str, name: str, kind: type) -> Any:
    """Return an argument as int or float; raises with the argument's name where it is none."""
    try:
        return kind(text)
    except ValueError as error:
        raise RuntimeError(f"expected a number for {name}, got {text!r}") from error


def camera_pose(text: str) -> list[float]:
    """Return the six numbers of a camera pose; raises where there are not six."""
    values = [number(word, "camera_pose", float) for word in text.replace(",", " ").split()]
    if len(values) != 6:
        raise RuntimeError(f"expected camera_pose as six numbers 'x y z roll pitch yaw', got {text!r}")
    return values


# What the simulated cell calls the drivers it stands in for, where the arm node's word is another.
CELL_ARMS = {"servo_pose": "servo", "servo_twist": "servo"}
CELL_GRIPPERS = {"move": "move", "franka_hand": "franka", "gripper_command": "gripper_command"}
CELL_READERS: dict[str, Any] = {
    "camera_pose": camera_pose,
    "image_width": lambda text: number(text, "image_width", int),
    "image_height": lambda text: number(text, "image_height", int),
    "image_rate": lambda text: number(text, "image_rate", float),
    "seed": lambda text: number(text, "seed", int),
    "noise": lambda text: text == "true",
    "wrist_camera": lambda text: text == "true",
    "held_out": lambda text: text == "true",
}


def calibrations(text: str) -> dict[str, str]:
    """Return file -> root frame of the camera, of files named with commas between; raises where one cannot be read."""
    # Only where there are some: it takes a second.
    from vipa_policy.calibration.result import Calibration
    from vipa_policy.errors import CalibrationError

    files = [str(Path(name.strip()).expanduser().resolve()) for name in text.split(",") if name.strip()]
    try:
        return {file: Calibration.load(file).frames.root for file in files}
    except CalibrationError as error:
        raise RuntimeError(f"calibration:={text}: {error}") from error


def find_checkpoint(name: str) -> str:
    """Return the folder of a checkpoint given by name: below the working folder first, then the installed ones."""
    for folder in (Path(name).expanduser(), Path("models") / name, SHARE / "models" / name):
        if folder.is_dir():
            return str(folder.resolve())
    return name


def policy_values(given: dict[str, str]) -> dict[str, Any]:
    """Return the parameters of the policy node."""
    values: dict[str, Any] = {"checkpoint": find_checkpoint(given["checkpoint"] or "vipa-tiny")}
    if given["device"]:
        values["device"] = given["device"]
    if given["noise"] == "false":
        values["refuse_repeats"] = False  # a noiseless picture of a scene at rest repeats itself
    if given["seam"]:
        values["inpainting"] = given["seam"] == "rtc"
    return values


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return what to start."""
    refuse_unknown(context)
    given = {name: context.launch_configurations[name] for name, *_ in ARGUMENTS}
    if not Path(given["params_file"]).is_file():
        raise RuntimeError(f"expected a parameter file at params_file:={given['params_file']}, there is none")
    simulated = not given["robot_ip"]
    camera = given["camera"] or ("sim" if simulated else "realsense")
    if simulated != (camera == "sim"):
        raise RuntimeError(
            f"camera:={camera} does not go with {'the simulated cell' if simulated else 'a real arm'}: the cell draws "
            "its own pictures on its own clock; for a camera alone: ros2 launch vipa_bringup realsense.launch.py"
        )
    if not simulated:
        refuse_simulated(given)
    clock = given["use_sim_time"] or str(simulated).lower()
    common = [given["params_file"], {"use_sim_time": clock == "true"}]

    def node(package: str, executable: str, name: str, values: dict[str, Any]) -> Node:
        return Node(
            package=package,
            executable=executable,
            name=name,
            output="screen",
            parameters=[*common, *([values] if values else [])],
            on_exit=Shutdown(reason=f"{name} ended"),
        )

    cell = {name: read(given[name]) for name, read in CELL_READERS.items() if given[name]}
    calibrated = calibrations(given["calibration"]) if given["calibration"] else {}
    if calibrated:
        cell["calibrated_frames"] = " ".join(calibrated.values())
    drivers = choose_drivers(given, simulated)
    cell.update(drivers.cell)
    arm: dict[str, Any] = {"seam": given["seam"]} if given["seam"] else {}
    arm.update(drivers.arm)
    arm["armed_at_start"] = (given["armed_at_start"] or str(simulated).lower()) == "true"
    actions: list[LaunchDescriptionEntity] = [
        LogInfo(msg=drivers.saying),
        *environment(context, simulated),
        *([node("vipa_sim", "cell_node", "cell", cell)] if simulated else []),
        *([node("vipa_policy", "franka_node", "franka", {"robot_ip": given["robot_ip"]})] if drivers.libfranka else []),
        node("vipa_policy", "arm_node", "arm", arm),
    ]
    if camera == "realsense":
        # The underscore, which the node takes away, keeps digits from being read as a number.
        serial = given["serial"].removeprefix("_")
        actions.append(node("vipa_policy", "realsense_node", "realsense", {"serial": f"_{serial}"} if serial else {}))
    for number, file in enumerate(calibrated):
        # The first has the name that parameter files know.
        name = f"calibrated_camera{number + 1 if number else ''}"
        actions.append(node("vipa_policy", "calibrated_camera_node", name, {"file": file}))
    if given["policy"] == "scripted":
        actions.append(node("vipa_sim", "scripted_policy", "policy", {}))
    else:
        actions.append(node("vipa_policy", "policy_node", "policy", policy_values(given)))
    actions.append(node("vipa_policy", "program_node", "program", {}))
    if given["recorder"] == "true":
        actions.append(node("vipa_policy", "recorder_node", "recorder", {}))
    if given["rviz"] == "true":
        view = str(SHARE / "rviz" / "vipa.rviz")
        actions.append(
            Node(package="rviz2", executable="rviz2", name="rviz", arguments=["-d", view], parameters=common)
        )
    return actions


def environment(context: LaunchContext, simulated: bool) -> list[SetEnvironmentVariable]:
    """Transports large enough for images, unless the user chose others; a simulated cell stays on the loopback."""
    profile = str(SHARE / "config" / "fastdds.xml")
    # The first is read by Fast DDS of Kilted and newer, the second by Jazzy's.
    variables = {
        name: profile
        for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
        if not context.environment.get(name)
    }
    if simulated:
        variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    return [SetEnvironmentVariable(name, value) for name, value in variables.items()]


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, choices=choices, description=description)
        for name, default, choices, description in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
