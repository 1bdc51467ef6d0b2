"""Guards the stand-in for cv_bridge: pixels survive, padding and byte order are honoured, bad images are refused."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
ENCODINGS = {
    "mono8": (np.uint8, 1),
    "8UC1": (np.uint8, 1),
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32FC1": (np.float32, 1),
    "rgb8": (np.uint8, 3),
    "bgr8": (np.uint8, 3),
    "8UC3": (np.uint8, 3),
    "rgba8": (np.uint8, 4),
    "bgra8": (np.uint8, 4),
}
sides = st.integers(1, 12)


@st.composite
def images(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    encoding = draw(st.sampled_from(sorted(ENCODINGS)))
    dtype, channels = ENCODINGS[encoding]
    shape = (draw(sides), draw(sides)) if channels == 1 else (draw(sides), draw(sides), channels)
    return encoding, draw(hnp.arrays(dtype, shape))


def message_of(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Image:
    ordered = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    rows = np.ascontiguousarray(ordered).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=171)
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=rows.shape[1])
    message.is_bigendian = int(big_endian)
    message.data = array.array("B", rows.tobytes())
    return message


@given(images())
def test_pixels_survive_the_way_there_and_back(image: tuple[str, np.ndarray]) -> None:
    encoding, pixels = image
    header = Header(frame_id="camera")
    message = BRIDGE.cv2_to_imgmsg(pixels, encoding, header)
    assert (message.height, message.width, message.encoding) == (*pixels.shape[:2], encoding)
    assert message.step * message.height == len(message.data) == pixels.nbytes
    assert message.header == header
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == pixels.dtype
    assert np.array_equal(back, pixels, equal_nan=pixels.dtype.kind == "f")


@given(images(), st.integers(0, 9), st.booleans())
def test_padding_and_byte_order_are_honoured(image: tuple[str, np.ndarray], padding: int, big_endian: bool) -> None:
    encoding, pixels = image
    back = BRIDGE.imgmsg_to_cv2(message_of(pixels, encoding, padding, big_endian))
    assert back.dtype == pixels.dtype
    assert back.dtype.isnative
    assert np.array_equal(back, pixels, equal_nan=pixels.dtype.kind == "f")


def test_big_endian_and_sliced_arrays_become_messages() -> None:
    depth = np.arange(24, dtype=">u2").reshape(4, 6)
    message = BRIDGE.cv2_to_imgmsg(depth)
    assert (message.is_bigendian, message.encoding) == (1, "16UC1")
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message), depth)
    mirrored = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)[:, ::-1]
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(mirrored, "rgb8")), mirrored)


@pytest.mark.parametrize("target", ["rgb8", "bgr8", "rgba8", "bgra8"])
@pytest.mark.parametrize("source", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colours_are_reordered(source: str, target: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, len(source) - 1), dtype=np.uint8)
    found = BRIDGE.imgmsg_to_cv2(message_of(pixels, source), target)
    for colour in "rgb":
        assert np.array_equal(found[..., target.index(colour)], pixels[..., source.index(colour)])
    if "a" in target:
        alpha = pixels[..., 3] if "a" in source else np.full((3, 5), 255)
        assert np.array_equal(found[..., 3], alpha)


def test_grey_and_depth_of_channels_are_converted() -> None:
    grey = np.array([[0, 100, 255]], np.uint8)
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message_of(grey, "mono8"), "rgb8"), np.stack([grey] * 3, axis=-1))
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message_of(grey, "mono8"), "mono16"), [[0, 25700, 65535]])
    wide = np.array([[0, 25700, 65535]], np.uint16)
    assert np.array_equal(BRIDGE.imgmsg_to_cv2(message_of(wide, "mono16"), "mono8"), grey)
    red = np.array([[[255, 0, 0]]], np.uint8)
    assert BRIDGE.imgmsg_to_cv2(message_of(red, "rgb8"), "mono8") == [[76]]
    assert BRIDGE.imgmsg_to_cv2(message_of(red, "bgr8"), "mono8") == [[29]]


def test_depth_keeps_its_values_as_floats() -> None:
    depth = np.array([[0, 1, 65535]], np.uint16)
    found = BRIDGE.imgmsg_to_cv2(message_of(depth, "16UC1"), "32FC1")
    assert found.dtype == np.float32
    assert np.array_equal(found, depth)


def test_a_conversion_is_a_copy() -> None:
    message = message_of(np.zeros((2, 2), np.uint8), "mono8")
    BRIDGE.imgmsg_to_cv2(message, "mono8")[:] = 9
    assert set(message.data) == {0}


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("16UC1", "rgb8", "is not a color format"),
        ("rgb8", "32FC1", "do not have the same number of channel"),
        ("rgb8", "purple8", r"Unrecognized image encoding \[purple8\]"),
        ("purple8", "rgb8", r"Unrecognized image encoding \[purple8\]"),
    ],
)
def test_conversions_without_sense_are_refused(source: str, target: str, reason: str) -> None:
    pixels = np.zeros((2, 2, 3), np.uint8) if source != "16UC1" else np.zeros((2, 2), np.uint16)
    with pytest.raises(CvBridgeError, match=reason):
        BRIDGE.imgmsg_to_cv2(message_of(pixels, source), target)


def test_images_whose_size_does_not_fit_are_refused() -> None:
    message = message_of(np.zeros((2, 4, 3), np.uint8), "rgb8")
    message.data = message.data[:-1]
    with pytest.raises(CvBridgeError, match=r"expected 2 rows x step 12 = 24 bytes .*, got 23"):
        BRIDGE.imgmsg_to_cv2(message)
    message = message_of(np.zeros((2, 4, 3), np.uint8), "rgb8")
    message.step = 11
    with pytest.raises(CvBridgeError, match=r"expected a step of at least 12 .*, got 11"):
        BRIDGE.imgmsg_to_cv2(message)
    with pytest.raises(CvBridgeError, match="expected an image with pixels"):
        BRIDGE.imgmsg_to_cv2(Image(encoding="rgb8"))


def test_arrays_that_are_no_images_are_refused() -> None:
    with pytest.raises(TypeError, match="not a numpy array"):
        BRIDGE.cv2_to_imgmsg([[1, 2]])  # type: ignore[arg-type]
    with pytest.raises(CvBridgeError, match="rgb8, but image has incompatible type 8UC1"):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.uint8), "rgb8")
    with pytest.raises(CvBridgeError, match="no images of int64"):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.int64))
    for shape in ((4,), (0, 4), (1, 2, 3, 4)):
        with pytest.raises(CvBridgeError, match="expected an image"):
            BRIDGE.cv2_to_imgmsg(np.zeros(shape, np.uint8))


def test_types_are_those_of_opencv() -> None:
    assert BRIDGE.encoding_to_cvtype2("rgb8") == cv2.CV_8UC3
    assert BRIDGE.encoding_to_cvtype2("32FC1") == cv2.CV_32FC1
    assert BRIDGE.encoding_to_dtype_with_channels("bgra8") == ("uint8", 4)
    assert BRIDGE.cvtype2_to_dtype_with_channels(cv2.CV_16UC1) == ("uint16", 1)
    assert BRIDGE.dtype_with_channels_to_cvtype2(np.dtype("float64"), 2) == "64FC2"


def test_compression_without_loss_gives_the_pixels_back() -> None:
    bgr = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    message = BRIDGE.cv2_to_compressed_imgmsg(bgr, "png")
    assert message.format == "png"
    assert np.array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), bgr)
    assert np.array_equal(BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8"), bgr[..., ::-1])
    depth = np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000
    assert np.array_equal(BRIDGE.compressed_imgmsg_to_cv2(BRIDGE.cv2_to_compressed_imgmsg(depth, "png")), depth)


def test_broken_compressed_images_are_refused() -> None:
    for data in (b"", b"no image at all"):
        message = CompressedImage(format="jpeg", data=array.array("B", data))
        with pytest.raises(CvBridgeError, match="cannot decode"):
            BRIDGE.compressed_imgmsg_to_cv2(message)
    with pytest.raises(CvBridgeError, match="cannot write"):
        BRIDGE.cv2_to_compressed_imgmsg(np.zeros((2, 2), np.uint8), "nothing")
