"""What becomes of a lifecycle node whose transition raises: it says so, and can be told to try again."""

from __future__ import annotations

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
