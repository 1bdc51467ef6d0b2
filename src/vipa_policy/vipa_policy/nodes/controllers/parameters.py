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

DECLARATIONS: tuple[Declaration, ...] = (*SERVO,)
"""Those of all kinds."""
