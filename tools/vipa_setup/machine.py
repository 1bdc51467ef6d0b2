"""What this machine offers: Python interpreters, environment variables that are not our own, Debian packages."""

import ctypes.util
import glob
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vipa_setup.report import SetupError, say

PATH_VARIABLES = (
    "PATH",
    "PYTHONPATH",
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PKG_CONFIG_PATH",
)

# Runs in any Python 3: says what kind of interpreter it is and which of the modules named on its command line
# it could import. The empty entry is the working directory, which is nobody's installation.
_PROBE = """
import importlib.util, json, os, sys, sysconfig
sys.path = [entry for entry in sys.path if entry]
def importable(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
print(json.dumps({
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "virtual": sys.prefix != sys.base_prefix,
    "version": list(sys.version_info[:2]),
    "has_venv": importable("venv") and importable("ensurepip"),
    "has_headers": os.path.isfile(os.path.join(sysconfig.get_paths()["include"], "Python.h")),
    "importable": [name for name in sys.argv[1:] if importable(name)],
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter outside any virtual environment."""

    executable: str
    version: tuple[int, int]
    has_venv: bool
    has_headers: bool
    importable: frozenset[str]

    @property
    def complete(self) -> bool:
        """Whether it can make virtual environments and compile extensions."""
        return self.has_venv and self.has_headers

    @property
    def label(self) -> str:
        """Version as people write it."""
        return f"{self.version[0]}.{self.version[1]}"


def foreign_environment(environment: Mapping[str, str], own_folders: Sequence[Path]) -> dict[str, str]:
    """Return ``environment`` without what this project's workspace and virtual environment put there.

    A shell that has sourced ros2_ws/install/setup.bash must be judged, and built in, like a fresh one.
    """
    own = [os.path.realpath(folder) for folder in own_folders]

    def foreign(entry: str) -> bool:
        real = os.path.realpath(entry)
        return not any(real == folder or real.startswith(folder + os.sep) for folder in own)

    result = dict(environment)
    for name in PATH_VARIABLES:
        if name in result:
            entries = [entry for entry in result[name].split(os.pathsep) if entry and foreign(entry)]
            result[name] = os.pathsep.join(entries)
            if not entries:
                del result[name]
    result.pop("VIRTUAL_ENV", None)
    result.pop("PYTHONHOME", None)
    result.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    return result


def probe_interpreter(command: str, environment: Mapping[str, str], modules: Sequence[str] = ()) -> Interpreter | None:
    """Ask ``command`` what it is and which ``modules`` it can import; None when it is no working Python 3."""
    found = shutil.which(command, path=environment.get("PATH"))
    if found is None:
        return None
    answer = subprocess.run(
        [found, "-c", _PROBE, *modules], env=dict(environment), capture_output=True, text=True, check=False
    )
    # A pyenv shim exists for every version and fails for those that are not switched on.
    if answer.returncode != 0:
        return None
    try:
        facts = json.loads(answer.stdout)
    except json.JSONDecodeError:
        return None
    if facts["virtual"]:
        # What some other virtual environment holds will not be in ours.
        return probe_interpreter(facts["executable"], environment, modules)
    return Interpreter(
        executable=facts["executable"],
        version=(facts["version"][0], facts["version"][1]),
        has_venv=facts["has_venv"],
        has_headers=facts["has_headers"],
        importable=frozenset(facts["importable"]),
    )


@dataclass(frozen=True)
class DebianPackage:
    """A Debian package and the sign by which one sees that what it brings is there."""

    name: str
    present: Callable[[], bool]


def _program(*names: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(name) for name in names)


def _library(name: str) -> Callable[[], bool]:
    return lambda: ctypes.util.find_library(name) is not None


def _files(*patterns: str) -> Callable[[], bool]:
    return lambda: any(glob.glob(pattern) for pattern in patterns)


SYSTEM_PACKAGES = (
    DebianPackage("g++", _program("g++", "c++")),
    DebianPackage("ffmpeg", _program("ffmpeg")),
    DebianPackage("libegl1", _library("EGL")),
    DebianPackage("libosmesa6", _library("OSMesa")),
    DebianPackage("libgl1-mesa-dri", _files("/usr/lib/*/dri/*_dri.so", "/usr/lib64/dri/*_dri.so")),
    DebianPackage("libusb-1.0-0", _library("usb-1.0")),
)


def missing_debian_packages(
    interpreter: Interpreter, catalogue: Sequence[DebianPackage] = SYSTEM_PACKAGES
) -> tuple[str, ...]:
    """Names of the Debian packages that this machine lacks, those for ``interpreter`` included.

    Raises SetupError when the interpreter lacks parts that no Debian package adds to it.
    """
    missing = [package.name for package in catalogue if not package.present()]
    if not interpreter.complete:
        if not interpreter.executable.startswith("/usr/bin/"):
            raise SetupError(
                f"{interpreter.executable} (Python {interpreter.label}) lacks venv, ensurepip or its C headers. "
                "Name a complete Python 3.11 or 3.12 with PYTHON=..., or install Debian's: python3 python3-venv "
                "python3-dev"
            )
        if not interpreter.has_venv:
            missing.append(f"python{interpreter.label}-venv")
        if not interpreter.has_headers:
            missing.append(f"python{interpreter.label}-dev")
    return tuple(missing)


def install_debian_packages(names: Sequence[str]) -> None:
    """Install packages when run as root; else raise SetupError with the one line that does."""
    if not names:
        return
    listed = " ".join(names)
    if shutil.which("apt-get") is None:
        raise SetupError(f"missing (named as Debian names them): {listed}. Install your distribution's equivalents")
    if os.geteuid() != 0:
        raise SetupError(f"missing Debian packages: {listed}. Install them with: sudo apt-get install -y {listed}")
    say(f"missing Debian packages: {listed}; installing them with: apt-get install -y {listed}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", *names]):
        command = ["apt-get", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SetupError(f"`{' '.join(command)}` failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
