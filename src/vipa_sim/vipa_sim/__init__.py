"""The simulated Franka cell: layouts, physics, camera, scripted experts and the judge of their success."""

import ctypes.util
import os

# MuJoCo picks its OpenGL when it is first imported; its default needs a window.
if "MUJOCO_GL" not in os.environ:
    os.environ["MUJOCO_GL"] = "egl" if ctypes.util.find_library("EGL") else "osmesa"
