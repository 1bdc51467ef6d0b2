"""The RGB-D camera: drawing, intrinsics, conventions of depth, and seeded sensor noise.

The single place for what the simulated sensor delivers. Drawing gives RGB and depth in one pass. Noise is a pure
function of (seed, camera name, stamp), so that one state gives the same bits in process and through the graph.
Guarded by tests/sim/test_camera.py.
"""

from __future__ import annotations

import importlib
import math
import os
import threading
import weakref
import zlib
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.special import ndtri

from vipa_policy import geometry
from vipa_policy.geometry import Array
from vipa_sim.model import VISIBLE_GROUP

RgbImage: TypeAlias = NDArray[np.uint8]
DepthImage: TypeAlias = NDArray[np.float32]

LINK_FROM_OPTICAL: Final[Array] = geometry.LINK_FROM_OPTICAL
OPTICAL_FROM_MUJOCO: Final[Array] = np.diag([1.0, -1.0, -1.0, 1.0])
MILLIMETRE: Final = np.float32(0.001)

# 256 quantiles of the normal distribution: a random byte looked up here is a normal number, at a tenth of the cost.
_NORMAL: Final = ndtri((np.arange(256) + 0.5) / 256.0).astype(np.float32)


@dataclass(frozen=True)
class CameraConfig:
    """Where a camera is and what its lens takes in.

    Attributes:
        pose: x, y, z in m and roll, pitch, yaw in rad (fixed axes, as in URDF) of the camera's link in its parent.
        vertical_field_of_view: degrees.
    """

    pose: tuple[float, float, float, float, float, float]
    vertical_field_of_view: float = 50.0

    def parent_from_link(self) -> Array:
        """Return the (4, 4) pose of the camera's link (x forward, z up) in its parent."""
        matrix = np.eye(4)
        matrix[:3, :3] = Rotation.from_euler("xyz", self.pose[3:]).as_matrix()
        matrix[:3, 3] = self.pose[:3]
        return matrix


@dataclass(frozen=True)
class NoiseConfig:
    """How far the sensor is from perfect; the figures resemble a stereo depth camera's.

    Attributes:
        rgb: grey levels, standard deviation of each pixel's brightness.
        colour: grey levels, standard deviation of each channel apart from that.
        depth_floor: m, standard deviation of depth at the camera.
        depth_square: 1/m, what is added to it times depth squared.
        edge: m, step between neighbours from which on a pixel is near an edge and may be lost.
        edge_slope: what is added to that per m of depth: a table seen at a slant is no edge.
        edge_loss: share of such pixels that are lost.
        speckle: share of all pixels that are lost.
        nearest: m, below which nothing is measured.
        farthest: m, beyond which nothing is measured.
    """

    rgb: float = 3.0
    colour: float = 1.5
    depth_floor: float = 0.0005
    depth_square: float = 0.0015
    edge: float = 0.02
    edge_slope: float = 0.1
    edge_loss: float = 0.5
    speckle: float = 0.002
    nearest: float = 0.10
    farthest: float = 4.0


@dataclass
class Renderer:
    """Draws the cell off screen. Use it from one thread; it owns an OpenGL context.

    Attributes:
        model: the compiled cell.
        width: px.
        height: px.
        pretty: shadows and smooth edges.
    """

    model: mujoco.MjModel
    width: int
    height: int
    pretty: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.get_ident()
        # Not mujoco.GLContext: that is chosen for good when mujoco is first imported, which may be before us.
        self._gl = importlib.import_module(f"mujoco.{os.environ['MUJOCO_GL']}").GLContext(self.width, self.height)
        self._gl.make_current()
        # Freed before the interpreter tears OpenGL down, where nobody called close.
        self._finalizer = weakref.finalize(self, self._gl.free)
        self._context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        # Reversed depth keeps float precision at a distance.
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR.value
        self._scene = mujoco.MjvScene(self.model, maxgeom=self.model.ngeom + 20)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW.value] = self.pretty
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION.value] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_HAZE.value] = False
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = 0
        self._options.geomgroup[VISIBLE_GROUP] = 1
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
        self._rectangle = mujoco.MjrRect(0, 0, self.width, self.height)
        self._rgb = np.empty((self.height, self.width, 3), np.uint8)
        self._depth = np.empty((self.height, self.width), np.float32)

    def render(self, data: mujoco.MjData, camera: str) -> tuple[RgbImage, DepthImage]:
        """Return rgb (height, width, 3) and exact depth (height, width) in m along the optical axis; 0 for the sky."""
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                "expected to draw in the thread that drew first, got another one: OpenGL belongs to one thread; "
                "use a cell from one thread"
            )
        self._camera.fixedcamid = self.model.camera(camera).id
        mujoco.mjv_updateScene(
            self.model, data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL.value, self._scene
        )
        self._gl.make_current()
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._rgb, self._depth, self._rectangle, self._context)
        extent = self.model.stat.extent
        near, far = self.model.vis.map.znear * extent, self.model.vis.map.zfar * extent
        buffer = self._depth[::-1]
        depth = np.float32(near * far) / (buffer * np.float32(far - near) + np.float32(near))
        depth[buffer <= 0.0] = 0.0
        return np.ascontiguousarray(self._rgb[::-1]), depth

    def close(self) -> None:
        """Free the OpenGL context."""
        self._context.free()
        self._finalizer()


def intrinsics(width: int, height: int, vertical_field_of_view: float) -> Array:
    """Return the (3, 3) pinhole matrix in px; the axis passes through the middle, pixel centres at whole numbers."""
    focal = 0.5 * height / math.tan(0.5 * math.radians(vertical_field_of_view))
    return np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]])


def depth_to_millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return depth (height, width) in m as a topic of encoding 16UC1 carries it: whole mm, 0 where unknown."""
    scaled = np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0) * np.float32(1000.0)
    return np.clip(np.rint(scaled), 0.0, 65535.0).astype(np.uint16)


def depth_from_millimetres(depth: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return depth in float32 m of a 16UC1 image in mm; the inverse of ``depth_to_millimetres``, bit for bit."""
    return depth.astype(np.float32) * MILLIMETRE


def add_noise(
    rgb: NDArray[np.uint8], depth: NDArray[np.float32], noise: NoiseConfig, seed: int, camera: str, stamp_ns: int
) -> tuple[RgbImage, DepthImage]:
    """Return rgb and depth as a real sensor might deliver them; depends on nothing but the arguments."""
    height, width = depth.shape
    generator = np.random.Generator(np.random.SFC64([seed, zlib.crc32(camera.encode()), stamp_ns]))
    pixels = height * width
    drawn = np.frombuffer(generator.bytes(7 * pixels), np.uint8)
    brightness, channels, strength, chance = np.split(drawn, (pixels, 4 * pixels, 5 * pixels))
    noisy_rgb = _noisy_rgb(rgb, noise, brightness.reshape(height, width), channels.reshape(height, width, 3))
    chances = chance.view("<u2").reshape(height, width)
    return noisy_rgb, _noisy_depth(depth, noise, strength.reshape(height, width), chances)


def _noisy_rgb(
    rgb: RgbImage, noise: NoiseConfig, brightness: NDArray[np.uint8], channels: NDArray[np.uint8]
) -> RgbImage:
    """Return rgb with noise from random bytes: one a pixel for the brightness, three for the channels."""
    common = cv2.LUT(brightness, np.rint(_NORMAL * noise.rgb).astype(np.int16))
    total = cv2.LUT(channels, np.rint(_NORMAL * noise.colour).astype(np.int16))
    total = cv2.add(total, cv2.merge([common, common, common]))
    return np.asarray(cv2.add(rgb, total, dtype=cv2.CV_8U))


def _noisy_depth(
    depth: DepthImage, noise: NoiseConfig, strength: NDArray[np.uint8], chance: NDArray[np.uint16]
) -> DepthImage:
    """Return depth with noise and holes (0) from random bytes and random 16-bit numbers, both (height, width)."""
    deviation = np.float32(noise.depth_square) * depth * depth + np.float32(noise.depth_floor)
    noisy = depth + deviation * cv2.LUT(strength, _NORMAL)
    window = np.ones((3, 3), np.uint8)
    step = cv2.dilate(depth, window) - cv2.erode(depth, window)
    at_edge = step > np.float32(noise.edge) + np.float32(noise.edge_slope) * depth
    lost = chance < np.uint16(noise.speckle * 65535.0)
    lost |= at_edge & (chance < np.uint16(noise.edge_loss * 65535.0))
    lost |= (depth < noise.nearest) | (depth > noise.farthest)
    noisy[lost] = 0.0
    return noisy
