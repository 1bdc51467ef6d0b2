"""Messages to dicts, YAML and CSV."""

from __future__ import annotations

import array
import sys
from collections import OrderedDict
from typing import Any

import numpy
import yaml
from rosidl_parser.definition import Array, BoundedSequence, UnboundedSequence


class _Dumper(yaml.SafeDumper):
    """Writes ordered dicts in their order, and never an anchor for a value that occurs twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return that nothing is written as a reference."""
        return True


_Dumper.add_representer(
    OrderedDict, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data.items())
)


def message_to_yaml(
    msg: Any,
    *,
    truncate_length: int | None = None,
    no_arr: bool = False,
    no_str: bool = False,
    flow_style: bool = False,
) -> str:
    """Return a message as YAML, one field a line, or in one line with `flow_style`.

    Text and sequences longer than `truncate_length` end in `...`; `no_arr` and `no_str` leave the
    content of sequences and text out.
    """
    fields = message_to_ordereddict(msg, truncate_length=truncate_length, no_arr=no_arr, no_str=no_str)
    return yaml.dump(fields, Dumper=_Dumper, allow_unicode=True, width=sys.maxsize, default_flow_style=flow_style)


def message_to_ordereddict(
    msg: Any, *, truncate_length: int | None = None, no_arr: bool = False, no_str: bool = False
) -> OrderedDict[str, Any]:
    """Return a message as a dict of plain Python values, nested messages as nested dicts."""
    return OrderedDict(
        (name, _plain(getattr(msg, name), field_type, truncate_length, no_arr, no_str))
        for name, field_type in get_message_slot_types(msg).items()
    )


def message_to_csv(msg: Any, *, truncate_length: int | None = None, no_arr: bool = False, no_str: bool = False) -> str:
    """Return all values of a message, nested ones too, between commas."""
    values = message_to_ordereddict(msg, truncate_length=truncate_length, no_arr=no_arr, no_str=no_str)
    return ",".join(_flat(values))


def get_message_slot_types(msg: Any) -> OrderedDict[str, Any]:
    """Return the types of a message's fields by name."""
    return OrderedDict(zip(msg.get_fields_and_field_types(), msg.SLOT_TYPES, strict=True))


def _flat(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _flat(item)]
    return [str(value)]


def _plain(value: Any, field_type: Any, truncate_length: int | None, no_arr: bool, no_str: bool) -> Any:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
        return value if truncate_length is None or len(value) <= truncate_length else value[:truncate_length] + "..."
    if isinstance(value, str):
        if no_str:
            return f"<string length: <{len(value)}>>"
        return value if truncate_length is None or len(value) <= truncate_length else value[:truncate_length] + "..."
    if isinstance(value, (list, tuple, array.array, numpy.ndarray)):
        if no_arr and field_type is not None:
            return _abbreviation(value, field_type)
        cut = truncate_length is not None and len(value) > truncate_length
        items = [
            _plain(item, None, truncate_length, no_arr, no_str) for item in (value[:truncate_length] if cut else value)
        ]
        return [*items, "..."] if cut else items
    if isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, (bool, int, float)):
        return value
    return message_to_ordereddict(value, truncate_length=truncate_length, no_arr=no_arr, no_str=no_str)


def _abbreviation(value: Any, field_type: Any) -> str:
    name = _type_name(field_type.value_type)
    if isinstance(field_type, Array):
        return f"<array type: {name}[{field_type.size}]>"
    if isinstance(field_type, BoundedSequence):
        return f"<sequence type: {name}[{field_type.maximum_size}], length: {len(value)}>"
    if isinstance(field_type, UnboundedSequence):
        return f"<sequence type: {name}, length: {len(value)}>"
    return "unknown"


def _type_name(value_type: Any) -> str:
    if hasattr(value_type, "typename"):
        return value_type.typename
    if hasattr(value_type, "namespaced_name"):
        return "/".join(value_type.namespaced_name())
    return "wstring" if "WString" in type(value_type).__name__ else "string"
