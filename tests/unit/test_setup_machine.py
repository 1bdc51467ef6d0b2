"""Missing Debian packages are named in one line, and installed when run as root."""

import os
import sys
from pathlib import Path

import pytest
from vipa_setup.machine import (
    DebianPackage,
    Interpreter,
    install_debian_packages,
    missing_debian_packages,
    probe_interpreter,
)
from vipa_setup.report import SetupError

CATALOGUE = (DebianPackage("here", lambda: True), DebianPackage("libgone1", lambda: False))


def interpreter(executable: str, has_venv: bool = True, has_headers: bool = True) -> Interpreter:
    return Interpreter(executable, (3, 11), has_venv, has_headers, frozenset())


def test_only_what_is_missing_is_named() -> None:
    assert missing_debian_packages(interpreter("/usr/bin/python3.11"), CATALOGUE) == ("libgone1",)


def test_parts_of_debians_python_are_packages_of_their_own() -> None:
    bare = interpreter("/usr/bin/python3.11", has_venv=False, has_headers=False)
    assert missing_debian_packages(bare, CATALOGUE) == ("libgone1", "python3.11-venv", "python3.11-dev")


def test_an_incomplete_python_of_ones_own_is_refused() -> None:
    with pytest.raises(SetupError, match=r"/opt/python/bin/python3 .* lacks venv"):
        missing_debian_packages(interpreter("/opt/python/bin/python3", has_headers=False), CATALOGUE)


@pytest.fixture
def apt_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an apt-get on PATH that only notes how it was called."""
    log = tmp_path / "log"
    program = tmp_path / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return log


def test_root_installs_them(apt_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    install_debian_packages(["libgone1", "ffmpeg"])
    assert apt_log.read_text().splitlines() == ["update", "install -y --no-install-recommends libgone1 ffmpeg"]


def test_others_are_told_the_command(apt_log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError) as refusal:
        install_debian_packages(["libgone1", "ffmpeg"])
    message = str(refusal.value)
    assert message.endswith("Install them with: sudo apt-get install -y libgone1 ffmpeg")
    assert "\n" not in message
    assert not apt_log.exists()


def test_nothing_missing_installs_nothing(apt_log: Path) -> None:
    install_debian_packages([])
    assert not apt_log.exists()


def test_a_shim_that_fails_is_no_interpreter(tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho not installed >&2\nexit 127\n")
    shim.chmod(0o755)
    assert probe_interpreter("python3.12", {"PATH": str(tmp_path)}) is None


def test_a_virtual_environment_is_seen_through() -> None:
    found = probe_interpreter(sys.executable, {"PATH": os.environ["PATH"]}, ["json", "no_such_module"])
    assert found is not None
    assert found.version == sys.version_info[:2]
    assert found.importable == {"json"}
    assert not found.executable.startswith(sys.prefix + os.sep) or sys.prefix == sys.base_prefix
