"""The virtual environment: made once, filled from requirements/, left alone while nothing changed."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vipa_setup.plan import Plan
from vipa_setup.report import SetupError, say

MARKER = "vipa-setup.json"
TORCH_FILE = "requirements/torch.txt"


def run_logged(command: Sequence[str], environment: Mapping[str, str], log: Path, working_directory: Path) -> bool:
    """Run a command with all its output appended to ``log``; returns whether it succeeded."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as output:
        print(f"$ {' '.join(command)}", file=output, flush=True)
        done = subprocess.run(
            command, env=dict(environment), cwd=working_directory, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    return done.returncode == 0


def read_marker(folder: Path) -> dict[str, str]:
    """What an earlier set-up noted in the environment; {} where there is none."""
    try:
        content = json.loads((folder / MARKER).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def tail(log: Path) -> str:
    """Return the end of a log, for an error message."""
    return log.read_text(errors="replace")[-3000:]


def identity(plan: Plan) -> dict[str, str]:
    """What an environment is made for; another identity takes another environment."""
    return {"ros": plan.ros, "python": f"{plan.python_version[0]}.{plan.python_version[1]}"}


def _digest(repository: Path, files: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.encode() + b"\0" + (repository / file).read_bytes() + b"\0")
    return digest.hexdigest()


def create(plan: Plan, folder: Path, environment: Mapping[str, str], log: Path) -> None:
    """Make the virtual environment unless one made for the same plan is there; rebuild one made for another."""
    marker = read_marker(folder)
    python = folder / "bin" / "python"
    wanted = identity(plan)
    exists = python.exists()
    if exists and {name: marker.get(name) for name in wanted} == wanted:
        return
    if exists and not marker:
        raise SetupError(f"{folder} is a virtual environment that this set-up did not make: remove it, or set VENV=")
    if folder.exists() and not exists and any(folder.iterdir()):
        raise SetupError(f"{folder} is no virtual environment and not empty: remove it, or set VENV=")
    say(f"virtual environment for Python {wanted['python']} and ROS 2 {plan.ros}: {folder}")
    command = [plan.python, "-m", "venv", "--clear"]
    if not plan.from_wheels:
        command.append("--system-site-packages")  # a stock ROS 2 keeps some of its Python there
    if not run_logged([*command, str(folder)], environment, log, folder.parent):
        raise SetupError(f"the virtual environment could not be made:\n{tail(log)}")
    (folder / MARKER).write_text(json.dumps(wanted))


def _install(folder: Path, arguments: Sequence[str], environment: Mapping[str, str], log: Path, where: Path) -> None:
    # uv is quick but does not know pip's own configuration (find-links, mirrors): where it fails, pip decides.
    python = str(folder / "bin" / "python")
    uv = [str(folder / "bin" / "uv"), "pip", "install", "--python", python, *arguments]
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    if not run_logged(uv, environment, log, where) and not run_logged(pip, environment, log, where):
        raise SetupError(f"`{' '.join(pip)}` failed (log: {log}):\n{tail(log)}")


def fill(
    plan: Plan,
    folder: Path,
    repository: Path,
    environment: Mapping[str, str],
    log: Path,
    without_torch: bool,
) -> bool:
    """Install the plan's requirements unless they already are; returns whether anything was installed."""
    files = [file for file in plan.requirements if not (without_torch and file == TORCH_FILE)]
    digest = _digest(repository, files)
    marker = read_marker(folder)
    if marker.get("requirements") == digest:
        return False
    python = str(folder / "bin" / "python")
    clean = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    clean["VIRTUAL_ENV"] = str(folder)
    clean["PATH"] = f"{folder / 'bin'}{os.pathsep}{clean.get('PATH', os.defpath)}"
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    say("installing Python packages (a few minutes the first time)")
    if not run_logged([*pip, "uv"], clean, log, repository):
        raise SetupError(f"pip could not install uv (log: {log}); is a package index in reach?\n{tail(log)}")
    if TORCH_FILE in files and not run_logged([*pip, "-r", TORCH_FILE], clean, log, repository):
        raise SetupError(
            f"pip could not install {TORCH_FILE} for Python {plan.python_version[0]}.{plan.python_version[1]} "
            f"(log: {log}). Where torch comes by other means, set VIPA_WITHOUT_TORCH=1:\n{tail(log)}"
        )
    listed = [argument for file in files if file != TORCH_FILE for argument in ("-r", file)]
    _install(folder, listed, clean, log, repository)
    (folder / MARKER).write_text(json.dumps({**identity(plan), "requirements": digest}))
    return True
