"""The URDF of the cell's arm and hand, as a driver publishes it: franka_description's, from franky-sim.

Guarded by tests/sim/test_robot.py, which compares it with the simulated arm.
"""

from __future__ import annotations

from importlib import resources


def robot_description() -> str:
    """Return the URDF of the FR3 with its hand; frames are named as the cell names them, meshes by absolute paths."""
    assets = resources.files("franky_sim") / "assets"
    text = (assets / "fr3.urdf").read_text(encoding="utf-8")
    return text.replace('filename="meshes/', f'filename="file://{assets}/meshes/')
