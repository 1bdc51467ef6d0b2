"""Processes with the stand-ins for launch and the ros2 command in front, whatever else is installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from support.workspace import REPOSITORY

STAND_INS = [path for path in sorted((REPOSITORY / "ros2_ws" / "bare").iterdir()) if (path / "setup.py").is_file()]
ROS2 = [sys.executable, "-m", "ros2cli.cli"]


def bare_environment(log_folder: Path, **extra: str) -> dict[str, str]:
    """Environment in which the stand-ins come first, nodes stay on the loopback and logs in `log_folder`."""
    python_path = [str(path) for path in STAND_INS] + [os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(part for part in python_path if part),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(log_folder),
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


def make_package(prefix: Path, name: str, launch_files: Mapping[str, str], executables: Mapping[str, str]) -> None:
    """Install a package of launch files and executables under an ament prefix."""
    marker = prefix / "share" / "ament_index" / "resource_index" / "packages" / name
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    for folder, files in ((prefix / "share" / name / "launch", launch_files), (prefix / "lib" / name, executables)):
        folder.mkdir(parents=True, exist_ok=True)
        for file_name, text in files.items():
            (folder / file_name).write_text(text)
            if files is executables:
                (folder / file_name).chmod(0o755)
