"""The socket between the processes of an arm: whole packets, no waiting, and the other end's death noticed."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import wait_until

from vipa_policy.franka import realtime
from vipa_policy.franka.child import Child
from vipa_policy.franka.frames import Note
from vipa_policy.franka.link import Link, pair


def links() -> tuple[Link, Link]:
    ours, theirs = pair()
    return Link(ours), Link(theirs)


def test_frames_come_whole_and_in_order() -> None:
    here, there = links()
    assert there.receive() is None
    for number in range(3):
        assert here.send(Note("n", {"number": number}))
    assert [frame.values["number"] for frame in there.frames() if isinstance(frame, Note)] == [0, 1, 2]
    assert not there.closed


def test_a_packet_of_almost_the_largest_size_comes_whole() -> None:
    here, there = links()
    note = Note("log", {"text": "x" * 32000})
    assert here.send(note)
    assert there.receive() == note


def test_no_more_frames_are_taken_at_a_time_than_asked_for() -> None:
    here, there = links()
    for number in range(5):
        here.send(Note("n", {"number": number}))
    assert len(list(there.frames(most=3))) == 3
    assert len(list(there.frames(most=3))) == 2


def test_waiting_tells_whether_something_can_be_received() -> None:
    here, there = links()
    assert not there.wait(0.0)
    here.send(Note("n", {}))
    assert there.wait(0.0)
    there.receive()
    assert not there.wait(0.0)
    there.close()
    assert there.wait(0.0)


def test_garbage_is_counted_and_passed_over() -> None:
    ours, theirs = pair()
    there = Link(theirs)
    ours.send(b"garbage")
    ours.send(b"")  # the empty packet of a peer that is there is the end of one that is not: a link has none
    here = Link(ours)
    here.send(Note("stop", {}))
    assert there.receive() is None or there.malformed == 1
    assert there.malformed == 1
    assert "expected a packet" in there.fault


def test_the_end_of_the_other_side_is_noticed_and_nothing_is_lost_before() -> None:
    here, there = links()
    here.send(Note("last", {}))
    here.close()
    assert there.wait(1.0)
    assert there.receive() == Note("last", {})
    assert there.receive() is None
    assert there.closed
    assert not there.send(Note("late", {}))


def test_a_side_that_does_not_read_costs_frames_and_no_time() -> None:
    here, _there = links()
    while here.send(Note("n", {"text": "x" * 1000})):
        pass
    assert here.dropped == 1
    assert not here.closed


def test_a_process_that_cannot_begin_is_gone_with_words() -> None:
    child = Child("vipa_policy.franka.arm_process", {"adress": "nowhere"})
    wait_until(lambda: bool(child.gone), 60.0, "the process to end")
    assert "status 1" in child.gone
    assert child.end()


def test_the_kernel_is_asked_for_what_it_is(tmp_path: Path) -> None:
    assert not realtime.kernel_is_realtime(tmp_path / "none")
    file = tmp_path / "realtime"
    file.write_text("1\n")
    assert realtime.kernel_is_realtime(file)


@pytest.mark.parametrize("wanted", ["False 0", "True"])
def test_a_prepared_process_collects_no_garbage(wanted: str) -> None:
    code = (
        "import gc\nfrom vipa_policy.franka import realtime\ndenied = realtime.prepare()\n"
        "print(gc.isenabled(), gc.get_count()[2])\nprint(all('limits.conf' in text for text in denied))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert wanted in done.stdout
    assert gc.isenabled()


def test_nothing_of_ros_or_torch_is_in_the_process() -> None:
    code = (
        "import sys\nimport vipa_policy.franka.arm_process, vipa_policy.franka.hand_process\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'rclpy', 'torch', 'numpy', 'pinocchio'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
