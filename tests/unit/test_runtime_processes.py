"""What is read from /proc."""

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

from support.waiting import wait_until

from vipa_sim.runtime.processes import children, memory, processor_time, session_members


def test_processor_time_grows_with_work() -> None:
    before, began = processor_time(os.getpid()), time.process_time()
    while time.process_time() - began < 0.2:
        sum(range(1000))
    assert 0.1 < processor_time(os.getpid()) - before < 5.0


def test_memory_grows_with_what_is_allocated() -> None:
    before = memory(os.getpid())
    # Not from the heap, which may have as much to spare after other tests.
    kept = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    kept.write(os.urandom(50_000_000))
    after = memory(os.getpid())
    assert before is not None
    assert after is not None
    assert 40.0 < after.anonymous - before.anonymous < 80.0
    assert after.resident >= after.anonymous
    assert len(kept) == 50_000_000


def test_a_process_that_has_gone_has_nothing(tmp_path: Path) -> None:
    assert processor_time(1, tmp_path) == 0.0
    assert memory(1, tmp_path) is None
    assert children(1, tmp_path) == []


def test_children_and_their_sessions_are_found() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()", "a (b) c"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.pid in children(os.getpid())
        wait_until(lambda: process.pid in session_members(process.pid), 10.0, "its session")
        wait_until(lambda: session_members(process.pid)[process.pid][-1] == "a (b) c", 10.0, "its command line")
    finally:
        process.communicate(b"\n")
