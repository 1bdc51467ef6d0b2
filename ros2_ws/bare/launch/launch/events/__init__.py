"""Events of a running launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..event import Event
from . import process
from .shutdown import Shutdown

if TYPE_CHECKING:
    from ..launch_description import LaunchDescription

__all__ = ["IncludeLaunchDescription", "Shutdown", "TimerEvent", "matches_action", "process"]


class IncludeLaunchDescription(Event):
    """A launch description is to be visited."""

    name = "launch.events.IncludeLaunchDescription"

    def __init__(self, launch_description: LaunchDescription) -> None:
        self.__launch_description = launch_description

    @property
    def launch_description(self) -> LaunchDescription:
        """What is to be visited."""
        return self.__launch_description


class TimerEvent(Event):
    """The time of a TimerAction has passed."""

    name = "launch.events.TimerEvent"

    def __init__(self, *, timer_action: Any) -> None:
        self.__timer_action = timer_action

    @property
    def timer_action(self) -> Any:
        """The action whose time has passed."""
        return self.__timer_action


def matches_action(target_action: Any) -> Callable[[Any], bool]:
    """Return a matcher that accepts this action only."""
    return lambda action: action is target_action
