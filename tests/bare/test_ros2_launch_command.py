"""`ros2 launch`, `ros2 run` and `ros2 pkg` with a package of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ros2cli.cli import main
from support.bare_ros2 import ROS2, bare_environment, make_package
from support.processes import ManagedProcess

LAUNCH_FILE = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration


def show(context):
    print('argv', context.argv, flush=True)


def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument('robot_ip', default_value='', description='address of the arm'),
        DeclareLaunchArgument('device', default_value='auto', choices=['auto', 'cpu']),
        DeclareLaunchArgument('twice', default_value=[LaunchConfiguration('device'), '!']),
        LogInfo(msg=['device ', LaunchConfiguration('device')]),
        OpaqueFunction(function=show),
    ])
"""
WAITER = """#!/usr/bin/env -S python3 -S -u
import sys, time
print('started with', sys.argv[1:])
time.sleep(120)
"""


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "good.launch.py": LAUNCH_FILE,
        "broken.launch.py": "import no_such_module\n",
        "empty.launch.py": "x = 1\n",
    }
    make_package(tmp_path / "prefix", "some_package", files, {"waiter": WAITER})
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'prefix'}:{os.environ.get('AMENT_PREFIX_PATH', '')}")
    return tmp_path / "prefix"


def started(tmp_path: Path, *arguments: str) -> ManagedProcess:
    return ManagedProcess([*ROS2, *arguments], tmp_path / "output.log", bare_environment(tmp_path / "log"))


def test_show_args(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["launch", "some_package", "good.launch.py", "--show-args"]) == 0
    assert capsys.readouterr().out == (
        "Arguments (pass arguments as '<name>:=<value>'):\n"
        "\n    'robot_ip':\n        address of the arm\n        (default: '')\n"
        "\n    'device':\n        One of: ['auto', 'cpu']\n        (default: 'auto')\n"
        "\n    'twice':\n        no description given\n        (default: LaunchConfig('device') + '!')\n"
    )


def test_a_launch_file_of_a_package_and_by_path(prefix: Path, tmp_path: Path) -> None:
    process = started(tmp_path, "launch", "some_package", "good.launch.py", "device:=cpu")
    assert process.wait_for_exit() == 0
    assert "[INFO] [launch.user]: device cpu\nargv ['device:=cpu']\n" in process.output
    path = str(prefix / "share" / "some_package" / "launch" / "good.launch.py")
    process = started(tmp_path, "launch", path, "device:=cpu", "device:=auto")
    assert process.wait_for_exit() == 0
    assert "device auto" in process.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("some_package", "good.launch.py", "devise:=cpu"),
            "unknown launch argument 'devise': 'good.launch.py' has robot_ip, device, twice (--show-args",
        ),
        (("some_package", "good.launch.py", "device"), "malformed launch argument 'device'"),
        (("some_package", "good.launch.py", "device:="), "malformed launch argument 'device:='"),
        (("some_package", "god.launch.py"), "launch files there: broken.launch.py, empty.launch.py, good.launch.py"),
        (("some_package",), "No launch file named"),
        (("no_package", "good.launch.py"), "Package 'no_package' not found"),
        (("some_package", "broken.launch.py"), "No module named 'no_such_module'"),
        (("some_package", "empty.launch.py"), "does not contain the required function"),
    ],
)
def test_mistakes_are_messages(prefix: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in str(main(["launch", *arguments]))


def test_a_choice_that_is_none_fails(prefix: Path, tmp_path: Path) -> None:
    process = started(tmp_path, "launch", "some_package", "good.launch.py", "device:=tpu")
    assert process.wait_for_exit() == 1
    assert "Valid options are: ['auto', 'cpu']" in process.output


def test_run_passes_arguments_and_signals_on(prefix: Path, tmp_path: Path) -> None:
    process = started(tmp_path, "run", "some_package", "waiter", "--ros-args", "-p", "a:=1")
    process.wait_for_output(r"started with \['--ros-args', '-p', 'a:=1'\]")
    process.send_signal(signal.SIGTERM)
    assert process.wait_for_exit() == -signal.SIGTERM
    assert process.survivors() == []


def test_run_and_pkg_say_what_there_is(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no 'writer'. It has: waiter" in str(main(["run", "some_package", "writer"]))
    assert "Package 'no_package' not found" in str(main(["run", "no_package", "waiter"]))
    assert main(["pkg", "executables", "some_package"]) == 0
    assert main(["pkg", "prefix", "some_package"]) == 0
    assert main(["pkg", "prefix", "--share", "some_package"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "some_package waiter",
        str(prefix),
        str(prefix / "share" / "some_package"),
    ]
    assert "Package not found" in str(main(["pkg", "prefix", "no_package"]))
    assert main(["pkg", "list"]) == 0
    assert "some_package" in capsys.readouterr().out.split()
