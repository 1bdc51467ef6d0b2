"""A graph started by ``ros2 launch`` in a process group and domain of its own, and stopped whole.

Used by the evaluation, the demo and the tests. Guarded by tests/graph/test_evaluation_graph.py.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from vipa_sim.domain_lock import lock_domain
from vipa_sim.nodes.child_process import last_lines, start_logged

# Domains above would use ports from the range that Linux hands out for outgoing connections.
FIRST_DOMAIN, LAST_DOMAIN = 50, 101
# Locks of the domains that were given last. Who was given one starts nodes in it by and by.
_given: deque[IO[str]] = deque(maxlen=8)
# A launch that was asked to stop gives its nodes 5 s for SIGINT and 5 s for SIGTERM before it kills them.
STOPPING = 20.0


class GraphError(RuntimeError):
    """The graph did not start, ended early, or did not answer; the text says what to look at."""


def free_domain() -> int:
    """Return a ROS domain that no participant of this machine uses now, and that no other process was given.

    Nodes of this process that nobody holds any more, but that await Python's garbage collector, are ended first: they
    would be met again in the domain that they were in.
    """
    gc.collect()
    candidates = list(range(FIRST_DOMAIN, LAST_DOMAIN + 1))
    random.shuffle(candidates)
    for domain in candidates:
        lock = lock_domain(domain)
        if lock is None:
            continue
        if _is_free(domain):
            _given.append(lock)
            return domain
        lock.close()
    raise GraphError(
        f"no free ROS domain between {FIRST_DOMAIN} and {LAST_DOMAIN} on this machine; stop some ROS graphs"
    )


def _is_free(domain: int) -> bool:
    """Whether the port on which a domain's first participant listens (DDSI-RTPS 9.6.1.1) is unused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", 7410 + 250 * domain))
        except OSError:
            return False
    return True


def use_domain(domain: int) -> None:
    """Put this process and its children on a domain and on the loopback; must run before ``rclpy.init``."""
    os.environ["ROS_DOMAIN_ID"] = str(domain)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


def use_image_profile() -> None:
    """Let whole pictures through Fast DDS, as the launch file does for its nodes; must run before ``rclpy.init``."""
    try:
        profile = Path(get_package_share_directory("vipa_bringup")) / "config" / "fastdds.xml"
    except PackageNotFoundError:
        return
    for variable in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        os.environ.setdefault(variable, str(profile))


class LaunchedGraph:
    """``ros2 launch PACKAGE FILE ARGUMENTS`` as a context manager; its output goes to a file."""

    def __init__(self, package: str, file: str, arguments: Sequence[str], log: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._command = ["ros2", "launch", package, file, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LaunchedGraph:
        """Start it. Raises GraphError where there is no ``ros2`` command."""
        try:
            self._process = start_logged(self._command, self.log)
        except FileNotFoundError as error:
            raise GraphError("expected the ros2 command on the PATH; run: source ros2_ws/install/setup.bash") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def check(self) -> None:
        """Raise GraphError, with the end of the log, where the launch has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise GraphError(
                f"'{' '.join(self._command)}' ended with status {self._process.returncode}; the end of {self.log}:\n"
                + self.tail()
            )

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        return "\n".join(last_lines(self.log, lines))

    def stop(self) -> int | None:
        """Ask it to end as Ctrl-C would, insist where it does not, and return its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                if process.poll() is None:
                    process.send_signal(number)
                try:
                    process.wait(STOPPING)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            # Whatever is left of the group by now has had its chance; nothing of it may outlive this process.
            self._end_group(process.pid)
            process.wait()
        return process.returncode

    def _end_group(self, group: int) -> None:
        deadline = time.monotonic() + STOPPING / 4
        while _group_lives(group) and time.monotonic() < deadline:
            time.sleep(0.05)
        if _group_lives(group):
            os.killpg(group, signal.SIGKILL)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
