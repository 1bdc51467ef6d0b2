"""A real `ros2 launch` under signals: every process is stopped, none is left behind, the exit code is 0."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.bare_ros2 import ROS2, bare_environment
from support.processes import ManagedProcess

OBEDIENT = "import time\nprint('up', flush=True)\ntime.sleep(120)\n"
STUBBORN = (
    "import signal, time\n"
    "for number in {ignored}:\n"
    "    signal.signal(number, lambda number, frame: print('got', signal.Signals(number).name, flush=True))\n"
    "print('up', flush=True)\n"
    "while True:\n"
    "    time.sleep(1)\n"
)
# A wrapper that leaves its own child to whoever started it.
CARELESS = (
    "import subprocess, sys, time\nsubprocess.Popen(['sleep', '121'])\nprint('up', flush=True)\ntime.sleep(120)\n"
)


class Launched(ManagedProcess):
    """`ros2 launch` of a file whose processes run the given programs."""

    def __init__(self, folder: Path, programs: list[str], options: str = "", timeouts: str = "0.4") -> None:
        actions = []
        for number, program in enumerate(programs):
            (folder / f"program{number}.py").write_text(program)
            cmd = f"[sys.executable, '-S', '-u', {str(folder / f'program{number}.py')!r}]"
            actions.append(
                f"ExecuteProcess(cmd={cmd}, name='p{number}', output='screen', sigterm_timeout='{timeouts}', "
                f"sigkill_timeout='{timeouts}', {options})"
            )
        launch_file = folder / "test.launch.py"
        launch_file.write_text(
            "import sys\nfrom launch import LaunchDescription\nfrom launch.actions import ExecuteProcess, Shutdown\n"
            f"def generate_launch_description():\n    return LaunchDescription([{', '.join(actions)}])\n"
        )
        super().__init__([*ROS2, "launch", str(launch_file)], folder / "output.log", bare_environment(folder / "log"))
        for number in range(len(programs)):
            self.wait_for_output(rf"^\[p{number}-{number + 1}\] up$")

    def end(self) -> int:
        """Return the exit code; AssertionError if something is left behind."""
        code = self.wait_for_exit(30.0)
        assert self.survivors() == []
        return code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_launch_stops_every_process(tmp_path: Path, number: signal.Signals) -> None:
    launched = Launched(tmp_path, [OBEDIENT, OBEDIENT])
    launched.send_signal(number)
    assert launched.end() == 0
    for name in ("p0-1", "p1-2"):
        assert f"[INFO] [{name}]: sending signal 'SIGINT' to process[{name}]" in launched.output
        assert f"[ERROR] [{name}]: process has died [pid " in launched.output


def test_a_processes_that_obeys_nothing_is_killed_after_both_timeouts(tmp_path: Path) -> None:
    launched = Launched(tmp_path, [STUBBORN.format(ignored="(signal.SIGINT, signal.SIGTERM)"), OBEDIENT])
    launched.send_signal(signal.SIGTERM)
    assert launched.end() == 0
    steps = (
        "[p0-1] got SIGINT",
        "process[p0-1] failed to terminate '0.4' seconds after receiving 'SIGINT', escalating to 'SIGTERM'",
        "[p0-1] got SIGTERM",
        "process[p0-1] failed to terminate '0.8' seconds after receiving 'SIGTERM', escalating to 'SIGKILL'",
        "exit code -9",
    )
    positions = [launched.output.find(step) for step in steps]
    assert -1 not in positions, launched.output
    assert positions == sorted(positions)
    assert launched.output.count("escalating") == 2


def test_ctrl_c_in_a_terminal_reaches_a_process_once(tmp_path: Path) -> None:
    launched = Launched(tmp_path, [STUBBORN.format(ignored="(signal.SIGINT,)")])
    launched.send_signal(signal.SIGINT, whole_group=True)
    launched.send_signal(signal.SIGINT, whole_group=True)
    assert launched.end() == 0
    assert launched.output.count("[p0-1] got SIGINT") == 1
    assert launched.output.count("user interrupted with ctrl-c (SIGINT)") >= 1


def test_what_a_process_started_is_stopped_too(tmp_path: Path) -> None:
    launched = Launched(tmp_path, [CARELESS])
    assert len(launched.survivors()) == 3
    launched.send_signal(signal.SIGTERM)
    assert launched.end() == 0


def test_a_process_that_ends_takes_what_it_started_with_it(tmp_path: Path) -> None:
    launched = Launched(tmp_path, [CARELESS.replace("time.sleep(120)", "time.sleep(0.2)")])
    assert launched.end() == 0


def test_a_respawned_process_stays_down_after_a_signal(tmp_path: Path) -> None:
    launched = Launched(tmp_path, ["print('up', flush=True)\n"], options="respawn=True, respawn_delay=0.1")
    launched.wait_for(lambda: launched.output.count("process started") >= 3, 30.0, "two respawns")
    launched.send_signal(signal.SIGINT)
    assert launched.end() == 0


def test_a_required_process_that_dies_ends_the_others(tmp_path: Path) -> None:
    dying = "import sys, time\nprint('up', flush=True)\ntime.sleep(0.5)\nsys.exit(5)\n"
    launched = Launched(tmp_path, [dying, OBEDIENT], options="on_exit=Shutdown()")
    assert launched.end() == 0
    assert "exit code 5" in launched.output
    assert "was required: shutting down launched system" in launched.output
