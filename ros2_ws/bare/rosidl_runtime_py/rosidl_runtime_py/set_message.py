"""Filling messages from dicts, as YAML gives them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from rosidl_parser.definition import (
    AbstractNestedType,
    AbstractString,
    AbstractWString,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)

from .convert import get_message_slot_types

_HEADER = "std_msgs/msg/Header"
_TIME = "builtin_interfaces/msg/Time"
_FLOATS = ("float", "double", "long double")


def set_message_fields(
    msg: Any, values: Any, expand_header_auto: bool = False, expand_time_now: bool = False
) -> list[Callable[[Any], None]]:
    """Set the fields of a message.

    Whole numbers will do for floats, numbers for text. A header given as `auto` and a time given as
    `now`, where allowed, are left to the returned functions, which take the time to set.

    Args:
        msg: the message.
        values: a dict from field names to values; nested messages are nested dicts.
        expand_header_auto: whether `auto` stands for a header with the current time.
        expand_time_now: whether `now` stands for the current time.

    Returns:
        One function for each `auto` and `now`, to be called with a builtin_interfaces/msg/Time.

    Raises:
        AttributeError: if the message has no such field.
        TypeError: if a value does not fit its field's type.
        ValueError: if a value does not fit its field's range or length.
    """
    setters: list[Callable[[Any], None]] = []
    _fill(msg, values, "", setters, expand_header_auto, expand_time_now)
    return setters


def _fill(
    msg: Any, values: Any, path: str, setters: list[Callable[[Any], None]], expand_header: bool, expand_time: bool
) -> None:
    if not isinstance(values, dict):
        where = f"field '{path}'" if path else "the message"
        raise TypeError(
            f"{where} ({_name_of(msg)}) expects a dictionary of {', '.join(get_message_slot_types(msg)) or 'nothing'}; "
            f"got {values!r}"
        )
    types = get_message_slot_types(msg)
    for name, value in values.items():
        full = f"{path}.{name}" if path else str(name)
        if name not in types:
            raise AttributeError(f"{_name_of(msg)} has no field '{full}'; it has: {', '.join(types) or 'no fields'}")
        field_type = types[name]
        kind = "/".join(field_type.namespaced_name()) if isinstance(field_type, NamespacedType) else ""
        if expand_header and kind == _HEADER and value == "auto":
            setters.append(partial(setattr, getattr(msg, name), "stamp"))
            continue
        if expand_time and kind == _TIME and value == "now":
            setters.append(partial(setattr, msg, name))
            continue

        def submessage(submessage_type: Any, value: Any, path: str) -> Any:
            filled = _class_of(submessage_type)()
            _fill(filled, value, path, setters, expand_header, expand_time)
            return filled

        try:
            setattr(msg, name, _converted(value, field_type, full, submessage))
        except AssertionError as error:
            raise ValueError(f"field '{full}': {error}") from error


def _converted(value: Any, field_type: Any, path: str, submessage: Callable[[Any, Any, str], Any]) -> Any:
    if isinstance(field_type, AbstractNestedType):
        octets = isinstance(field_type.value_type, BasicType) and field_type.value_type.typename in ("octet", "uint8")
        if isinstance(value, (bytes, bytearray)) and octets:
            value = list(value)
        if isinstance(value, (str, dict)) or not isinstance(value, Iterable):
            raise TypeError(f"field '{path}' expects a list, got {value!r}")
        value = list(value)
        _check_length(value, field_type, path)
        return [_converted(item, field_type.value_type, f"{path}[{i}]", submessage) for i, item in enumerate(value)]
    if isinstance(field_type, NamespacedType):
        return submessage(field_type, value, path)
    if isinstance(field_type, (AbstractString, AbstractWString)):
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise TypeError(f"field '{path}' expects text, got {value!r} (quote it in YAML: \"{value}\")")
        text = str(value)
        if getattr(field_type, "maximum_size", None) is not None and len(text) > field_type.maximum_size:
            raise ValueError(f"field '{path}' takes at most {field_type.maximum_size} characters, got {len(text)}")
        return text
    assert isinstance(field_type, BasicType)
    return _number(value, field_type.typename, path)


def _number(value: Any, typename: str, path: str) -> Any:
    if typename == "boolean":
        if value in (0, 1):  # True and False too
            return bool(value)
        raise TypeError(f"field '{path}' expects true or false, got {value!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float, str, bytes)):
        raise TypeError(f"field '{path}' expects a number ({typename}), got {value!r}")
    if typename == "octet" and isinstance(value, (bytes, str)):
        return value if isinstance(value, bytes) else value.encode("latin-1")
    try:
        # Text too: YAML 1.1 reads 1e-3 as text, for want of a dot.
        number = float(value) if typename in _FLOATS else _integer(value)
    except ValueError as error:
        raise TypeError(f"field '{path}' expects a number ({typename}), got {value!r}") from error
    if typename not in _FLOATS:
        # The messages themselves do not check: a number out of range would be sent as another one.
        lowest, highest = _range_of(typename)
        if not lowest <= number <= highest:
            raise ValueError(f"field '{path}' ({typename}) expects {lowest} to {highest}, got {value!r}")
    return bytes([int(number)]) if typename == "octet" else number


def _range_of(typename: str) -> tuple[int, int]:
    """Return the least and the greatest value of an integer type."""
    if typename in ("octet", "char"):
        return 0, 255
    bits = int(typename.removeprefix("u").removeprefix("int"))
    return (0, 2**bits - 1) if typename.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _check_length(value: list[Any], field_type: AbstractNestedType, path: str) -> None:
    if isinstance(field_type, Array) and len(value) != field_type.size:
        raise ValueError(f"field '{path}' expects {field_type.size} items, got {len(value)}")
    if isinstance(field_type, BoundedSequence) and len(value) > field_type.maximum_size:
        raise ValueError(f"field '{path}' takes at most {field_type.maximum_size} items, got {len(value)}")


def _integer(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value} is no whole number")
    return int(value)


def _class_of(namespaced_type: NamespacedType) -> Any:
    module = importlib.import_module(".".join(namespaced_type.namespaces))
    return getattr(module, namespaced_type.name)


def _name_of(msg: Any) -> str:
    package, kind = type(msg).__module__.split(".")[:2]
    return f"{package}/{kind}/{type(msg).__name__}"
