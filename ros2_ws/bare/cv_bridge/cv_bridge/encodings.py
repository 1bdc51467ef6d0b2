"""Image encodings by name: how many channels of what, and what colours they are."""

from __future__ import annotations

import re
from dataclasses import dataclass

DTYPES = {
    "8U": "uint8",
    "8S": "int8",
    "16U": "uint16",
    "16S": "int16",
    "32S": "int32",
    "32F": "float32",
    "64F": "float64",
}

_COLOURS = {
    "mono8": ("GRAY", "8U", 1),
    "mono16": ("GRAY", "16U", 1),
    "rgb8": ("RGB", "8U", 3),
    "bgr8": ("BGR", "8U", 3),
    "rgba8": ("RGBA", "8U", 4),
    "bgra8": ("BGRA", "8U", 4),
    "rgb16": ("RGB", "16U", 3),
    "bgr16": ("BGR", "16U", 3),
    "rgba16": ("RGBA", "16U", 4),
    "bgra16": ("BGRA", "16U", 4),
}
_GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([1-9][0-9]*))?")


@dataclass(frozen=True)
class Encoding:
    """An encoding: name, colour order ("" where the channels are no colours), depth such as "16U", channels."""

    name: str
    colour: str
    depth: str
    channels: int

    @property
    def dtype(self) -> str:
        """Name of the numpy type of one channel."""
        return DTYPES[self.depth]

    @property
    def type_name(self) -> str:
        """OpenCV's name of the type, for example "8UC3"."""
        return f"{self.depth}C{self.channels}"


def parse(name: str) -> Encoding:
    """Return what an encoding's name means. Raises ValueError on one that is not known here."""
    if name in _COLOURS:
        return Encoding(name, *_COLOURS[name])
    match = _GENERIC.fullmatch(name)
    if match is None:
        raise ValueError(f"Unrecognized image encoding [{name}]; expected {', '.join(_COLOURS)} or one like 16UC1")
    return Encoding(name, "", match[1], int(match[2] or 1))
