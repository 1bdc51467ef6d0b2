"""What the lifecycle nodes share: they start themselves, tell their health and errors, and end in good order.

Guarded by tests/graph/test_managed_node.py.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.executors import Executor
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from vipa_policy.nodes.diagnostics import Diagnostics
from vipa_policy.nodes.lifetime import Lifetime
from vipa_policy.nodes.parameters import FREE, Declaration, declare

AUTOSTART: Declaration = ("autostart", True, "configure and activate without a manager", FREE)
TRANSITIONS = ("on_configure", "on_activate", "on_deactivate", "on_cleanup", "on_shutdown", "on_error")
# How long a node may take to come to rest after it was asked to end, s of wall time.
FINISHING = 1.5
LOOKING = 0.1  # s of wall time between two looks at the lifetime
SPINNING = 3600.0  # s of one spin


class ManagedNode(LifecycleNode):
    """A lifecycle node with the parameter ``autostart`` and with diagnostics."""

    def __init__(self, name: str, declarations: tuple[Declaration, ...], **options: Any) -> None:
        for transition in TRANSITIONS:
            setattr(self, transition, self._telling(transition))
        super().__init__(name, **options)
        self.declarations = (AUTOSTART, *declarations)
        declare(self, self.declarations)
        self.diagnostics = Diagnostics(self, self.diagnostic_values)

    def start(self) -> None:
        """Configure and activate, where ``autostart`` says so; a failure leaves the node up and unconfigured."""
        if not self.get_parameter("autostart").value:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def diagnostic_values(self) -> Mapping[str, str]:
        """Key-value pairs for the diagnostics."""
        return {}

    def begin_finish(self, reason: str) -> None:
        """Start to end, for instance by braking."""

    def finished(self) -> bool:
        """Whether the node may be destroyed now."""
        return True

    def _telling(self, transition: str) -> Callable[[LifecycleState], TransitionCallbackReturn]:
        """Return the callback of a transition with its exceptions told, which rclpy drops without a word."""
        callback: Callable[[LifecycleState], TransitionCallbackReturn] = getattr(self, transition)

        @wraps(callback)
        def told(state: LifecycleState) -> TransitionCallbackReturn:
            try:
                return callback(state)
            except Exception as error:  # noqa: BLE001 - whatever it is, told is better than lost
                self.get_logger().error(f"{transition} failed: {traceback.format_exc()}")
                self.diagnostics.report(DiagnosticStatus.ERROR, f"{transition} failed: {error!r}")
                return TransitionCallbackReturn.ERROR

        return told

    @property
    def now(self) -> float:
        """The node's ROS clock in s."""
        return self.get_clock().now().nanoseconds * 1e-9


def run(make_node: Callable[[], ManagedNode], arguments: list[str] | None = None) -> int:
    """Run a node until SIGINT, SIGTERM or the end of its launcher; returns the exit code 0.

    EventsExecutor: at 200 Hz of joint states and TF it needs half the processor time of the default executor.
    """
    lifetime = Lifetime()
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    executor = EventsExecutor()
    try:
        node = make_node()
        executor.add_node(node)
        node.start()
        # What was loaded stays. Looking through it for garbage again would stop a node for 0.03 s, with torch 0.2 s.
        gc.collect()
        gc.freeze()
        _spin_until_ended(node, executor, lifetime)
        node.get_logger().info(f"ending: {lifetime.reason}")
        node.begin_finish(lifetime.reason)
        _spin_until_finished(node, executor)
        executor.remove_node(node)
        node.destroy_node()
    finally:
        executor.shutdown()
        rclpy.try_shutdown()
        lifetime.restore()
    return 0


def _spin_until_ended(node: ManagedNode, executor: Executor, lifetime: Lifetime) -> None:
    """Spin for long spells: a spin for each event costs a quarter more, and rclpy loses 32 bytes with every spin.

    A spin without an end would let no timer through (rclpy 7.1).
    """
    ended: Future = Future()

    def look() -> None:
        if lifetime.ended and not ended.done():
            ended.set_result(None)

    timer = node.create_timer(LOOKING, look, clock=Clock(clock_type=ClockType.STEADY_TIME))
    while not lifetime.ended:
        executor.spin_until_future_complete(ended, SPINNING)
    node.destroy_timer(timer)


def _spin_until_finished(node: ManagedNode, executor: Executor) -> None:
    # Wall time: the node's own clock may stand still.
    deadline = time.monotonic() + FINISHING
    while not node.finished() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.02)
