"""Conversion of image messages from and to arrays."""

from __future__ import annotations

import array
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from cv_bridge.encodings import DTYPES, Encoding, parse

Pixels = NDArray[Any]


class CvBridgeError(TypeError):
    """A conversion is not possible."""


class CvBridge:
    """Converts between image messages and arrays (height, width) or (height, width, channels)."""

    def __init__(self) -> None:
        self.cvtype_to_name = {
            getattr(cv2, f"CV_{depth}C{channels}"): f"{depth}C{channels}"
            for depth in DTYPES
            for channels in (1, 2, 3, 4)
        }
        self.cvdepth_to_numpy_depth = {getattr(cv2, f"CV_{depth}"): dtype for depth, dtype in DTYPES.items()}
        self.numpy_type_to_cvtype = {dtype: depth for depth, dtype in DTYPES.items()} | DTYPES

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype[Any], n_channels: int) -> str:
        """Return the name of OpenCV's type, for example "8UC3"."""
        if dtype.name not in self.numpy_type_to_cvtype:
            raise CvBridgeError(f"OpenCV has no images of {dtype.name}; convert to one of {', '.join(DTYPES.values())}")
        return f"{self.numpy_type_to_cvtype[dtype.name]}C{n_channels}"

    def cvtype2_to_dtype_with_channels(self, cvtype: int) -> tuple[str, int]:
        """Return numpy type's name and channels of one of OpenCV's type numbers."""
        return self.cvdepth_to_numpy_depth[cvtype & 7], (cvtype >> 3) + 1

    def encoding_to_cvtype2(self, encoding: str) -> int:
        """Return OpenCV's type number of an encoding."""
        parsed = _parse(encoding)
        return int(getattr(cv2, f"CV_{parsed.depth}")) + ((parsed.channels - 1) << 3)

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """Return numpy type's name and channels of an encoding."""
        parsed = _parse(encoding)
        return parsed.dtype, parsed.channels

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> Pixels:
        """Return the pixels of a message, in native byte order and without row padding.

        With "passthrough" they stay as they are and may share the message's memory; otherwise colours and depth are
        converted. Raises CvBridgeError on an unknown encoding, on data whose size does not fit height, width and step,
        and on a conversion that makes no sense.
        """
        source = _parse(img_msg.encoding)
        pixels = _pixels(img_msg, source)
        if desired_encoding == "passthrough":
            return pixels
        return _convert(pixels, source, _parse(desired_encoding))

    def cv2_to_imgmsg(self, cvim: Pixels, encoding: str = "passthrough", header: Header | None = None) -> Image:
        """Return a message of an array (height, width) or (height, width, channels).

        "passthrough" names the encoding after the array's type. Raises TypeError where ``cvim`` is no array and
        CvBridgeError where the encoding does not fit its type.
        """
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        if cvim.ndim not in (2, 3) or cvim.size == 0:
            raise CvBridgeError(
                f"expected an image (height, width) or (height, width, channels), got shape {cvim.shape}"
            )
        type_name = self.dtype_with_channels_to_cvtype2(cvim.dtype, 1 if cvim.ndim == 2 else cvim.shape[2])
        if encoding != "passthrough" and _parse(encoding).type_name != type_name:
            raise CvBridgeError(f"encoding specified as {encoding}, but image has incompatible type {type_name}")
        message = Image()
        if header is not None:
            message.header = header
        message.height, message.width = cvim.shape[:2]
        message.encoding = type_name if encoding == "passthrough" else encoding
        message.is_bigendian = int(cvim.dtype.newbyteorder("<") != cvim.dtype)
        _fill(message.data, cvim)
        message.step = len(message.data) // message.height
        return message

    def compressed_imgmsg_to_cv2(self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough") -> Pixels:
        """Return the decoded pixels, colours in OpenCV's order blue, green, red unless another encoding is desired."""
        data = np.frombuffer(cmprs_img_msg.data, np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
        if pixels is None:
            raise CvBridgeError(
                f"cannot decode {data.size} bytes of a compressed image of format {cmprs_img_msg.format!r}; "
                "expected a whole JPEG, PNG or other file that OpenCV reads"
            )
        if desired_encoding == "passthrough":
            return pixels
        return _convert(pixels, _parse("bgr8"), _parse(desired_encoding))

    def cv2_to_compressed_imgmsg(self, cvim: Pixels, dst_format: str = "jpg") -> CompressedImage:
        """Return a message of an array compressed as "jpg", "png" or another of OpenCV's formats."""
        if not isinstance(cvim, (np.ndarray, np.generic)):
            raise TypeError("Your input type is not a numpy array")
        try:
            done, encoded = cv2.imencode("." + dst_format, cvim)
        except cv2.error as error:
            raise CvBridgeError(f"cannot write {cvim.dtype} {cvim.shape} as {dst_format}: {error}") from error
        if not done:
            raise CvBridgeError(f"cannot write {cvim.dtype} {cvim.shape} as {dst_format}")
        message = CompressedImage()
        message.format = dst_format
        _fill(message.data, encoded)
        return message


def _parse(name: str) -> Encoding:
    try:
        return parse(name)
    except ValueError as error:
        raise CvBridgeError(str(error)) from error


def _fill(data: array.array[int], values: Pixels) -> None:
    # Assigning to a message's data copies element by element; filling the array that is there copies memory once.
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))


def _pixels(message: Image, encoding: Encoding) -> Pixels:
    """Return native, unpadded pixels; a view of the message's data where it needs neither swapping nor cutting."""
    native = np.dtype(encoding.dtype)
    row = message.width * native.itemsize * encoding.channels
    shape = f"{message.height} x {message.width} {message.encoding}"
    if message.height == 0 or message.width == 0:
        raise CvBridgeError(f"expected an image with pixels, got one of {shape}; has the camera begun to send?")
    if message.step < row:
        raise CvBridgeError(
            f"Image is wrongly formed: expected a step of at least {row} for {shape}, got {message.step}"
        )
    if len(message.data) != message.height * message.step:
        raise CvBridgeError(
            f"Image is wrongly formed: expected {message.height} rows x step {message.step} = "
            f"{message.height * message.step} bytes for {shape}, got {len(message.data)}"
        )
    data = bytes(message.data) if isinstance(message.data, list) else message.data
    rows = np.frombuffer(data, np.uint8).reshape(message.height, message.step)[:, :row]
    big_endian = bool(message.is_bigendian)
    pixels = np.ascontiguousarray(rows).view(native.newbyteorder(">" if big_endian else "<"))
    if big_endian != (sys.byteorder == "big"):
        pixels = pixels.astype(native)
    elif pixels.dtype != native:
        pixels = pixels.view(native)
    return pixels if encoding.channels == 1 else pixels.reshape(message.height, message.width, encoding.channels)


def _convert(pixels: Pixels, source: Encoding, target: Encoding) -> Pixels:
    if source.name == target.name:
        return pixels.copy()
    if target.colour and not source.colour:
        raise CvBridgeError(
            f"[{source.name}] is not a color format. but [{target.name}] is. The conversion does not make sense"
        )
    if source.colour and target.colour:
        if source.colour != target.colour:
            pixels = cv2.cvtColor(pixels, getattr(cv2, f"COLOR_{source.colour}2{target.colour}"))
    elif source.channels != target.channels:
        raise CvBridgeError(f"[{source.name}] and [{target.name}] do not have the same number of channel")
    return _to_depth(pixels, source, target)


def _to_depth(pixels: Pixels, source: Encoding, target: Encoding) -> Pixels:
    """Change the type of the channels; 8 and 16 bit images keep their brightness, others their values."""
    if source.depth == target.depth:
        return pixels
    scale = {("8", "16"): 65535.0 / 255.0, ("16", "8"): 255.0 / 65535.0}.get(
        (source.depth[:-1], target.depth[:-1]), 1.0
    )
    dtype = np.dtype(target.dtype)
    values = pixels * scale if scale != 1.0 else pixels
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
