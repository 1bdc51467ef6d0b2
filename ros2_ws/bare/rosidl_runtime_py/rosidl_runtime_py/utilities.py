"""Interfaces (messages, services, actions) by their full name."""

from __future__ import annotations

import importlib
from typing import Any


def get_interface(identifier: str) -> Any:
    """Return the class of `package/msg|srv|action/Name`.

    Raises:
        ValueError: if the name has another form.
        ModuleNotFoundError: if there is no such package, or it has no interfaces of that kind.
        AttributeError: if the package has no such interface.
    """
    return _load(identifier, None)


def get_message(identifier: str) -> Any:
    """Return a message class; `package/Name` will do. Raises as get_interface, ValueError for another kind."""
    return _checked(_load(identifier, "msg"), is_message, "a message", identifier)


def get_service(identifier: str) -> Any:
    """Return a service class; `package/Name` will do. Raises as get_interface, ValueError for another kind."""
    return _checked(_load(identifier, "srv"), is_service, "a service", identifier)


def get_action(identifier: str) -> Any:
    """Return an action class; `package/Name` will do. Raises as get_interface, ValueError for another kind."""
    return _checked(_load(identifier, "action"), is_action, "an action", identifier)


def is_message(interface: Any) -> bool:
    """Return whether a class is that of a message."""
    return hasattr(interface, "SLOT_TYPES")


def is_service(interface: Any) -> bool:
    """Return whether a class is that of a service."""
    return hasattr(interface, "Request") and hasattr(interface, "Response")


def is_action(interface: Any) -> bool:
    """Return whether a class is that of an action."""
    return all(hasattr(interface, part) for part in ("Goal", "Result", "Feedback"))


def _load(identifier: str, default_kind: str | None) -> Any:
    parts = identifier.split("/")
    if len(parts) == 2 and default_kind is not None:
        parts.insert(1, default_kind)
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"expected a name like std_msgs/{default_kind or 'msg'}/String, got '{identifier}'")
    package, kind, name = parts
    return getattr(importlib.import_module(f"{package}.{kind}"), name)


def _checked(interface: Any, is_wanted: Any, kind: str, identifier: str) -> Any:
    if not is_wanted(interface):
        raise ValueError(f"expected the full name of {kind}, got '{identifier}'")
    return interface
