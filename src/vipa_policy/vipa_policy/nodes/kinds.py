"""Drivers of several kinds behind one interface: the one that a parameter names is made.

Guarded by tests/graph/test_controllers.py, test_grippers.py and test_robot_link.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from rclpy.node import Node

Made = TypeVar("Made")
Kinds: TypeAlias = Mapping[str, Callable[[Node, Mapping[str, Any]], Made]]
"""By the parameter's value: made of the arm node and the values of its parameters."""


def make(kinds: Kinds[Made], parameter: str, node: Node, values: Mapping[str, Any]) -> Made:
    """Return what a parameter names. Raises ValueError where there is no such kind."""
    kind = values[parameter]
    if kind not in kinds:
        raise ValueError(f"expected a {parameter} of {', '.join(kinds)}, got {kind!r}")
    return kinds[kind](node, values)
