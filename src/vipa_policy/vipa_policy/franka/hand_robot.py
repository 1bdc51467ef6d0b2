"""The Franka Hand as libfranka gives it: the single place that imports pylibfranka for the hand.

Its commands block, and the bindings hold the interpreter meanwhile: no thread of the process could read the hand's
state. So a forked twin of the connection reads, while this process commands: states come by UDP, commands go by TCP.
Guarded by tests/graph/test_franka_node.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NoReturn

from vipa_policy.franka.arm_robot import RobotGone, RobotStopped, error_classes, library
from vipa_policy.franka.frames import HandOrder
from vipa_policy.franka.settings import HandSettings


class FrankaHand:
    """A hand at an address.

    Args:
        settings: of the hand.

    Raises ArmError where pylibfranka is not installed, RobotGone where nobody answers.
    """

    def __init__(self, settings: HandSettings) -> None:
        self._library = library()
        self._errors = error_classes(self._library)
        self._hand = self._call(self._library.Gripper, settings.address)
        self._twin = 0

    def home(self) -> None:
        """Find the range of the fingers: they open and close."""
        self._call(self._hand.homing)

    def execute(self, order: HandOrder) -> bool:
        """Move or grasp, and wait for the end; returns whether the hand says that it did."""
        if order.grasp:
            done = self._call(self._hand.grasp, order.width, order.speed, order.force, order.inner, order.outer)
        else:
            done = self._call(self._hand.move, order.width, order.speed)
        return bool(done)

    def begin_reading(self, report: Callable[[float, float, bool], bool]) -> None:
        """Fork the twin, which hands width and largest width (m) and whether something is held to ``report``.

        It ends when ``report`` returns False, when the hand is gone, or with this process.
        """
        parent = os.getpid()
        self._twin = os.fork()
        if self._twin == 0:
            self._read(parent, report)

    @property
    def reading(self) -> bool:
        """Whether the twin still reads."""
        if self._twin and os.waitpid(self._twin, os.WNOHANG) != (0, 0):
            self._twin = 0
        return bool(self._twin)

    def end(self) -> None:
        """End the twin."""
        if self.reading:
            os.kill(self._twin, 9)
            os.waitpid(self._twin, 0)
            self._twin = 0

    def _read(self, parent: int, report: Callable[[float, float, bool], bool]) -> NoReturn:
        # Nothing of the parent's may be torn down here: the connection is shared. Hence _exit.
        try:
            while os.getppid() == parent:
                state = self._hand.read_once()
                if not report(state.width, state.max_width, state.is_grasped):
                    break
        finally:
            os._exit(0)

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except self._errors as error:
            text = str(error).removeprefix("libfranka gripper: ").removeprefix("libfranka: ")
            if isinstance(error, self._library.NetworkException):
                raise RobotGone(text) from error
            raise RobotStopped(text) from error
