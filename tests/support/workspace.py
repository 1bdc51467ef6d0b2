"""The environment of a shell that has sourced the built workspace."""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SETUP_FILE = REPOSITORY / "ros2_ws" / "install" / "setup.bash"

# What a fresh login shell would have; everything else has to come from setup.bash.
_INHERITED = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TERM", "TMPDIR", "MUJOCO_GL", "CUDA_VISIBLE_DEVICES")


def fresh_shell_environment() -> dict[str, str]:
    """Environment of a shell in which nothing of this project was sourced."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return environment


def sourced_environment(setup_file: Path = SETUP_FILE) -> dict[str, str]:
    """Environment after ``source setup_file`` in a fresh shell; RuntimeError when that fails."""
    if not setup_file.is_file():
        raise RuntimeError(f"{setup_file} does not exist: run `make setup` first")
    # A stock ROS 2 that was sourced for this run is chained in by setup.bash itself.
    shell = subprocess.run(
        ["bash", "-c", 'source "$1" >&2 && env -0', "bash", str(setup_file)],
        env=fresh_shell_environment(),
        capture_output=True,
        check=False,
    )
    if shell.returncode != 0:
        raise RuntimeError(f"sourcing {setup_file} failed: {shell.stderr.decode(errors='replace')}")
    pairs = (entry.split("=", 1) for entry in shell.stdout.decode().split("\0") if "=" in entry)
    return dict(pairs)
