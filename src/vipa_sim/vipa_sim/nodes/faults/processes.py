"""The processes of a graph under fault injection: cell, policy and arm node, each one's own, each signalled by itself.

Guarded by tests/graph/test_fault_graph.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ament_index_python.packages import get_package_prefix, get_package_share_directory

from vipa_sim.nodes.child_process import last_lines, start_logged, wait_or_kill
from vipa_sim.nodes.faults.relays import CHUNK, FROM_CELL, TARGET, remappings
from vipa_sim.nodes.launched_graph import GraphError

# s of wall time that a node may take to end in good order; the arm brakes first.
ENDING = 15.0


class NodeProcess:
    """One node in a process of its own; its output is appended to a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it. Raises GraphError where it runs, or cannot be started."""
        if self.runs:
            raise GraphError(f"{self.name} runs already")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        try:
            self._process = start_logged(self._command, self.log, append=True, environment=environment)
        except OSError as error:
            raise GraphError(f"cannot start {self.name}: {error}; is the workspace built and sourced?") from error

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Raises GraphError where it does not run."""
        if self._process is None or not self.runs:
            raise GraphError(f"{self.name} does not run; the end of {self.log}:\n{self.tail()}")
        self._process.send_signal(number)

    def wait(self) -> None:
        """Wait for its end; one that takes too long is killed."""
        if self._process is not None:
            wait_or_kill(self._process, ENDING)

    def stop(self) -> None:
        """End it in good order, stopped or not."""
        if self.runs:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGINT)
            self.wait()

    def check(self) -> None:
        """Raise GraphError, with the end of its output, where it has ended."""
        if not self.runs:
            raise GraphError(f"{self.name} has ended; the end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its output."""
        return "\n".join(last_lines(self.log, lines))


class FaultGraph:
    """Cell, policy and arm as the launch file starts them, but for the remapped topics; a context manager.

    Args:
        folder: for their output.
        factor: simulated seconds a second at most.
        policy: "vipa" for the checkpoint, "scripted" for the expert that sees the truth.

    Raises GraphError where there is no checkpoint.
    """

    def __init__(self, folder: Path, factor: float, policy: str = "vipa") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        share = Path(get_package_share_directory("vipa_bringup"))
        parameters = share / "config" / "franka.yaml"

        def node(
            name: str, executable: tuple[str, str], moved: Sequence[str], values: Mapping[str, str]
        ) -> NodeProcess:
            package, program = executable
            command = [str(Path(get_package_prefix(package)) / "lib" / package / program), "--ros-args"]
            command += ["-r", f"__node:={name}", "--params-file", str(parameters)]
            command += [word for key, value in values.items() for word in ("-p", f"{key}:={value}")]
            log = folder / f"{name}.log"
            log.unlink(missing_ok=True)
            return NodeProcess(name, [*command, *remappings(moved)], log)

        simulated = {"use_sim_time": "true"}
        pace = {"real_time_factor": f"{factor:.3f}", "held_out": "true"}
        self.cell = node("cell", ("vipa_sim", "cell_node"), [*FROM_CELL, TARGET], pace)
        if policy == "scripted":
            self.policy = node("policy", ("vipa_sim", "scripted_policy"), [CHUNK], simulated)
        else:
            checkpoint = simulated | {"checkpoint": _checkpoint(share)}
            self.policy = node("policy", ("vipa_policy", "policy_node"), [CHUNK], checkpoint)
        self.arm = node("arm", ("vipa_policy", "arm_node"), [], simulated | {"armed_at_start": "true"})

    @property
    def nodes(self) -> tuple[NodeProcess, NodeProcess, NodeProcess]:
        """All of them."""
        return self.cell, self.policy, self.arm

    def __enter__(self) -> FaultGraph:
        """Start all."""
        for process in self.nodes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all: the arm first, while there is somebody to brake for."""
        for process in reversed(self.nodes):
            process.stop()


def _checkpoint(share: Path) -> str:
    for folder in (Path("models/vipa-tiny"), share / "models" / "vipa-tiny"):
        if folder.is_dir():
            return str(folder.resolve())
    raise GraphError("expected the checkpoint models/vipa-tiny, there is none; run `make setup`")


def nuisance(mode: str, words: Sequence[str], folder: Path) -> NodeProcess:
    """Return a process that will disturb the graph once it is told to; see ``nuisance``."""
    command = [sys.executable, "-m", "vipa_sim.nodes.faults.nuisance", mode, *words]
    return NodeProcess(mode, command, folder / f"{mode}.log")
