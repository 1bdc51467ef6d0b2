"""Parameters of the kinds of gripper: every name, default, range and meaning.

The arm node declares them all, whichever kind is chosen. Guarded by tests/graph/test_grippers.py.
"""

from __future__ import annotations

from vipa_policy.nodes.parameters import FREE, Declaration, real

# m or rad: what a driver calls a position is its own.
POSITION = real(-10.0, 10.0)

DECLARATIONS: tuple[Declaration, ...] = (
    ("gripper_largest", 0.08, "m, width between the open fingers", real(0.005, 0.5)),
    ("gripper_force", 20.0, "N, with which the fingers hold, where the driver takes a force", real(0.1, 140.0)),
    ("gripper_speed", 0.1, "m/s, of the fingers (franka_hand)", real(0.001, 0.2)),
    ("gripper_node", "franka_gripper", "node of the hand's driver (franka_hand)", FREE),
    ("gripper_smallest", 0.002, "m; fingers that close to less hold nothing (franka_hand)", real(0.0001, 0.05)),
    ("gripper_release", 0.01, "m by which a wanted width lets go of what is held (franka_hand)", real(0.001, 0.05)),
    ("gripper_command_action", "gripper_controller/gripper_cmd", "action (gripper_command)", FREE),
    ("gripper_command_closed", 0.0, "position of the driver for closed fingers (gripper_command)", POSITION),
    ("gripper_command_open", 0.08, "position of the driver for open fingers (gripper_command)", POSITION),
)
