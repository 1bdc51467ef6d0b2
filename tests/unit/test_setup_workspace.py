"""Which packages the set-up takes for changed."""

from pathlib import Path

import pytest
from vipa_setup.plan import Package
from vipa_setup.workspace import package_digest

PACKAGE = Package("vipa_bringup", "src/vipa_bringup")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for file in ("src/vipa_bringup/package.xml", "src/vipa_bringup/config/cell.yaml", "launch/franka.launch.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("first")
    return tmp_path


@pytest.mark.parametrize("file", ["src/vipa_bringup/config/cell.yaml", "launch/franka.launch.py"])
def test_a_change_of_what_is_installed_is_seen(sources: Path, file: str) -> None:
    before = package_digest(sources, PACKAGE)
    (sources / file).write_text("second")
    assert package_digest(sources, PACKAGE) != before


def test_a_renamed_file_is_seen(sources: Path) -> None:
    before = package_digest(sources, PACKAGE)
    (sources / "launch" / "franka.launch.py").rename(sources / "launch" / "panda.launch.py")
    assert package_digest(sources, PACKAGE) != before


def test_caches_and_other_packages_are_not(sources: Path) -> None:
    before = package_digest(sources, PACKAGE)
    for file in ("launch/__pycache__/franka.pyc", "src/vipa_msgs/package.xml"):
        (sources / file).parent.mkdir(parents=True, exist_ok=True)
        (sources / file).write_text("new")
    assert package_digest(sources, PACKAGE) == before
