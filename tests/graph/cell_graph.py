"""What the graph tests of the cell share: a process under test and an observer of what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

RELIABLE = QoSProfile(depth=1000)
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE)
PATIENCE = 60.0


def environment(domain: int) -> dict[str, str]:
    """Environment of a node under test: its own domain, loopback only."""
    return {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "PYTHONUNBUFFERED": "1",
    }


class NodeProcess:
    """A node of ours in a process of its own, its output in a file."""

    def __init__(
        self, module: str, parameters: dict[str, object], domain: int, log: Path, extra: dict[str, str] | None = None
    ) -> None:
        arguments = [f"{name}:={value}" for name, value in parameters.items()]
        options = [word for argument in arguments for word in ("-p", argument)]
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *(["--ros-args", *options] if options else [])],
                env={**environment(domain), **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to end; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


class Observer:
    """A node in the test's own process that keeps what it hears."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("observer", context=self.context)
        self.executor = EventsExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._listening: list[Any] = []

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.executor.remove_node(self.node)
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def listen(self, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> list[Any]:
        """Keep all that comes on a topic; returns the growing list."""
        heard: list[Any] = []
        self._listening.append(self.node.create_subscription(kind, topic, heard.append, qos))
        return heard

    def listening(self) -> int:
        """How many topics are listened to, for ``forget``."""
        return len(self._listening)

    def forget(self, count: int) -> None:
        """Listen to the first ``count`` topics only; a busy observer falls behind."""
        while len(self._listening) > count:
            self.node.destroy_subscription(self._listening.pop())

    def wait(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def call(self, kind: type, name: str, request: Any) -> Any:
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f"service {name}")
        return self.complete(client.call_async(request), name)

    def complete(self, future: Any, what: str) -> Any:
        self.wait(future.done, what)
        return future.result()


def stamps(messages: Sequence[Any]) -> list[int]:
    """Stamps in ns of messages with headers."""
    return [message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec for message in messages]
