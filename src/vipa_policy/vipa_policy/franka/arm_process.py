"""The process that moves a Franka arm: it answers the arm's 1 kHz and does nothing else.

    python -m vipa_policy.franka.arm_process DESCRIPTOR      (started by ``child.Child``, not by hand)

It connects and goes on trying; sets load, thresholds and stiffness; tells what it measures; follows targets within the
limits of ``follower``; stops when targets stop coming or its parent goes; and after an error waits to be asked before
it recovers. Guarded by tests/unit/test_franka_process.py and tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import enum
import signal
import socket
import sys
import time
from collections.abc import Callable

from vipa_policy.errors import ArmError
from vipa_policy.franka import realtime
from vipa_policy.franka.arm_robot import FrankaRobot, Robot, RobotState, RobotStopped
from vipa_policy.franka.follower import Follower, Motion, Target
from vipa_policy.franka.frames import ArmState, Note
from vipa_policy.franka.limits import JOINTS
from vipa_policy.franka.link import Link
from vipa_policy.franka.settings import ArmSettings, arm_from_json

# More periods than this between two states, and the arm has ended the motion itself.
MOST_PERIODS = 20
# s of wall time in which the parent must send the settings.
SETTING = 10.0


class Readiness(enum.IntEnum):
    """As vipa_msgs/DriverStatus has it."""

    READY = 0
    FAULT = 1
    UNAVAILABLE = 2


# Robot modes in which a person must act first, and what to do.
UNAVAILABLE_MODES = {
    "UserStopped": "the stop button is pressed or the brakes are closed: release it and unlock the joints in Desk",
    "Guiding": "the arm is guided by hand: let go of the guiding button",
    "Other": "the arm is in a mode that takes no commands: switch to execution and activate FCI in Desk",
}
FAULT_MODES = ("Reflex", "AutomaticErrorRecovery")
# States in which the arm must have left its fault after a recovery.
SETTLING = 500


def names_of(errors: object) -> str:
    """Return libfranka's names of errors with commas between, "" where there are none."""
    return str(errors).strip("[]").replace('"', "")


class ArmProcess:
    """Serves one arm.

    Args:
        link: to the parent.
        connect: connects to the arm. Raises ArmError where that fails.
        settings: of the arm.
        clock: monotonic, s.
    """

    def __init__(
        self,
        link: Link,
        connect: Callable[[ArmSettings], Robot],
        settings: ArmSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._connect = connect
        self._settings = settings
        self._clock = clock
        self._robot: Robot | None = None
        self._follower = Follower(settings.follower, (0.0,) * JOINTS, 0)
        self._epoch = 0
        self._readiness, self._reason = Readiness.UNAVAILABLE, "not connected yet"
        self._fault = ""
        self._prepared = False
        self._missed = self._refused = 0
        self._until_state = 0
        self._longest = 0.0
        self.ending = ""

    def run(self) -> None:
        """Serve until the parent goes or ``ending`` is set."""
        while not self._ended():
            try:
                self._robot = self._connect(self._settings)
                self._describe(self._robot.read())
                self._serve(self._robot)
            except ArmError as error:
                self._lose(str(error))
        self._tell(Readiness.UNAVAILABLE, f"the driver's process has ended: {self.ending}")

    def _ended(self) -> bool:
        if self._link.closed:
            self.ending = self.ending or "its parent has gone"
        return bool(self.ending)

    def _lose(self, reason: str) -> None:
        """Wait a little, with words, before connecting anew."""
        self._robot, self._prepared = None, False
        self._begin_epoch()
        self._tell(Readiness.UNAVAILABLE, f"no connection to {self._settings.address}: {reason}")
        deadline = self._clock() + self._settings.retry
        while not self._ended() and (left := deadline - self._clock()) > 0.0:
            self._link.wait(left)
            for frame in self._link.frames():
                if isinstance(frame, Note) and frame.kind == "recover":
                    self._answer_recovery(f"there is no connection to {self._settings.address}")

    def _describe(self, state: RobotState) -> None:
        """Tell what the arm says of itself: a base to check one's own kinematics with."""
        names = ("q", "O_T_EE", "F_T_EE", "EE_T_K")
        self._link.send(Note("robot", {name: list(getattr(state, name)) for name in names}))

    def _serve(self, robot: Robot) -> None:
        """Read states, without commanding, until a target comes."""
        self._begin_epoch()
        while not self._ended():
            state = robot.read()
            self._judge(robot, state)
            self._follower = Follower(self._settings.follower, state.q_d, self._epoch)
            self._report(state, controlled=False)
            target = self._hear()
            if target is not None and self._readiness is Readiness.READY:
                if self._offer(target):
                    self._move(robot, target)
            elif target is not None:
                self._refuse(f"the arm takes none: {self._reason}")

    def _judge(self, robot: Robot, state: RobotState) -> None:
        """Find out whether the arm takes commands, and set it up as soon as it does."""
        mode = state.robot_mode.name
        errors = names_of(state.current_errors)
        if mode in UNAVAILABLE_MODES:
            self._tell(Readiness.UNAVAILABLE, UNAVAILABLE_MODES[mode])
            return
        if not self._fault and (mode in FAULT_MODES or errors):
            self._begin_fault(f"{mode}: {errors}" if errors else mode)
        if self._fault:
            self._tell(Readiness.FAULT, self._fault)
            return
        if not self._prepared:
            try:
                robot.prepare()
            except RobotStopped as error:
                self._begin_fault(f"load, thresholds and stiffness could not be set: {error}")
                return
            self._prepared = True
        self._tell(Readiness.READY, "")

    def _move(self, robot: Robot, target: Target) -> None:
        """Answer the arm's states until it has stood for a while, stops by itself, or this process ends."""
        try:
            state = robot.begin()
            self._follower = Follower(self._settings.follower, state.q_d, self._epoch)
            self._offer(target)
            self._answer(robot, state)
        except RobotStopped as error:
            self._begin_fault(str(error))

    def _answer(self, robot: Robot, state: RobotState) -> None:
        periods, standing = 1, 0
        follower, settings = self._follower, self._settings
        patience = round(1000.0 * settings.release)
        said = ""
        while True:
            began = time.perf_counter()
            heard = self._hear()
            if heard is not None:
                self._offer(heard)
            if self._ended():
                follower.stop(self.ending)
            command = follower.step(self._clock(), periods)
            standing = standing + periods if follower.motion is Motion.STANDING else 0
            last = standing > patience or (standing > 0 and self._ended())
            robot.command(command, last)
            self._longest = max(self._longest, time.perf_counter() - began)
            if follower.reason != said:
                said = follower.reason
                if said:
                    self._link.send(Note("stopping", {"reason": said, "speed": follower.stopped_at}))
            self._report(state, controlled=not last)
            if last:
                return
            state, periods = robot.next()
            if periods > 1:
                self._missed += periods - 1
                periods = min(periods, MOST_PERIODS)

    def _hear(self) -> Target | None:
        """Return the newest target that came; do what else was asked for."""
        target: Target | None = None
        for frame in self._link.frames():
            if isinstance(frame, Target):
                if target is not None:
                    self._follower.offer(target, self._clock())
                target = frame
            elif isinstance(frame, Note):
                self._obey(frame)
        return target

    def _obey(self, note: Note) -> None:
        if note.kind == "stop":
            self._follower.stop(str(note.values.get("reason", "asked to stop")))
        elif note.kind == "recover":
            self._recover()
        elif note.kind == "end":
            self.ending = str(note.values.get("reason", "asked to end"))

    def _recover(self) -> None:
        if self._robot is None or not self._fault or self._readiness is Readiness.UNAVAILABLE:
            self._answer_recovery("" if self._readiness is Readiness.READY else self._reason)
            return
        try:
            self._robot.recover()
        except RobotStopped as error:
            self._fault = f"{self._fault}; recovery failed: {error}"
            self._answer_recovery(self._fault)
            return
        self._fault, self._prepared = "", False
        self._begin_epoch()
        self._settle(self._robot)
        self._answer_recovery("")

    def _settle(self, robot: Robot) -> None:
        """Let states pass that were made before the recovery."""
        for _ in range(SETTLING):
            state = robot.read()
            if state.robot_mode.name not in FAULT_MODES and not names_of(state.current_errors):
                return

    def _answer_recovery(self, problem: str) -> None:
        self._link.send(Note("recovered", {"problem": problem}))

    def _begin_fault(self, reason: str) -> None:
        self._fault = reason
        self._begin_epoch()
        self._tell(Readiness.FAULT, reason)

    def _begin_epoch(self) -> None:
        """Targets that were made for what was before are refused from now on."""
        self._epoch += 1

    def _offer(self, target: Target) -> bool:
        refusal = self._follower.offer(target, self._clock())
        if refusal:
            self._refuse(refusal)
        return not refusal

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        self._link.send(Note("refused", {"reason": reason}))

    def _tell(self, readiness: Readiness, reason: str) -> None:
        if (readiness, reason) != (self._readiness, self._reason):
            self._readiness, self._reason = readiness, reason
            self._link.send(Note("status", {"readiness": int(readiness), "reason": reason}))

    def _report(self, state: RobotState, controlled: bool) -> None:
        self._until_state -= 1
        if self._until_state > 0:
            return
        self._until_state = self._settings.state_period
        follower, now = self._follower, self._clock()
        self._link.send(
            ArmState(
                stamp=now,
                readiness=int(self._readiness),
                motion=int(follower.motion),
                controlled=int(controlled),
                epoch=self._epoch,
                age=follower.age(now),
                success_rate=state.control_command_success_rate,
                joints=tuple(state.q),
                velocities=tuple(state.dq),
                commanded=follower.position,
                wrench=tuple(state.K_F_ext_hat_K),
                missed=self._missed,
                refused=self._refused,
                longest=self._longest,
            )
        )
        self._longest = 0.0


def first_note(link: Link) -> Note:
    """Return the parent's first note, the settings. Raises ArmError where none comes."""
    deadline = time.monotonic() + SETTING
    while not link.closed and (left := deadline - time.monotonic()) > 0.0:
        link.wait(left)
        frame = link.receive()
        if isinstance(frame, Note) and frame.kind == "settings":
            return frame
    raise ArmError("expected settings from the process that started this one, got none")


def main(arguments: list[str]) -> int:
    """Serve the arm over the socket whose descriptor is the one argument."""
    link = Link(socket.socket(fileno=int(arguments[0])))
    try:
        process = ArmProcess(link, FrankaRobot, arm_from_json(first_note(link).values))
    except ArmError as error:
        print(error, file=sys.stderr)
        return 1

    def end(number: int, frame: object) -> None:
        process.ending = f"received {signal.Signals(number).name}"

    # Ctrl-C reaches every process of a terminal; the parent is who decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    for denied in realtime.prepare():
        link.send(Note("warning", {"text": denied}))
    process.run()
    link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
