"""Declares node parameters from tables: name, default, description, range, all in one place per node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

Declaration: TypeAlias = tuple[str, Any, str, dict[str, Any]]
"""Name, default, description with unit, and constraints made by ``real``, ``whole`` or ``FREE``."""

FREE: dict[str, Any] = {}


def real(low: float, high: float) -> dict[str, Any]:
    """Constrain a float to a range."""
    return {"floating_point_range": [FloatingPointRange(from_value=low, to_value=high, step=0.0)]}


def whole(low: int, high: int) -> dict[str, Any]:
    """Constrain an integer to a range."""
    return {"integer_range": [IntegerRange(from_value=low, to_value=high, step=1)]}


def declare(node: Node, declarations: Sequence[Declaration]) -> None:
    """Declare all parameters on a node. They are read when it is configured."""
    for name, default, description, constraints in declarations:
        node.declare_parameter(name, default, ParameterDescriptor(description=description, **constraints))


def values_of(node: Node, declarations: Sequence[Declaration]) -> dict[str, Any]:
    """Return the values now of all declared parameters by name."""
    return {name: node.get_parameter(name).value for name, _, _, _ in declarations}
