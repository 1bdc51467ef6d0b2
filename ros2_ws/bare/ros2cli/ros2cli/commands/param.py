"""`ros2 param`: list, get, set, dump and describe, through the nodes' parameter services."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

import yaml
from rcl_interfaces.msg import Parameter, ParameterType
from rclpy.node import Node
from rclpy.parameter import get_parameter_value, parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient

from ..graph import add_graph_arguments, command_node, full_node_names, require_node, result_of, settle, wait_until
from ..verbs import add_verbs

_SERVICES_S = 5.0
_ANSWER_S = 10.0
_TYPES = {
    ParameterType.PARAMETER_NOT_SET: ("not set", "Parameter not set."),
    ParameterType.PARAMETER_BOOL: ("boolean", "Boolean value is:"),
    ParameterType.PARAMETER_INTEGER: ("integer", "Integer value is:"),
    ParameterType.PARAMETER_DOUBLE: ("double", "Double value is:"),
    ParameterType.PARAMETER_STRING: ("string", "String value is:"),
    ParameterType.PARAMETER_BYTE_ARRAY: ("byte array", "Byte values are:"),
    ParameterType.PARAMETER_BOOL_ARRAY: ("boolean array", "Boolean values are:"),
    ParameterType.PARAMETER_INTEGER_ARRAY: ("integer array", "Integer values are:"),
    ParameterType.PARAMETER_DOUBLE_ARRAY: ("double array", "Double values are:"),
    ParameterType.PARAMETER_STRING_ARRAY: ("string array", "String values are:"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs."""
    add_verbs(
        parser,
        {
            "describe": ("Show descriptive information about declared parameters", _add_describe_arguments, _describe),
            "dump": ("Show all of the parameters of a node in a YAML file format", _add_node_arguments, _dump),
            "get": ("Get parameter", _add_get_arguments, _get),
            "list": ("Output a list of available parameters", _add_list_arguments, _list),
            "set": ("Set parameter", _add_set_arguments, _set),
        },
    )


def _add_node_arguments(parser: argparse.ArgumentParser, **options: Any) -> None:
    add_graph_arguments(parser)
    parser.add_argument("node_name", help="Name of the ROS node", **options)
    parser.add_argument("--include-hidden-nodes", action="store_true", help="Consider hidden nodes as well")
    parser.add_argument("--timeout", dest="spin_time", type=float, metavar="N", help="Wait for N seconds for the node")


def _add_get_arguments(parser: argparse.ArgumentParser) -> None:
    _add_node_arguments(parser)
    parser.add_argument("parameter_name", help="Name of the parameter")
    parser.add_argument("--hide-type", action="store_true", help="Hide the type information")


def _add_set_arguments(parser: argparse.ArgumentParser) -> None:
    _add_node_arguments(parser)
    parser.add_argument("parameter_name", help="Name of the parameter")
    parser.add_argument("value", help="Value of the parameter, in YAML (a float needs a dot)")


def _add_describe_arguments(parser: argparse.ArgumentParser) -> None:
    _add_node_arguments(parser)
    parser.add_argument("parameter_names", nargs="+", help="Names of the parameters")


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    _add_node_arguments(parser, nargs="?")
    parser.add_argument("--filter", help="Only show parameters that match the regular expression")
    parser.add_argument("--param-prefixes", nargs="+", default=None, help="Only list parameters with these prefixes")
    parser.add_argument("--param-type", action="store_true", help="Print parameter types with parameter names")


class _Parameters:
    """The parameter services of one node."""

    def __init__(self, node: Node, node_name: str) -> None:
        self._node = node
        self._node_name = node_name
        self._client = AsyncParameterClient(node, node_name)
        if not wait_until(node, self._client.services_are_ready, _SERVICES_S):
            raise RuntimeError(f"Wait for service timed out waiting for parameter services for node {node_name}")

    def _result(self, future: Any) -> Any:
        return result_of(self._node, future, f"the parameter services of node '{self._node_name}'", _ANSWER_S)

    def names(self, prefixes: list[str] | None = None) -> list[str]:
        """Return the names, sorted."""
        return sorted(self._result(self._client.list_parameters(prefixes=prefixes)).result.names)

    def values(self, names: list[str]) -> list[Any]:
        """Return the values as messages."""
        return list(self._result(self._client.get_parameters(names)).values)

    def set(self, name: str, value: Any) -> Any:
        """Set one parameter; return whether that was successful, and the reason, as a message."""
        return self._result(self._client.set_parameters([Parameter(name=name, value=value)])).results[0]

    def descriptors(self, names: list[str]) -> list[Any]:
        """Return the descriptors as messages."""
        return list(self._result(self._client.describe_parameters(names)).descriptors)


def _plain(value: Any) -> Any:
    plain = parameter_value_to_python(value)
    return plain.tolist() if hasattr(plain, "tolist") else plain


def _get(args: argparse.Namespace) -> str | None:
    with command_node() as node:
        values = _Parameters(node, require_node(node, args)).values([args.parameter_name])
    if not values:
        return f"Parameter not set: node '{args.node_name}' has no parameter '{args.parameter_name}'"
    label = _TYPES[values[0].type][1]
    if values[0].type == ParameterType.PARAMETER_NOT_SET:
        print(label)
    else:
        print(*([] if args.hide_type else [label]), _plain(values[0]))
    return None


def _set(args: argparse.Namespace) -> str | None:
    try:
        value = get_parameter_value(args.value)
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        return f"Value '{args.value}' is no parameter value in YAML: {error}"
    with command_node() as node:
        result = _Parameters(node, require_node(node, args)).set(args.parameter_name, value)
    reason = f": {result.reason}" if result.reason else ""
    if not result.successful:
        return f"Setting parameter failed{reason}"
    print(f"Set parameter successful{reason}")
    return None


def _list(args: argparse.Namespace) -> None:
    pattern = None if args.filter is None else re.compile(args.filter)
    with command_node() as node:
        if args.node_name is None:
            settle(node, args.spin_time)
            node_names = sorted(full_node_names(node, args.include_hidden_nodes))
        else:
            node_names = [require_node(node, args)]
        for node_name in node_names:
            try:
                parameters = _Parameters(node, node_name)
                names = [one for one in parameters.names(args.param_prefixes) if pattern is None or pattern.match(one)]
                types = {one.name: one.type for one in parameters.descriptors(names)} if args.param_type else {}
            except RuntimeError as error:
                if args.node_name is not None:
                    raise
                print(error, file=sys.stderr)
                continue
            if args.node_name is None and names:
                print(f"{node_name}:")
            for name in names:
                print(f"  {name} (type: {_TYPES[types[name]][0]})" if args.param_type else f"  {name}")


def _dump(args: argparse.Namespace) -> None:
    with command_node() as node:
        node_name = require_node(node, args)
        parameters = _Parameters(node, node_name)
        names = parameters.names()
        values = parameters.values(names)
    tree: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        *groups, last = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = _plain(value)
    print(yaml.safe_dump({node_name: {"ros__parameters": tree}}, default_flow_style=False))


def _describe(args: argparse.Namespace) -> None:
    with command_node() as node:
        descriptors = _Parameters(node, require_node(node, args)).descriptors(args.parameter_names)
    for descriptor in descriptors:
        print("Parameter name:", descriptor.name)
        print("  Type:", _TYPES[descriptor.type][0])
        if descriptor.description:
            print("  Description:", descriptor.description)
        print("  Constraints:")
        if descriptor.read_only:
            print("    Read only: true")
        for allowed in [*descriptor.floating_point_range, *descriptor.integer_range][:1]:
            print("    Min value:", allowed.from_value)
            print("    Max value:", allowed.to_value)
            if allowed.step:
                print("    Step:", allowed.step)
        if descriptor.additional_constraints:
            print("    Additional constraints:", descriptor.additional_constraints)
