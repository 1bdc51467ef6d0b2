"""The end of a launch."""

from __future__ import annotations

from ..event import Event


class Shutdown(Event):
    """The launch is to end, or ends: every process is stopped."""

    name = "launch.events.Shutdown"

    def __init__(self, *, reason: str = "reason not given", due_to_sigint: bool = False) -> None:
        self.__reason = reason
        self.__due_to_sigint = due_to_sigint

    @property
    def reason(self) -> str:
        """Why, in words."""
        return self.__reason

    @property
    def due_to_sigint(self) -> bool:
        """Whether the user pressed ctrl-c."""
        return self.__due_to_sigint
