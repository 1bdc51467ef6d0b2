"""Interfaces built definition-only are upstream's: type hashes (REP 2011), constants and defaults.

The hashes were computed from upstream's own definitions: control_msgs 5.9.0 and moveit_msgs 2.6.0 as Jazzy ships them
(Kilted's 6.10.0 and 2.7.1 define these the same), franka_msgs of franka_ros2 v3.4.0 (its branches for Humble and Jazzy
define them the same; neither distribution ships it). Where a real package is installed, it is what is looked at.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from ament_index_python.packages import get_package_share_directory

BARE = Path(__file__).resolve().parents[2] / "ros2_ws" / "bare"
# An action's hash covers its goal, result, feedback and services; a service's its request, response and event.
DEFINED = {
    "control_msgs": {
        "action/GripperCommand": "RIHS01_e17c0e644eccf14bea84a0a93e0977182872c2eb7873ca6694900059b46dbc84",
        "msg/GripperCommand": "RIHS01_57eb8f326c9889ca8bb34ead82cc94cc09bf6bc5c3b6c09546dca3a00b589890",
        "msg/JointTrajectoryControllerState": "RIHS01_51d8dd89cc624cbe9daaeeb4d80d6de9b86168ffdc3be41fefc0953e3c26e480",
    },
    "moveit_msgs": {
        "msg/ServoStatus": "RIHS01_882a75f7648d6f8a9bf528e4787f51c58f2d5d88b702e450443d99f270e6936b",
        "srv/ServoCommandType": "RIHS01_2065f4daf271249330596d344ecd48f5c2d2a52e3b21b1fc56d99c52b8eeae22",
    },
    "franka_msgs": {
        "action/ErrorRecovery": "RIHS01_6c5dbf0517672f7127a92796e6a162d096e286c26f88c96177cb4c5448dfc5f5",
        "action/Grasp": "RIHS01_8e8a4bb9d96564ae56fb2d47e932c65656316f5c10365958a26df3517a06bb92",
        "action/Homing": "RIHS01_2156a4bd902561e59e6081ba94428daf9a453f960596f8b7ca12e8281e0caeeb",
        "action/Move": "RIHS01_ff1f93537cae0ce92792433e368199606771ad62bb819d78078bfe37144d3ef1",
        "msg/CollisionIndicators": "RIHS01_17d02113f0e8ec3768433baafd4f27fe5eaacf95d6c21f591bf3473e541e0840",
        "msg/Elbow": "RIHS01_f54141b92a05447bfa2f993ac28c289b477358a3d543ad099e1a34c10d70d9bb",
        "msg/Errors": "RIHS01_eaf7a9752f64efac239306101020545cebebff8b5130875d95bf0ed4d8bb774d",
        "msg/FrankaRobotState": "RIHS01_fd225b337bab54d06047858c866442b98e3a882a4717cefc6ddd783fcbf17332",
        "msg/GraspEpsilon": "RIHS01_387fda91ae7324c144958fa617e7d5dc21f99d6b054b141b073ead3d082f46d3",
        "srv/SetFullCollisionBehavior": "RIHS01_43a5dafbb96eb1bd70872cdd6db23d4bf81bfb7a03e563349974f37e89cded15",
        "srv/SetLoad": "RIHS01_e1f4caf6d410a1deaf51380d2180e341e68c9da27d1885aa10d5da9f79551db7",
    },
}
HASHES = {f"{package}/{name}": value for package, names in DEFINED.items() for name, value in names.items()}
# No hash covers these.
CONSTANTS = {
    "moveit_msgs/msg/ServoStatus": {
        "INVALID": -1,
        "NO_WARNING": 0,
        "DECELERATE_FOR_APPROACHING_SINGULARITY": 1,
        "HALT_FOR_SINGULARITY": 2,
        "DECELERATE_FOR_LEAVING_SINGULARITY": 3,
        "DECELERATE_FOR_COLLISION": 4,
        "HALT_FOR_COLLISION": 5,
        "JOINT_BOUND": 6,
    },
    "moveit_msgs/srv/ServoCommandType": {"JOINT_JOG": 0, "TWIST": 1, "POSE": 2},
    "franka_msgs/msg/FrankaRobotState": {
        "ROBOT_MODE_OTHER": 0,
        "ROBOT_MODE_IDLE": 1,
        "ROBOT_MODE_MOVE": 2,
        "ROBOT_MODE_GUIDING": 3,
        "ROBOT_MODE_REFLEX": 4,
        "ROBOT_MODE_USER_STOPPED": 5,
        "ROBOT_MODE_AUTOMATIC_ERROR_RECOVERY": 6,
    },
}


def interface(name: str) -> Any:
    package, kind, cls = name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), cls)


def installed_hash(name: str) -> str:
    package, kind, cls = name.split("/")
    described = json.loads((Path(get_package_share_directory(package)) / kind / f"{cls}.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in described["type_hashes"]}
    return str(hashes[name])


@pytest.mark.parametrize("name", HASHES)
def test_type_hashes_are_those_of_upstream(name: str) -> None:
    assert installed_hash(name) == HASHES[name]


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_those_of_upstream(name: str) -> None:
    cls = interface(name)
    holder = cls.Request if hasattr(cls, "Request") else cls
    assert {constant: getattr(holder, constant) for constant in CONSTANTS[name]} == CONSTANTS[name]


def test_a_grasp_tolerates_five_millimetres_unless_told_otherwise() -> None:
    epsilon = interface("franka_msgs/msg/GraspEpsilon")()
    assert (epsilon.inner, epsilon.outer) == (0.005, 0.005)


def test_every_definition_has_its_hash_pinned() -> None:
    defined = {
        f"{package}/{file.parent.name}/{file.stem}"
        for package in DEFINED
        for kind in ("msg", "srv", "action")
        for file in (BARE / package / kind).glob("*.*")
    }
    assert defined == set(HASHES)
