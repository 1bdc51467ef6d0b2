"""The colcon workspace: builds the packages that changed since the last time, at the default install base."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from vipa_setup.plan import Package, Plan
from vipa_setup.report import SetupError, say
from vipa_setup.virtual_environment import run_logged, tail

MARKER = "vipa-setup.json"
# Folders outside a package that its build installs.
EXTRA_INPUTS = {"vipa_bringup": ("launch", "models")}
_COLCON = "import sys; from colcon_core.command import main; sys.exit(main())"
_GENERATED = ("__pycache__", ".pyc", ".egg-info", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def package_digest(repository: Path, package: Package) -> str:
    """Digest of every file a package is built from."""
    digest = hashlib.sha256()
    for folder in (package.folder, *EXTRA_INPUTS.get(package.name, ())):
        for file in sorted((repository / folder).rglob("*")):
            relative = file.relative_to(repository)
            if file.is_file() and not any(part.endswith(_GENERATED) for part in relative.parts):
                digest.update(str(relative).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def build_environment(plan: Plan, virtual_environment: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment of colcon: the virtual environment over a stock ROS 2, or over nothing at all."""
    binaries = str(virtual_environment / "bin")
    result = {**environment, "VIRTUAL_ENV": str(virtual_environment), "VIPA_ROS_FROM_WHEELS": "0"}
    result["PATH"] = f"{binaries}{os.pathsep}{environment.get('PATH', os.defpath)}"
    if plan.from_wheels:
        # Whatever else the shell has sourced must not leak in: the wheels are all of ROS 2 there is.
        for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "COLCON_PREFIX_PATH", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH"):
            result.pop(name, None)
        result["VIPA_ROS_FROM_WHEELS"] = "1"
        result["AMENT_PREFIX_PATH"] = str(virtual_environment)
        result["CMAKE_PREFIX_PATH"] = str(virtual_environment)
    return result


def _read_marker(install: Path) -> dict[str, object]:
    try:
        content = json.loads((install / MARKER).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _remove_foreign(workspace: Path, kept: Sequence[str]) -> None:
    # A package that is no longer built must not stay in the install base, where it would still be sourced.
    for base in ("install", "build"):
        for folder in (workspace / base).glob("*"):
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder)


def build(plan: Plan, repository: Path, virtual_environment: Path, environment: Mapping[str, str], log: Path) -> bool:
    """Build what changed; returns whether anything was built. SetupError with the end of the log when it fails."""
    workspace = repository / "ros2_ws"
    install = workspace / "install"
    identity = {
        "ros": plan.ros,
        "python": plan.python,
        "virtual_environment": str(virtual_environment),
        "workspace": str(workspace),
    }
    marker = _read_marker(install)
    if marker.get("identity") != identity:
        for base in ("install", "build"):
            shutil.rmtree(workspace / base, ignore_errors=True)
        marker = {}
    recorded = marker.get("packages")
    built: dict[str, str] = dict(recorded) if isinstance(recorded, dict) else {}
    digests = {package.name: package_digest(repository, package) for package in plan.packages}
    changed = [name for name, digest in digests.items() if built.get(name) != digest or not (install / name).is_dir()]
    gone = [name for name in built if name not in digests]
    if not changed and not gone and (install / "setup.bash").is_file():
        return False
    _remove_foreign(workspace, list(digests))
    bare = workspace / "bare"
    folders = {package.name: repository / package.folder for package in plan.packages}
    for name in changed:
        # None of these keeps up with files that were deleted or renamed.
        shutil.rmtree(install / name, ignore_errors=True)
        if (folders[name] / "setup.py").is_file() or bare in folders[name].parents:
            shutil.rmtree(workspace / "build" / name, ignore_errors=True)
    install.mkdir(parents=True, exist_ok=True)
    say(f"building {len(changed)} of {len(digests)} packages with colcon: {' '.join(changed) or 'none changed'}")
    cmake = ["-G", "Ninja", "-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={virtual_environment / 'bin' / 'python'}"]
    if plan.from_wheels:
        filter_file = Path(__file__).resolve().parent / "wheel_includes.cmake"
        cmake.append(f"-DCMAKE_PROJECT_INCLUDE={filter_file}")
    # bare/ carries a COLCON_IGNORE, so that a plain `colcon build` beside a stock ROS 2 never builds a stand-in
    # over the real package; those that are wanted are named one by one.
    paths = [package.folder.removeprefix("ros2_ws/") for package in plan.packages]
    command = [
        # Whichever colcon the environment sees, its own or that of the stock ROS 2 it stands on.
        *(str(virtual_environment / "bin" / "python"), "-c", _COLCON, "build"),
        *("--base-paths", *paths, "--packages-select", *(changed or list(digests))),
        *("--cmake-args", *cmake),
    ]
    succeeded = run_logged(command, build_environment(plan, virtual_environment, environment), log, workspace)
    if not succeeded:
        raise SetupError(f"colcon could not build the workspace (log: {log}):\n{tail(log)}")
    (install / MARKER).write_text(json.dumps({"identity": identity, "packages": digests}))
    return True
