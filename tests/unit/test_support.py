"""The fixtures that other tests trust to catch orphans."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.domains import DomainAllocator
from support.processes import ProcessStarter
from support.waiting import wait_until
from support.workspace import REPOSITORY

ORPHAN_MAKER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(600)"])
print("parent", flush=True)
sys.exit(0)
"""


@pytest.fixture
def starter(tmp_path: Path) -> ProcessStarter:
    return ProcessStarter(tmp_path, dict(os.environ))


def test_stop_reports_and_kills_an_orphan(starter: ProcessStarter) -> None:
    process = starter(sys.executable, "-c", ORPHAN_MAKER)
    process.wait_for_exit()
    wait_until(lambda: "child" in process.output, 10.0, "the child's first word")
    assert len(process.survivors()) == 1
    with pytest.raises(AssertionError, match="survivors"):
        starter.stop_all()
    # A killed process is not gone before the kernel has taken it down.
    wait_until(lambda: process.survivors() == [], 10.0, "the end of the orphan")


def test_stop_interrupts_what_listens_to_sigint(starter: ProcessStarter) -> None:
    process = starter(sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)")
    process.wait_for_output("ready")
    starter.stop_all()
    assert process.returncode == -signal.SIGINT


def test_waiting_for_output_names_what_never_came(starter: ProcessStarter) -> None:
    process = starter(sys.executable, "-c", "print('something else')")
    with pytest.raises(AssertionError, match=r"(?s)ended before.*never said.*something else"):
        process.wait_for_output("never said")


def test_wait_until_is_bounded() -> None:
    with pytest.raises(AssertionError, match="a cow to fly"):
        wait_until(lambda: False, 0.05, "a cow to fly")


def test_two_test_runs_never_share_a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIPA_TEST_DOMAINS", "231-232")  # nobody else's: no graph is started there
    here = DomainAllocator()
    first = here.allocate()
    paths = [str(REPOSITORY / "tests"), str(REPOSITORY / "src" / "vipa_sim")]
    other = subprocess.run(
        [sys.executable, "-c", "from support.domains import DomainAllocator as D; print(D().allocate())"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(other.stdout) in {231, 232} - {first}
    here.release(first)
