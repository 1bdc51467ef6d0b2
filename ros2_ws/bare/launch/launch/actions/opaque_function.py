"""Actions in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..action import Action
from ..condition import Condition
from ..launch_context import LaunchContext


class OpaqueFunction(Action):
    """Calls `function(context, *args, **kwargs)`, which may return entities to visit."""

    def __init__(
        self,
        *,
        function: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
        condition: Condition | None = None,
    ) -> None:
        super().__init__(condition=condition)
        if not callable(function):
            raise TypeError(f"OpaqueFunction expects a callable as 'function', got {function!r}")
        self.__function = function
        self.__args = list(args or [])
        self.__kwargs = dict(kwargs or {})

    def execute(self, context: LaunchContext) -> Any:
        """Call the function."""
        return self.__function(context, *self.__args, **self.__kwargs)
