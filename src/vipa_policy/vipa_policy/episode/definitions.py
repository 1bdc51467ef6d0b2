"""Message definitions as a recording carries them: the text of a type and of all it needs, and the type's hash.

Read from the interface files that every ROS 2 message package installs; no message package is imported.
Guarded by tests/graph/test_recorder_node.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from vipa_policy.errors import DatasetError

_SEPARATOR = "=" * 80
_FIELD = re.compile(r"^\s*(?P<type>[A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+[A-Za-z]\w*")
_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_PRIMITIVES = frozenset({"bool", "byte", "char", "float32", "float64", "string", "wstring", *_INTEGERS})


ShareDirectory = Callable[[str], str]


def full_definition(message_type: str, share: ShareDirectory) -> str:
    """Return a type's definition followed by those it needs, as rosbag2 writes them ("ros2msg").

    Args:
        message_type: "sensor_msgs/msg/Image".
        share: package name -> its share directory; may raise LookupError.

    Raises DatasetError where an interface file is not there.
    """
    texts: dict[str, str] = {}
    waiting = [message_type]
    while waiting:
        name = waiting.pop(0)
        if name in texts:
            continue
        texts[name] = _interface_file(name, "msg", share).read_text(encoding="utf-8")
        waiting += [needed for needed in _needed_types(texts[name], name.split("/")[0]) if needed not in texts]
    parts = [texts.pop(message_type)]
    for name, text in texts.items():
        package, _, short = name.split("/")
        parts.append(f"{_SEPARATOR}\nMSG: {package}/{short}\n{text}")
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def type_hash(message_type: str, share: ShareDirectory) -> str:
    """Return the "RIHS01_..." hash of a type, or "" where its package does not tell."""
    try:
        described = json.loads(_interface_file(message_type, "json", share).read_text(encoding="utf-8"))
        return str(next(item["hash_string"] for item in described["type_hashes"] if item["type_name"] == message_type))
    except (DatasetError, KeyError, StopIteration, json.JSONDecodeError):
        return ""


def _needed_types(text: str, package: str) -> list[str]:
    needed = []
    for line in text.splitlines():
        found = _FIELD.match(line.split("#", 1)[0])
        if found is None or found["type"] in _PRIMITIVES:
            continue
        parts = found["type"].split("/")
        # "Header" alone means one of the same package; "std_msgs/Header" leaves the folder out.
        owner = package if len(parts) == 1 else parts[0]
        needed.append(f"{owner}/msg/{parts[-1]}")
    return needed


def _interface_file(message_type: str, extension: str, share: ShareDirectory) -> Path:
    package, _, name = message_type.split("/")
    try:
        path = Path(share(package)) / "msg" / f"{name}.{extension}"
    except LookupError as error:
        raise DatasetError(
            f"the message package {package} is not installed: no definition of {message_type} to record with it"
        ) from error
    if not path.is_file():
        raise DatasetError(f"expected the definition of {message_type} at {path}; install the package {package} whole")
    return path
