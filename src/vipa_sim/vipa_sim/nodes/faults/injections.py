"""What each fault of the table does to the running graph, and how it is undone: the single place for both.

Every injection is prepared while all is well, strikes at an instant of simulated time, and is lifted.
Guarded by tests/graph/test_fault_graph.py.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node
from std_msgs.msg import Empty, String

from vipa_msgs.msg import DriverStatus
from vipa_msgs.srv import InjectFault
from vipa_sim.nodes.cell_client import CellClient
from vipa_sim.nodes.faults.monitor import Monitor
from vipa_sim.nodes.faults.nuisance import GO, GO_QOS
from vipa_sim.nodes.faults.processes import FaultGraph, NodeProcess, nuisance
from vipa_sim.nodes.faults.relays import (
    CHUNK,
    COLOUR,
    DEPTH,
    JOINTS,
    PICTURES,
    TARGET,
    TF,
    Gate,
    Relays,
    displacing,
    drop,
    losing,
    shifting,
)

# s of wall time that a process may take until it disturbs.
DISTURBING = 60.0
SHOULDER = "fr3_link1"
TF_JUMP = (0.0, 0.15, 0.0)
AHEAD, BACK = 2.0, -5.0
ASIDE = 0.2
CHUNKS_LOST, OTHERS_LOST = 0.3, 0.05
LOSS_SEED = 5


@dataclass
class Stage:
    """All that an injection may reach for."""

    node: Node
    graph: FaultGraph
    relays: Relays
    monitor: Monitor
    client: CellClient
    folder: Path
    words: str = ""
    """In force when the fault strikes."""
    others: tuple[str, ...] = ()
    """Words that a flood puts between."""


class Injection:
    """One fault's doing; the base does nothing."""

    def prepare(self, stage: Stage) -> None:
        """Get ready; nothing is disturbed yet."""

    def strike(self, stage: Stage) -> None:
        """Begin; returns when the fault is there."""

    def lift(self, stage: Stage) -> None:
        """End it; returns when it is gone."""

    @property
    def fades(self) -> bool:
        """Whether the fault is gone some time before that is known: the arm may go on from when it is lifted."""
        return False

    def clean(self, stage: Stage) -> None:
        """Let go of what was prepared, whatever came in between."""


@dataclass
class Gated(Injection):
    """Puts gates into relays right after a picture: the longest that a loss can go unnoticed."""

    gates: Mapping[str, Gate]

    def strike(self, stage: Stage) -> None:
        """Wait for a picture, then close."""
        _wait_for_picture(stage)
        for topic, gate in self.gates.items():
            stage.relays[topic].gate = gate

    def lift(self, stage: Stage) -> None:
        """Open."""
        for topic in self.gates:
            stage.relays[topic].open()


class Frozen(Injection):
    """Repeats the last picture."""

    def strike(self, stage: Stage) -> None:
        """Wait for a whole picture, then repeat it."""
        _wait_for_picture(stage)
        for topic in (COLOUR, DEPTH):
            stage.relays[topic].freeze()

    def lift(self, stage: Stage) -> None:
        """Show what comes again."""
        for topic in (COLOUR, DEPTH):
            stage.relays[topic].open()


@dataclass
class ClockJump(Injection):
    """Sets the clock ahead (s), or back where negative."""

    seconds: float

    def strike(self, stage: Stage) -> None:
        """Jump."""
        stage.relays.jump(self.seconds)

    def lift(self, stage: Stage) -> None:
        """Jump back to the truth."""
        stage.relays.jump(0.0)


@dataclass
class Suspended(Injection):
    """Stops a process as a debugger would, and lets it go on."""

    process: Callable[[FaultGraph], NodeProcess]

    def strike(self, stage: Stage) -> None:
        """Stop it."""
        self.process(stage.graph).signal(signal.SIGSTOP)

    def lift(self, stage: Stage) -> None:
        """Let it go on."""
        self.process(stage.graph).signal(signal.SIGCONT)


@dataclass
class Ended(Injection):
    """Ends a process by a signal; it is started again when the fault is lifted."""

    process: Callable[[FaultGraph], NodeProcess]
    number: signal.Signals

    def strike(self, stage: Stage) -> None:
        """Send the signal."""
        self.process(stage.graph).signal(self.number)

    def lift(self, stage: Stage) -> None:
        """Start it again."""
        process = self.process(stage.graph)
        # Relays must go on meanwhile.
        stage.client.wait_for(lambda: not process.runs, f"the end of {process.name}", DISTURBING)
        process.start()


class Disturbed(Injection):
    """Has another process disturb the graph."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._process: NodeProcess | None = None

    def prepare(self, stage: Stage) -> None:
        """Start it and wait until it listens."""
        self._process = nuisance(self._mode, (stage.words, *stage.others), stage.folder)
        self._process.start()
        self._go = stage.node.create_publisher(Empty, GO, GO_QOS)
        self._heard: list[String] = []
        self._ears = stage.node.create_subscription(String, "instruction", self._heard.append, 10)
        stage.client.wait_for(lambda: self._go.get_subscription_count() > 0, f"{self._mode} to lie in wait", DISTURBING)

    def strike(self, stage: Stage) -> None:
        """Let it loose, and wait for its first message."""
        foreign = stage.monitor.foreign
        self._heard.clear()
        self._go.publish(Empty())
        stage.client.wait_for(
            lambda: bool(self._heard) or stage.monitor.foreign > foreign, f"{self._mode} to speak", DISTURBING
        )

    def lift(self, stage: Stage) -> None:
        """End a rival; wait for a flood to end by itself."""
        process = self._process
        assert process is not None
        if self._mode == "rival":
            process.signal(signal.SIGINT)
        stage.client.wait_for(lambda: not process.runs, f"the end of the {self._mode}", DISTURBING)

    @property
    def fades(self) -> bool:
        """A rival leaves the topic before its process ends; of a flood, the end counts."""
        return self._mode == "rival"

    def clean(self, stage: Stage) -> None:
        """End the process, let go of the rest."""
        if self._process is not None:
            self._process.stop()
            stage.node.destroy_publisher(self._go)
            stage.node.destroy_subscription(self._ears)


class Rejecting(Injection):
    """Gives the driver a fault that it reports; a person clears it."""

    def strike(self, stage: Stage) -> None:
        """Let it reject."""
        client = stage.node.create_client(InjectFault, "cell/inject_fault")
        stage.client.wait_for(client.service_is_ready, "the cell's faults", DISTURBING)
        reason = "the controller rejected a target"
        client.call_async(InjectFault.Request(state=DriverStatus.FAULT, reason=reason))
        stage.client.wait_for(lambda: stage.monitor.driver == DriverStatus.FAULT, "the driver's fault", DISTURBING)
        stage.node.destroy_client(client)


def _wait_for_picture(stage: Stage) -> None:
    passed = stage.relays[DEPTH].passed
    stage.client.wait_for(lambda: stage.relays[DEPTH].passed > passed, "a picture", DISTURBING)


def _losses() -> dict[str, Gate]:
    generator = random.Random(LOSS_SEED)
    shares = {CHUNK: CHUNKS_LOST, **dict.fromkeys((*PICTURES, TF, JOINTS), OTHERS_LOST)}
    return {topic: losing(share, generator) for topic, share in shares.items()}


INJECTIONS: Mapping[str, Callable[[], Injection]] = {
    "camera_dies": lambda: Gated(dict.fromkeys(PICTURES, drop)),
    "camera_freezes": Frozen,
    "depth_stops": lambda: Gated({DEPTH: drop}),
    "tf_stops": lambda: Gated({TF: drop}),
    "tf_jumps": lambda: Gated({TF: shifting(SHOULDER, TF_JUMP)}),
    "clock_jumps_ahead": lambda: ClockJump(AHEAD),
    "clock_jumps_back": lambda: ClockJump(BACK),
    "policy_hangs": lambda: Suspended(lambda graph: graph.policy),
    "policy_killed": lambda: Ended(lambda graph: graph.policy, signal.SIGKILL),
    "policy_restarted": lambda: Ended(lambda graph: graph.policy, signal.SIGTERM),
    "arm_killed": lambda: Ended(lambda graph: graph.arm, signal.SIGKILL),
    "arm_restarted": lambda: Ended(lambda graph: graph.arm, signal.SIGTERM),
    "controller_rejects": Rejecting,
    "controller_ignores": lambda: Gated({TARGET: displacing(ASIDE)}),
    "two_publishers": lambda: Disturbed("rival"),
    "instruction_flood": lambda: Disturbed("flood"),
    "traffic_loss": lambda: Gated(_losses()),
}
"""By the name of the fault in ``vipa_sim.faults.table``."""
