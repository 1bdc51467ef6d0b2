"""Descriptions of ROS parameters in launch files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch import LaunchContext, SomeSubstitutionsType, Substitution
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from . import _parameter_values


class ParameterValue:
    """A parameter's value with a type: bool, int, float, str, or a list of one of these.

    Without a type, text from substitutions is read by the rules of YAML.
    """

    def __init__(self, value: Any, *, value_type: Any = None) -> None:
        if value_type is not None and _parameter_values.scalar_of(value_type)[0] not in _parameter_values.SCALARS:
            raise TypeError(f"value_type must be bool, int, float, str or a list of one of them, got {value_type}")
        self.__value = value
        self.__value_type = value_type

    @property
    def value(self) -> Any:
        """The value as given."""
        return self.__value

    @property
    def value_type(self) -> Any:
        """The type as given."""
        return self.__value_type

    def evaluate(self, context: LaunchContext) -> Any:
        """Return the value with its substitutions worked out.

        Raises:
            ValueError: if text cannot be read as the type.
            TypeError: if a value that is no text is not of the type.
        """
        text = _text_of(context, self.__value)
        if text is not None:
            return _parameter_values.text_as(text, self.__value_type)
        value = self.__value
        if isinstance(value, Sequence):
            scalar, is_list = (
                (None, True) if self.__value_type is None else _parameter_values.scalar_of(self.__value_type)
            )
            if not is_list:
                raise ValueError(f"expected one {self.__value_type.__name__}, got the list {value!r}")
            items = [_item(context, item, scalar) for item in value]
            if len({type(item) for item in items}) > 1 or (scalar and not all(type(i) is scalar for i in items)):
                raise ValueError(f"expected a list of one type ({self.__value_type or 'any'}), got {items!r}")
            return items
        if self.__value_type is not None and type(value) is not self.__value_type:
            raise TypeError(f"expected {self.__value_type}, got {value!r} of {type(value).__name__}")
        return value


class Parameter:
    """A parameter with its name, as an item of `Node(parameters=[...])`."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, *, value_type: Any = None) -> None:
        self.__name = normalize_to_list_of_substitutions(name)
        self.__value = ParameterValue(value, value_type=value_type)

    @property
    def name(self) -> list[Substitution]:
        """The name."""
        return self.__name

    @property
    def value(self) -> Any:
        """The value as given."""
        return self.__value.value

    @property
    def value_type(self) -> Any:
        """The type as given."""
        return self.__value.value_type

    def evaluate(self, context: LaunchContext) -> tuple[str, Any]:
        """Return name and value; raises as ParameterValue.evaluate."""
        return perform_substitutions(context, self.__name), self.__value.evaluate(context)


class ParameterFile:
    """A YAML file of parameters, as an item of `Node(parameters=[...])`."""

    def __init__(self, param_file: os.PathLike[str] | SomeSubstitutionsType, *, allow_substs: bool = False) -> None:
        if allow_substs:
            raise NotImplementedError("substitutions inside parameter files are not part of this subset of launch_ros")
        path = os.fspath(param_file) if isinstance(param_file, os.PathLike) else param_file
        self.__param_file = normalize_to_list_of_substitutions(path)

    @property
    def param_file(self) -> list[Substitution]:
        """The path."""
        return self.__param_file

    def evaluate(self, context: LaunchContext) -> Path:
        """Return the path."""
        return Path(perform_substitutions(context, self.__param_file))


def _text_of(context: LaunchContext, value: Any) -> str | None:
    """Return text, a substitution or a mixture of both with at least one substitution as text, else None."""
    mixture = (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and all(isinstance(item, (str, Substitution)) for item in value)
        and any(isinstance(item, Substitution) for item in value)
    )
    if isinstance(value, (str, Substitution)) or mixture:
        return perform_substitutions(context, normalize_to_list_of_substitutions(value))
    return None


def _item(context: LaunchContext, item: Any, scalar: Any) -> Any:
    text = _text_of(context, item)
    return item if text is None else _parameter_values.text_as(text, scalar)
