"""The base of everything that becomes text only when a launch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Substitution:
    """Text that is worked out while the launch runs; subclasses override `perform`."""

    def describe(self) -> str:
        """Return a description for people, as `ros2 launch --show-args` prints it."""
        return repr(self)

    def perform(self, context: LaunchContext) -> str:
        """Return the text.

        Raises:
            NotImplementedError: if the subclass does not override it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not override perform()")
