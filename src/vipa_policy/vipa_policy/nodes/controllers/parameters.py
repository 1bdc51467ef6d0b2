"""Parameters of the kinds of controller: every name, default, range and meaning, one table a kind.

The arm node declares them all, whichever kind is chosen. Guarded by tests/graph/test_controllers.py.
"""

from __future__ import annotations

from vipa_policy.nodes.parameters import FREE, Declaration, real

SERVO: tuple[Declaration, ...] = (
    ("servo_node", "servo_node", "MoveIt Servo's node, whose topics and services are below its name", FREE),
    ("servo_status_timeout", 0.3, "s without a status after which MoveIt Servo is taken to be gone", real(0.05, 5.0)),
    (
        "servo_halt_pause",
        1.0,
        "s for which a halt of MoveIt Servo holds the arm; then it is tried anew",
        real(0.1, 60.0),
    ),
    ("servo_pause", True, "pause MoveIt Servo while nothing is streamed", FREE),
    ("servo_gain", 2.0, "1/s, of the twist that brings a drifted tip back to its plan", real(0.0, 5.0)),
    ("servo_correction", 0.2, "largest share of the plan's own speed that may be added for that", real(0.0, 0.5)),
)

JOINT_TRAJECTORY: tuple[Declaration, ...] = (
    ("joint_controller", "joint_trajectory_controller", "name of the controller, whose topics are below it", FREE),
    (
        "joint_delay",
        0.05,
        "s from a setpoint's stamp until its joints are due; longer than messages take",
        real(0.0, 0.5),
    ),
    ("joint_acceleration", 8.0, "rad/s^2, of every joint", real(0.1, 50.0)),
    ("joint_velocity_share", 0.9, "of the velocity limits in the robot's description", real(0.01, 1.0)),
    (
        "joint_position_tolerance",
        0.005,
        "m, tip further behind its plan because of joint limits: hold",
        real(1e-4, 0.1),
    ),
    ("joint_rotation_tolerance", 0.03, "rad, the same for the tip's rotation", real(1e-3, 1.0)),
    ("joint_state_timeout", 0.2, "s, oldest joint state and controller state that say something", real(0.01, 5.0)),
    ("joint_following_error", 0.05, "rad, joint further from where it was sent: hold, start afresh", real(1e-3, 1.0)),
)

DECLARATIONS: tuple[Declaration, ...] = (*SERVO, *JOINT_TRAJECTORY)
"""Those of all kinds."""
