"""What the set-up decides: which Python, wheels or a stock ROS 2, which stand-ins."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.workspace import REPOSITORY, fresh_shell_environment
from vipa_setup.machine import Interpreter, foreign_environment
from vipa_setup.plan import STAND_IN_FOLDER, choose_interpreter, make_plan, read_packages
from vipa_setup.report import SetupError

STAND_INS = tuple(package.name for package in read_packages(REPOSITORY, STAND_IN_FOLDER))


def interpreter(
    version: tuple[int, int] = (3, 11), importable: Iterable[str] = (), complete: bool = True
) -> Interpreter:
    return Interpreter(f"/usr/bin/python{version[0]}.{version[1]}", version, complete, complete, frozenset(importable))


def make_prefix(folder: Path, modules: Iterable[str]) -> dict[str, str]:
    """Write a prefix on which ``modules`` are importable; returns the variables that sourcing it would set."""
    site_packages = folder / "lib" / "python3" / "site-packages"
    for module in modules:
        (site_packages / module).mkdir(parents=True)
        (site_packages / module / "__init__.py").write_text("")
    return {"AMENT_PREFIX_PATH": str(folder), "PYTHONPATH": str(site_packages), "ROS_DISTRO": "jazzy"}


def run_plan(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    base = getattr(sys, "_base_executable", sys.executable)
    return subprocess.run(
        [base, str(REPOSITORY / "tools" / "setup_workspace.py"), "--plan"],
        env={**fresh_shell_environment(), "PYTHON": base, **variables},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def plan_with(variables: dict[str, str]) -> dict[str, Any]:
    answer = run_plan(variables)
    assert answer.returncode == 0, answer.stderr
    plan: dict[str, Any] = json.loads(answer.stdout)
    return plan


def built_from(plan: dict[str, Any], folder: str) -> list[str]:
    return [package["name"] for package in plan["packages"] if package["folder"].startswith(folder)]


def test_a_sourced_ros_gets_no_wheels_and_no_stand_ins(tmp_path: Path) -> None:
    plan = plan_with(make_prefix(tmp_path, ["rclpy", *STAND_INS]))
    assert plan["ros"] == "stock"
    assert plan["wheels"] == []
    assert plan["stand_ins"] == []
    assert not any("ros-" in file for file in plan["requirements"])
    assert built_from(plan, "ros2_ws/bare") == []
    assert "vipa_msgs" in built_from(plan, "src")


def test_beside_a_sourced_ros_only_what_it_lacks_is_stood_in_for(tmp_path: Path) -> None:
    lacking = {"tf2_msgs"}
    plan = plan_with(make_prefix(tmp_path, {"rclpy", *STAND_INS} - lacking))
    assert plan["ros"] == "stock"
    assert plan["wheels"] == []
    assert built_from(plan, "ros2_ws/bare") == sorted(lacking)


def test_a_bare_machine_gets_wheels_and_every_stand_in() -> None:
    plan = plan_with({})
    assert plan["ros"] == "jazzy"
    assert "ros-jazzy-rclpy" in plan["wheels"]
    assert "requirements/ros-jazzy.txt" in plan["requirements"]
    assert built_from(plan, "ros2_ws/bare") == sorted(STAND_INS)


def test_kilted_wheels_on_request() -> None:
    plan = plan_with({"ROS_WHEELS": "kilted"})
    assert plan["ros"] == "kilted"
    assert "ros-rclpy" in plan["wheels"]
    assert not any(name.startswith("ros-jazzy") for name in plan["wheels"])


def test_wheels_that_do_not_exist_are_refused() -> None:
    answer = run_plan({"ROS_WHEELS": "melodic"})
    assert answer.returncode == 1
    assert "ROS_WHEELS is 'melodic'; it can be jazzy or kilted" in answer.stderr


def test_our_own_sourced_workspace_is_not_taken_for_a_stock_ros(tmp_path: Path) -> None:
    own = tmp_path / "workspace"
    foreign = tmp_path / "elsewhere"
    sourced = {
        "PATH": f"{own}/venv/bin:/usr/bin",
        "PYTHONPATH": f"{own}/install/launch/lib:{foreign}/lib",
        "AMENT_PREFIX_PATH": f"{own}/install/launch",
        "VIRTUAL_ENV": f"{own}/venv",
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
        "HOME": "/home/somebody",
    }
    assert foreign_environment(sourced, [own]) == {
        "PATH": "/usr/bin",
        "PYTHONPATH": f"{foreign}/lib",
        "HOME": "/home/somebody",
    }


def test_the_interpreter_that_imports_rclpy_wins_where_a_ros_is_sourced() -> None:
    found = {"python3": interpreter((3, 11)), "/usr/bin/python3": interpreter((3, 12), ["rclpy"])}
    chosen, stock = choose_interpreter(found.get, None, "jazzy")
    assert chosen.version == (3, 12)
    assert stock


def test_a_complete_interpreter_is_preferred() -> None:
    found = {"python3": interpreter((3, 12), complete=False), "python3.11": interpreter((3, 11))}
    chosen, stock = choose_interpreter(found.get, None, None)
    assert chosen.version == (3, 11)
    assert not stock


@pytest.mark.parametrize(
    ("found", "distribution", "message"),
    [
        ({"python3": interpreter((3, 11))}, "humble", "humble is sourced; Jazzy or newer is needed"),
        ({"python3": interpreter((3, 11))}, "jazzy", "no Python from 3.11 on imports its rclpy"),
        ({"python3": interpreter((3, 13))}, None, "Python 3.11 or 3.12 is needed; found: /usr/bin/python3.13"),
        ({}, None, "Python 3.11 or 3.12 is needed; found: none"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(
    found: dict[str, Interpreter], distribution: str | None, message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        choose_interpreter(found.get, None, distribution)


def test_a_named_interpreter_is_the_only_one_asked() -> None:
    asked: list[str] = []

    def probe(command: str) -> Interpreter | None:
        asked.append(command)
        return interpreter((3, 12))

    choose_interpreter(probe, "/opt/python", None)
    assert asked == ["/opt/python"]


def test_wheels_are_refused_on_another_processor() -> None:
    with pytest.raises(SetupError, match="x86-64 only, and this machine is aarch64"):
        make_plan(REPOSITORY, interpreter(), stock=False, wheels="jazzy", machine="aarch64")


def test_planning_touches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    plan = plan_with({"VENV": str(folder)})
    assert plan["virtual_environment"] == str(folder)
    assert not folder.exists()


def test_the_probe_survives_a_module_path_that_is_not_there() -> None:
    plan = plan_with({"PYTHONPATH": os.pathsep.join(["", "/nonexistent"])})
    assert plan["ros"] == "jazzy"
