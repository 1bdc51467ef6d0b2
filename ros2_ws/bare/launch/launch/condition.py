"""The base of conditions of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Condition:
    """A predicate over the launch context."""

    def __init__(self, *, predicate: Callable[[LaunchContext], bool] | None = None) -> None:
        self._predicate = predicate
        self._last_result: bool | None = None

    def describe(self) -> str:
        """Return a description for people."""
        return repr(self)

    def evaluate(self, context: LaunchContext) -> bool:
        """Return whether the condition holds now."""
        if self._predicate is None:
            raise NotImplementedError(f"{type(self).__name__} has no predicate")
        self._last_result = self._predicate(context)
        return self._last_result
