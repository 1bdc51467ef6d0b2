"""Parameters of the links to a driver: every name, default, range and meaning.

Guarded by tests/graph/test_robot_link.py.
"""

from __future__ import annotations

from vipa_policy.nodes.parameters import FREE, Declaration, real

DECLARATIONS: tuple[Declaration, ...] = (
    (
        "robot_link",
        "driver",
        "driver: driver/status and driver/recover (the cell, the libfranka node); franka_ros2: its own topics",
        FREE,
    ),
    (
        "driver_status",
        "required",
        "required: no arming without the driver's status; optional: watched once it was heard; off: not watched",
        FREE,
    ),
    ("driver_timeout", 2.5, "s without a status after which the driver counts as silent", real(0.05, 60.0)),
    ("load_mass", 0.0, "kg, of what the hand carries for good; set at start (franka_ros2)", real(0.0, 3.0)),
    ("load_centre", [0.0, 0.0, 0.0], "m, its centre of mass from the flange (franka_ros2)", FREE),
    ("load_inertia", [0.0] * 9, "kg m^2, its inertia, 3 x 3, column by column (franka_ros2)", FREE),
    (
        "collision_torques",
        [20.0, 20.0, 18.0, 18.0, 16.0, 14.0, 12.0],
        "Nm, torques of the joints at which the arm's own reflex stops it; set at start (franka_ros2)",
        FREE,
    ),
    (
        "collision_forces",
        [30.0, 30.0, 30.0, 25.0, 25.0, 25.0],
        "N and Nm, force and torque on the tip at which it does; set at start (franka_ros2)",
        FREE,
    ),
)
