"""Which interfaces are installed, and where their definitions are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ament_index_python import get_package_share_directory, get_resource, get_resources, has_resource

_SUFFIXES = {"msg": (".msg", ".idl"), "srv": (".srv", ".idl"), "action": (".action", ".idl")}


def get_interfaces(package_names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the interfaces (`msg/String`) of the packages, by default of all; packages without are left out.

    Raises:
        LookupError: if there is no such package.
    """
    return _interfaces(package_names, tuple(_SUFFIXES))


def get_message_interfaces(package_names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Do as get_interfaces, for messages only."""
    return _interfaces(package_names, ("msg",))


def get_service_interfaces(package_names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Do as get_interfaces, for services only."""
    return _interfaces(package_names, ("srv",))


def get_action_interfaces(package_names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Do as get_interfaces, for actions only."""
    return _interfaces(package_names, ("action",))


def _interfaces(package_names: Iterable[str], kinds: Iterable[str]) -> dict[str, list[str]]:
    packages = list(package_names) or list(get_resources("rosidl_interfaces"))
    found: dict[str, list[str]] = {}
    for package in packages:
        if not has_resource("packages", package):
            raise LookupError(f"Unknown package '{package}'")
        if not has_resource("rosidl_interfaces", package):
            continue
        content, _ = get_resource("rosidl_interfaces", package)
        names = {
            line.rsplit(".", 1)[0]
            for line in content.splitlines()
            for kind in kinds
            if line.startswith(f"{kind}/") and line.endswith(_SUFFIXES[kind]) and "_" not in line
        }
        if names:
            found[package] = sorted(names)
    return found


def get_interface_path(interface_name: str) -> str:
    """Return the path of the definition of `package/msg/Name` (or `package/msg/Name.msg`).

    Raises:
        LookupError: if there is no such package, or no such interface in it.
        ValueError: if the name has another form.
    """
    parts = interface_name.split("/")
    if len(parts) != 3 or not all(parts):
        raise ValueError(f"Invalid name '{interface_name}'. Expected three parts separated by '/'")
    package, kind, name = parts
    if not has_resource("packages", package):
        raise LookupError(f"Unknown package '{package}'")
    folder = Path(get_package_share_directory(package)) / kind
    for candidate in (folder / name, folder / f"{name}.{kind}", folder / f"{name}.idl"):
        if candidate.is_file():
            return str(candidate)
    raise LookupError(f"Could not find the interface '{interface_name}' in '{folder}'")
