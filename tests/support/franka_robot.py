"""franky-sim's robot in a process of its own, with what it lacks: faults on demand, and a record of all commands.

    python -m support.franka_robot ADDRESS RECORD

Lines on stdin: ``reflex`` ends the motion with cartesian_reflex, until the client recovers; ``pressed`` and
``released`` act the stop button; ``block WIDTH`` keeps the fingers from closing further (m), ``free`` lets them.
Every joint command is written to RECORD as it came: the number of the state it answers and seven doubles.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from support.waiting import wait_until

RECORD = np.dtype([("state", "<u8"), ("joints", "<f8", 7)])
START = (0.0, -0.55, 0.0, -2.35, 0.0, 1.80, 0.785)
_CARTESIAN_REFLEX = 7  # of libfranka's 41 errors, in the order of the protocol


def free_address() -> str:
    """Return an address of the loopback where nobody listens on the robot's port."""
    rng = np.random.default_rng()
    for _ in range(100):
        address = "127.{}.{}.{}".format(*rng.integers(1, 255, 3))
        with socket.socket() as probe:
            try:
                probe.bind((address, 1337))
            except OSError:
                continue
            return address
    raise RuntimeError("no address of the loopback is free")


class SimulatedRobot:
    """The process, for a ``with``."""

    def __init__(self, folder: Path) -> None:
        self.address = free_address()
        self._record, self._log = folder / "commands.bin", folder / "robot.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "support.franka_robot", self.address, str(self._record)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[1],
                text=True,
            )

    def __enter__(self) -> SimulatedRobot:
        wait_until(lambda: "listening" in self.text() or self.process.poll() is not None, 180.0, "the robot")
        assert self.process.poll() is None, self.text()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def text(self) -> str:
        """What it said."""
        return self._log.read_text(errors="replace")

    def tell(self, line: str) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def commands(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the states that were answered (n,), in ms, and the commands (n, 7) in rad."""
        data = self._record.read_bytes() if self._record.exists() else b""
        table = np.frombuffer(data, RECORD, len(data) // RECORD.itemsize)
        return table["state"].astype(float), table["joints"]


def serve(address: str, record: Path) -> None:
    """Run the robot until the process is killed."""
    from franky_sim import simulation_server
    from franky_sim.franka_robot_protocol import (
        AutomaticErrorRecoveryCommand,
        MoveStatus,
        RobotCommand,
        RobotMode,
        UDPCommand,
    )
    from franky_sim.franka_robot_server import FrankaRobotServer
    from franky_sim.franka_server import BaseCommand
    from franky_sim.mujoco_simulator import FrankaMujocoRobot, MujocoSimulator

    output = record.open("wb", buffering=0)
    wishes: list[str] = []

    class Robot(FrankaRobotServer):  # type: ignore[misc, unused-ignore]
        """The robot's end of the protocol, with faults."""

        mode: Any = None

        def _pre_process_commands(self) -> None:
            super()._pre_process_commands()
            while wishes:
                self.obey(wishes.pop(0))

        def obey(self, wish: str) -> None:
            words = wish.split()
            self.mode = {"reflex": RobotMode.kReflex, "pressed": RobotMode.kUserStopped}.get(words[0], self.mode)
            if words[0] == "released":
                self.mode = None
            elif words[0] == "block":
                Hand.least = float(words[1])
            elif words[0] == "free":
                Hand.least = 0.0
            elif self.current_motion_id:
                motion = self.current_motion_id
                self.stop_motion(send_preemption_signal=False)
                self.reset_current_motion_id()
                BaseCommand.send_response(self._tcp_socket, RobotCommand.kMove, motion, MoveStatus.kReflexAborted)

        def _handle_udp_command(self, command_data: bytes) -> None:
            command = UDPCommand.from_bytes(command_data)
            if command.message_id > 0:
                output.write(np.array((command.message_id, command.q_c), RECORD).tobytes())
            super()._handle_udp_command(command_data)

        def _get_state_bytes(self) -> bytes:
            state = self.robot_state
            if self.mode is not None:
                failed = self.mode is RobotMode.kReflex
                errors = tuple(failed and index == _CARTESIAN_REFLEX for index in range(41))
                state = state.replace(robot_mode=self.mode, errors=errors, reflex_reason=errors)
            packed: bytes = state.pack_state()
            return packed

    class Hand(FrankaMujocoRobot):  # type: ignore[misc, unused-ignore]
        """Fingers that something may be between."""

        least = 0.0
        _hand_goal_width: float

        def _pre_step(self) -> None:
            wanted = self._hand_goal_width
            self._hand_goal_width = max(wanted, Hand.least)
            super()._pre_step()
            self._hand_goal_width = wanted

    recover = AutomaticErrorRecoveryCommand.handle

    def recovering(self: Any, server: Robot) -> None:
        server.mode = None if server.mode is RobotMode.kReflex else server.mode
        recover(self, server)

    AutomaticErrorRecoveryCommand.handle = recovering
    simulation_server.FrankaRobotServer = Robot
    from franky_sim import mujoco_simulator

    mujoco_simulator.FrankaMujocoRobot = Hand
    with MujocoSimulator() as simulator:
        simulator.add_robot(initial_q=START)
        with simulation_server.SimulationServer(simulator, [address]) as server:
            threading.Thread(target=lambda: wishes.extend(iter(sys.stdin.readline, "")), daemon=True).start()
            print("listening", flush=True)
            server.run_forever()


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
