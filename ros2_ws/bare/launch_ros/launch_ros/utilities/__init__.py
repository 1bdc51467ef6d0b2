"""Namespaces."""

from __future__ import annotations

__all__ = ["make_namespace_absolute", "prefix_namespace"]


def prefix_namespace(base_ns: str | None, ns: str | None) -> str | None:
    """Return `ns` below `base_ns`, or `ns` alone if it is absolute; None if neither is given."""
    if ns is None:
        combined = base_ns
    elif not base_ns or ns.startswith("/"):
        combined = ns
    else:
        combined = f"{base_ns.rstrip('/')}/{ns}"
    return combined if combined in (None, "/") else str(combined).rstrip("/")


def make_namespace_absolute(ns: str | None) -> str | None:
    """Return a namespace with the slash that an absolute one begins with."""
    return ns if ns is None or ns.startswith("/") else f"/{ns}"
