"""The parameters and remappings of nodes, from what launch files give to plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from launch import LaunchContext, Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ._parameter_values import is_parameter, text_as
from .parameter_descriptions import Parameter, ParameterFile, ParameterValue


def check_parameters(parameters: Any) -> list[Any]:
    """Return the parameters of a node as a list of dicts, Parameter and ParameterFile.

    Raises:
        TypeError: if it is no list of those, or of paths to parameter files.
    """
    if isinstance(parameters, str) or not isinstance(parameters, Sequence):
        raise TypeError(f"parameters must be a list of dicts and paths of parameter files, got {parameters!r}")
    return [
        item if isinstance(item, (Mapping, Parameter, ParameterFile)) else ParameterFile(item) for item in parameters
    ]


def evaluate_parameters(context: LaunchContext, parameters: Iterable[Any]) -> list[Any]:
    """Return dicts of values, (name, value) pairs and paths, in the order of the parameters given."""
    return [
        evaluate_parameter_dict(context, item) if isinstance(item, Mapping) else item.evaluate(context)
        for item in parameters
    ]


def evaluate_parameter_dict(context: LaunchContext, parameters: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return parameters by full name, the names of nested dicts joined by dots.

    Text stays text; a substitution, or a list of substitutions and text that together make one text,
    is read by the rules of YAML; the items of other lists must come to one type, ints among floats
    becoming floats.

    Raises:
        TypeError: for a value that cannot be a parameter.
    """
    values: dict[str, Any] = {}
    for key, value in parameters.items():
        name = prefix + perform_substitutions(context, normalize_to_list_of_substitutions(key))
        if isinstance(value, Mapping):
            values.update(evaluate_parameter_dict(context, value, f"{name}."))
            continue
        try:
            values[name] = _evaluate_value(context, value)
        except ValueError as error:
            raise TypeError(f"parameter '{name}': {error}") from error
        if not is_parameter(values[name]):
            raise TypeError(
                f"parameter '{name}' must be a bool, int, float, str or a non-empty list of one of them, "
                f"got {values[name]!r} of {type(values[name]).__name__}"
            )
    return values


def _evaluate_value(context: LaunchContext, value: Any) -> Any:
    if isinstance(value, ParameterValue):
        return value.evaluate(context)
    if isinstance(value, (str, bytes)) or not isinstance(value, (Substitution, Sequence)):
        return value
    if isinstance(value, Substitution) or (
        any(isinstance(item, Substitution) for item in value)
        and all(isinstance(item, (str, Substitution)) for item in value)
    ):
        return text_as(perform_substitutions(context, normalize_to_list_of_substitutions(value)), None)
    items = [
        text_as(perform_substitutions(context, normalize_to_list_of_substitutions(item)), None)
        if isinstance(item, Substitution) or (isinstance(item, Sequence) and not isinstance(item, str))
        else item
        for item in value
    ]
    if {type(item) for item in items} == {int, float}:
        return [float(item) for item in items]
    return items


def evaluate_remappings(context: LaunchContext, remappings: Iterable[Any]) -> list[tuple[str, str]]:
    """Return (from, to) pairs as text."""
    return [
        (
            perform_substitutions(context, normalize_to_list_of_substitutions(source)),
            perform_substitutions(context, normalize_to_list_of_substitutions(target)),
        )
        for source, target in remappings
    ]
