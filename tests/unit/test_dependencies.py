"""docs/dependencies.md tells the licence of everything that is installed by name."""

import re
from pathlib import Path

from support.workspace import REPOSITORY
from vipa_setup.machine import SYSTEM_PACKAGES

DOCUMENT = REPOSITORY / "docs" / "dependencies.md"


def required(file: Path) -> set[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return {re.split(r"[<>=]", line)[0] for line in lines if line}


def listed() -> set[str]:
    """Names in the first column of all tables whose licence is told."""
    names: set[str] = set()
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 3 and all(cells):
            names.update(re.sub(r" \(.*?\)", "", cells[0]).split(", "))
    return names


def test_every_python_package_is_listed() -> None:
    files = sorted((REPOSITORY / "requirements").glob("*.txt"))
    assert files
    wanted = set().union(*(required(file) for file in files))
    missing = {name for name in wanted if not name.startswith("ros-")} - listed()
    assert not missing


def test_every_debian_package_is_listed() -> None:
    assert {package.name for package in SYSTEM_PACKAGES} - listed() == set()
