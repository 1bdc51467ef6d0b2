"""`pip install ./src/vipa_policy` gives a working library where there is no ROS."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.workspace import fresh_shell_environment

# Imports everything but the nodes, from the installed copy, with every ROS package out of reach.
_IMPORT_ALL = """
import importlib, pkgutil, sys

class NoRos:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top.endswith(("_msgs", "_interfaces", "_srvs")) or top in ROS:
            raise ModuleNotFoundError(f"no ROS here: {name}", name=name)
        return None

ROS = {"rclpy", "launch", "launch_ros", "tf2_ros", "message_filters", "cv_bridge", "tf_transformations"}
sys.meta_path.insert(0, NoRos())
sys.path.insert(0, sys.argv[1])
import vipa_policy
assert vipa_policy.__file__.startswith(sys.argv[1]), vipa_policy.__file__
for module in pkgutil.walk_packages(vipa_policy.__path__, "vipa_policy."):
    if not module.name.startswith("vipa_policy.nodes"):
        importlib.import_module(module.name)
        print(module.name)
"""


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install a copy of vipa_policy by pip into a folder of its own; dependencies are the environment's."""
    folder = tmp_path_factory.mktemp("policy")
    source = folder / "source"  # a copy: pip builds in place
    shutil.copytree(repository / "src" / "vipa_policy", source)
    site_packages = folder / "site-packages"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site_packages)]
    command = [sys.executable, "-m", "pip", "install", *options, str(source)]
    done = subprocess.run(command, env=fresh_shell_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return site_packages


def test_the_library_imports_without_ros(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, str(installed)],
        env={**fresh_shell_environment(), "OMP_NUM_THREADS": "1"},
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "vipa_policy.contract" in done.stdout.split()


def test_the_library_says_what_types_it_has(installed: Path) -> None:
    assert (installed / "vipa_policy" / "py.typed").is_file()
