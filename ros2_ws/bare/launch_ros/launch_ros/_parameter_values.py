"""Text and Python values as values of ROS parameters."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import yaml

SCALARS = (bool, int, float, str)


def scalar_of(value_type: Any) -> tuple[Any, bool]:
    """Return the scalar type of a type of parameter, and whether it is that of a list."""
    if get_origin(value_type) is list:
        return get_args(value_type)[0], True
    return value_type, False


def text_as(text: str, value_type: Any) -> Any:
    """Read text as a type of parameter; None means by the rules of YAML.

    Raises:
        ValueError: if that is impossible.
    """
    if value_type is str:
        return text
    if value_type in (int, float):
        return value_type(text)
    if value_type is bool:
        text = {"1": "true", "0": "false"}.get(text, text)
    elif not text:
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(
            f"'{text}' is no YAML ({error}); for a string use ParameterValue(..., value_type=str)"
        ) from error
    if value_type is None:
        if not is_parameter(value):
            raise ValueError(
                f"'{text}' is read as {type(value).__name__} by the rules of YAML, a parameter is a bool, int, float, "
                "str or a list of one of them; for a string use ParameterValue(..., value_type=str)"
            )
        return value
    scalar, is_list = scalar_of(value_type)
    fits = isinstance(value, list) and all(type(item) is scalar for item in value) if is_list else type(value) is scalar
    if not fits:
        raise ValueError(f"expected {value_type if is_list else value_type.__name__}, got '{text}'")
    return value


def is_parameter(value: Any) -> bool:
    """Return whether a value can be a parameter: a scalar, or a list of scalars of one type."""
    if isinstance(value, (list, tuple)):
        return bool(value) and type(value[0]) in SCALARS and len({type(item) for item in value}) == 1
    return type(value) in (*SCALARS, bytes)
