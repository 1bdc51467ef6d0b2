"""What `source ros2_ws/install/setup.bash` in a fresh shell gives."""

import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.workspace import SETUP_FILE, fresh_shell_environment


def console_scripts(setup_file: Path) -> list[str]:
    """Names of the console scripts that a setup.py declares."""
    for node in ast.walk(ast.parse(setup_file.read_text())):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "console_scripts":
                    return [line.partition("=")[0].strip() for line in ast.literal_eval(value)]
    return []


def test_python_imports_ros_our_messages_and_what_training_needs(workspace_environment: dict[str, str]) -> None:
    modules = "rclpy, vipa_msgs.msg, tf2_msgs.msg, launch, launch_ros, tf2_ros, vipa_policy, torch, mujoco"
    done = subprocess.run(
        ["python", "-c", f"import {modules}; print('imported')"],
        env=workspace_environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "imported\n", done.stderr


def test_the_ros2_command_is_on_the_path(workspace_environment: dict[str, str]) -> None:
    assert shutil.which("ros2", path=workspace_environment["PATH"]) is not None


@pytest.mark.parametrize("package", ["vipa_policy", "vipa_sim"])
def test_every_node_lies_where_ros2_run_looks(
    repository: Path, workspace_environment: dict[str, str], package: str
) -> None:
    names = console_scripts(repository / "src" / package / "setup.py")
    assert names
    prefixes = [Path(entry) for entry in workspace_environment["AMENT_PREFIX_PATH"].split(os.pathsep)]
    folder = next(prefix for prefix in prefixes if (prefix / "share" / package / "package.xml").is_file())
    for name in names:
        assert os.access(folder / "lib" / package / name, os.X_OK), name


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_discovery_range_is_local_unless_it_was_chosen(shell: str) -> None:
    setup_file = SETUP_FILE.with_suffix(".sh" if shell == "sh" else ".bash")
    # setup.sh cannot know where it lies: colcon has it told.
    script = f'export COLCON_CURRENT_PREFIX="{setup_file.parent}"; . "{setup_file}"; '
    script += 'echo "$ROS_AUTOMATIC_DISCOVERY_RANGE"'
    for chosen, expected in (({}, "LOCALHOST"), ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, "SUBNET")):
        done = subprocess.run(
            [shell, "-c", script],
            env={**fresh_shell_environment(), **chosen},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_sourcing_twice_changes_nothing_more(workspace_environment: dict[str, str]) -> None:
    script = f'source "{SETUP_FILE}"; first="$PATH|$AMENT_PREFIX_PATH"; source "{SETUP_FILE}"; '
    script += '[ "$first" = "$PATH|$AMENT_PREFIX_PATH" ]'
    subprocess.run(["bash", "-c", script], env=fresh_shell_environment(), check=True)
