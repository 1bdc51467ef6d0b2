"""What a policy would be shown in the cell now: the single place, for generated data and the closed loop in process.

Guarded by tests/graph/test_recorded_equals_generated.py.
"""

from __future__ import annotations

from vipa_policy import geometry
from vipa_policy.observation import Observation
from vipa_sim.cell import SCENE, Cell


def observe(cell: Cell, stamp_ns: int) -> Observation:
    """Return what the policy would be shown now, by the scene camera."""
    camera_from_world = geometry.inverse(cell.world_from_camera(SCENE))
    return Observation(
        stamp=stamp_ns * 1e-9,
        views=(cell.capture(SCENE, stamp_ns),),
        camera_from_tip=camera_from_world @ cell.base_from_tip,
        gripper_width=cell.gripper_width,
    )
