"""The process that moves a Franka Hand: its commands block, so it is nobody else's.

    python -m vipa_policy.franka.hand_process DESCRIPTOR      (started by ``child.Child``, not by hand)

Guarded by tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import signal
import socket
import sys
import time

from vipa_policy.errors import ArmError
from vipa_policy.franka.arm_process import first_note
from vipa_policy.franka.arm_robot import RobotStopped
from vipa_policy.franka.frames import HandOrder, HandState, Note
from vipa_policy.franka.hand_robot import FrankaHand
from vipa_policy.franka.link import Link
from vipa_policy.franka.settings import HandSettings, hand_from_json

REPORTING = 0.02  # s between two states that are sent
LOOKING = 0.2  # s between two looks at the twin


class HandProcess:
    """Serves one hand: a goal at a time, to its end.

    Args:
        link: to the parent.
        settings: of the hand.
    """

    def __init__(self, link: Link, settings: HandSettings) -> None:
        self._link = link
        self._settings = settings
        self._reported = 0.0

    def run(self) -> None:
        """Serve until the parent goes."""
        while not self._link.closed:
            try:
                hand = FrankaHand(self._settings)
            except ArmError as error:
                self._lose(str(error))
                continue
            try:
                self._serve(hand)
            except ArmError as error:
                self._lose(str(error))
            finally:
                hand.end()

    def _serve(self, hand: FrankaHand) -> None:
        if self._settings.homing:
            hand.home()
        hand.begin_reading(self._report)
        self._link.send(Note("hand", {"problem": ""}))
        while not self._link.closed:
            if not hand.reading:
                raise ArmError("the hand no longer tells its state")
            self._link.wait(LOOKING)
            for frame in self._link.frames():
                if isinstance(frame, HandOrder):
                    self._link.send(self._execute(hand, frame))

    def _execute(self, hand: FrankaHand, order: HandOrder) -> Note:
        try:
            return Note("done", {"number": order.number, "done": hand.execute(order), "problem": ""})
        except RobotStopped as error:
            return Note("done", {"number": order.number, "done": False, "problem": str(error)})

    def _report(self, width: float, maximum: float, grasped: bool) -> bool:
        """Called in the twin, for every state of the hand."""
        now = time.monotonic()
        if now - self._reported >= REPORTING:
            self._reported = now
            self._link.send(HandState(now, width, maximum, grasped))
        return not self._link.closed

    def _lose(self, reason: str) -> None:
        self._link.send(Note("hand", {"problem": f"no hand at {self._settings.address}: {reason}"}))
        deadline = time.monotonic() + self._settings.retry
        while not self._link.closed and (left := deadline - time.monotonic()) > 0.0:
            self._link.wait(left)
            for frame in self._link.frames():
                if isinstance(frame, HandOrder):
                    problem = {"number": frame.number, "done": False, "problem": "there is no hand"}
                    self._link.send(Note("done", problem))


def main(arguments: list[str]) -> int:
    """Serve the hand over the socket whose descriptor is the one argument."""
    link = Link(socket.socket(fileno=int(arguments[0])))
    # Ctrl-C reaches every process of a terminal; the parent is who decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        settings = hand_from_json(first_note(link).values)
    except ArmError as error:
        print(error, file=sys.stderr)
        return 1
    HandProcess(link, settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
