"""What the lifecycle nodes share: a transition that raises is told and can be tried again; rest costs no memory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vipa_policy.nodes.managed import ManagedNode

pytestmark = pytest.mark.graph


class Fragile(ManagedNode):
    """Cannot do what ``broken`` names."""

    broken = ""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._try("on_configure")

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._try("on_activate")

    def _try(self, what: str) -> TransitionCallbackReturn:
        if what == self.broken:
            raise OSError(f"{what} found no library")
        return TransitionCallbackReturn.SUCCESS


@pytest.fixture
def context(ros_domain_id: int) -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made, domain_id=ros_domain_id)
    yield made
    rclpy.shutdown(context=made)


@pytest.mark.parametrize("broken", ["on_configure", "on_activate"])
def test_an_exception_in_a_transition_is_told(broken: str, context: Context, capfd: pytest.CaptureFixture[str]) -> None:
    node = Fragile("fragile", (), context=context)
    listener = rclpy.create_node("listener", context=context)
    heard: list[DiagnosticStatus] = []
    listener.create_subscription(DiagnosticArray, "diagnostics", lambda array: heard.extend(array.status), 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    executor.add_node(listener)
    node.broken = broken
    node.start()
    said = capfd.readouterr().err
    assert f"{broken} failed" in said
    assert f"OSError: {broken} found no library" in said
    assert "in _try" in said  # where
    deadline = time.monotonic() + 30.0
    while not any(status.level == DiagnosticStatus.ERROR for status in heard):
        assert time.monotonic() < deadline, heard
        executor.spin_once(timeout_sec=0.1)
    assert broken in heard[-1].message
    node.broken = ""
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    executor.shutdown()
    node.destroy_node()
    listener.destroy_node()


# A node with nothing to do, whose lifetime is looked at LOOKS times as fast as can be.
AT_REST = """
import re
from pathlib import Path
from vipa_policy.nodes import managed

class Counted(managed.Lifetime):
    looks = 0

    @property
    def ended(self):
        self.looks += 1
        if self.looks in (LOOKS // 4, LOOKS):
            print(re.search(r"Anonymous: +([0-9]+)", Path("/proc/self/smaps_rollup").read_text())[1])
        if self.looks == LOOKS:
            self.end("looked often enough")
        return super().ended

managed.Lifetime, managed.LOOKING = Counted, 0.0002
managed.run(lambda: managed.ManagedNode("at_rest", ()))
"""
LOOKS = 16000


def test_a_node_at_rest_does_not_grow(graph_environment: dict[str, str]) -> None:
    """rclpy's spin_until_future_complete loses 32 bytes a call: with a call for each look, 384 KB here."""
    script = AT_REST.replace("LOOKS", str(LOOKS))
    done = subprocess.run(
        ["python", "-c", script], env=graph_environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    early, late = (int(line) for line in done.stdout.split())
    assert late - early < 100, "kB"
