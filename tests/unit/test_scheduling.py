"""Real-time scheduling: all threads get it where it is allowed, and the refusal is told where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from vipa_policy.scheduling import be_on_time


def test_what_the_system_refuses_is_told_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert be_on_time(10) == "no real-time scheduling (Operation not permitted): allow rtprio 10 in limits.conf"


def test_every_thread_is_asked_for_and_one_that_ends_meanwhile_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []

    def note(thread: int, policy: int, parameter: os.sched_param) -> None:
        asked.append((thread, policy, parameter.sched_priority))
        if thread != os.getpid():
            raise ProcessLookupError

    monkeypatch.setattr(os, "sched_setscheduler", note)
    go = threading.Event()
    other = threading.Thread(target=go.wait)
    other.start()
    try:
        assert be_on_time(7) == ""
    finally:
        go.set()
        other.join()
    assert {(os.getpid(), os.SCHED_FIFO, 7), (other.native_id, os.SCHED_FIFO, 7)} <= set(asked)


@pytest.mark.parametrize("priority", [0, 100, -3])
def test_no_priority_is_refused_before_anything_is_asked_for(priority: int) -> None:
    with pytest.raises(ValueError, match="expected a real-time priority of 1 to 99"):
        be_on_time(priority)


def test_a_process_ends_up_where_it_says() -> None:
    code = (
        "import os\nfrom vipa_policy.scheduling import be_on_time\ndenied = be_on_time(10)\n"
        "print(bool(denied) != (os.sched_getscheduler(0) == os.SCHED_FIFO))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
