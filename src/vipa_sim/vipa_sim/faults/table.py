"""The faults that are injected, and the end each of them must come to: the single place for both.

``make faults`` injects them into running processes, tests/graph/test_faults.py into the nodes on a clock of its own;
both judge by this table, and docs/faults.md carries it. Guarded by tests/unit/test_fault_analysis.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BEGIN_WITHIN = 0.15
"""s after the fault within which a hold must have begun."""
SILENT_POLICY = 0.35
"""The same where only silence tells of it: that begins when a chunk was due, an interval of theirs after the last."""
REST_WITHIN = 0.6
"""s after its beginning within which a hold must have come to rest."""


class End(StrEnum):
    """What a fault must come to."""

    HOLD = "hold"
    """The arm brakes to a hold, with a reason, until the fault is gone."""
    DEGRADE = "degrade and continue"
    """The arm goes on towards what it was told; it may hold now and then, with a reason."""
    REFUSE = "refuse and report"
    """What came is not acted on and is reported; the arm holds as long as it lasts."""
    STAND = "stand"
    """The stream ends without a brake; the driver keeps its last target and the arm stands."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: as in ``make faults FAULT=name``.
        injection: what is done, in words.
        end: what it must come to.
        words: one of these stands in the reason recorded; empty where nobody is left to record one.
        recovery: what ends the fault and what follows, in words.
        begin_within: s after the fault within which the hold must have begun.
        rest_within: s after that within which nothing may move any more.
        lasts: s of simulated time after which the fault is lifted.
        operator: whether a person must release the arm after the fault.
        words_again: whether the instruction must be said again after the fault.
    """

    name: str
    injection: str
    end: End
    words: tuple[str, ...]
    recovery: str
    begin_within: float = BEGIN_WITHIN
    rest_within: float = REST_WITHIN
    lasts: float = 1.5
    operator: bool = False
    words_again: bool = False

    @property
    def title(self) -> str:
        """The name as people read it."""
        return self.name.replace("_", " ")

    @property
    def holds(self) -> bool:
        """Whether the arm must come to rest."""
        return self.end is not End.DEGRADE


BY_ITSELF = "by itself, with the first chunk of a whole observation"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "camera_dies",
        "no more colour, depth or CameraInfo, right after a picture",
        End.HOLD,
        ("policy: no colour of camera scene", "policy: no depth of camera scene"),
        BY_ITSELF,
    ),
    Fault(
        "camera_freezes",
        "the last picture again and again, bit for bit, with fresh stamps",
        End.HOLD,
        ("frozen", "bit for bit"),
        BY_ITSELF,
    ),
    Fault("depth_stops", "no more depth", End.HOLD, ("policy: no depth of camera scene",), BY_ITSELF),
    Fault(
        "tf_stops",
        "no more transforms of the arm",
        End.HOLD,
        ("TF of fr3_hand_tcp is", "policy: TF from fr3_hand_tcp"),
        BY_ITSELF,
    ),
    Fault(
        "tf_jumps",
        "TF shifts the whole arm by 0.15 m",
        End.HOLD,
        ("away from where it was commanded", "jumped"),
        "by itself, once TF is where it was",
    ),
    Fault(
        "clock_jumps_ahead",
        "the clock goes 2 s ahead of all stamps, later back again",
        End.HOLD,
        ("s old", "clock jumped", "nothing for", "no new chunk for"),
        BY_ITSELF,
    ),
    Fault(
        "clock_jumps_back",
        "the clock goes 5 s back behind all stamps, later ahead again",
        End.HOLD,
        ("clock jumped back", "in the future"),
        BY_ITSELF,
    ),
    Fault(
        "policy_hangs",
        "SIGSTOP to the policy's process",
        End.HOLD,
        ("no new chunk for",),
        "by itself after SIGCONT",
        begin_within=SILENT_POLICY,
    ),
    Fault(
        "policy_killed",
        "SIGKILL to the policy's process",
        End.HOLD,
        ("no new chunk for",),
        "started again, it waits for words: they are said again",
        begin_within=SILENT_POLICY,
        words_again=True,
    ),
    Fault(
        "policy_restarted",
        "SIGTERM to the policy's process, which is started again",
        End.HOLD,
        ("policy: the policy node ends", "no new chunk for"),
        "started again, it waits for words: they are said again",
        words_again=True,
    ),
    Fault(
        "arm_killed",
        "SIGKILL to the arm's process",
        End.STAND,
        (),
        "started again, from the measured pose",
    ),
    Fault(
        "arm_restarted",
        "SIGTERM to the arm's process, which is started again",
        End.HOLD,
        ("the arm node ends",),
        "started again, from the measured pose",
    ),
    Fault(
        "controller_rejects",
        "the driver reports a fault: it rejected a target, and takes no more",
        End.REFUSE,
        ("driver: fault",),
        "`arm/recover`, then `arm/arm`: a person confirms; from the measured pose",
        operator=True,
    ),
    Fault(
        "controller_ignores",
        "targets reach the driver 0.2 m off; it refuses each, and reports nothing",
        End.HOLD,
        ("away from where it was commanded and does not move",),
        "`arm/resume`, from the measured pose",
        # Only that the arm stands tells of it: following_error at the speed of the plan, and a look.
        begin_within=1.0,
        lasts=3.0,
        operator=True,
    ),
    Fault(
        "two_publishers",
        "a second node streams poses on target_pose",
        End.REFUSE,
        ("is published by",),
        "by itself, once the other has gone",
    ),
    Fault(
        "instruction_flood",
        "2000 instructions: the words in force, other words, nonsense",
        End.DEGRADE,
        ("policy:", "no new chunk for"),
        "the last words are in force",
        lasts=4.0,
    ),
    Fault(
        "traffic_loss",
        "3 in 10 chunks and 1 in 20 of all pictures, CameraInfo, transforms and joint states are lost",
        End.DEGRADE,
        ("policy:", "no new chunk for", "TF of fr3_hand_tcp is"),
        "nothing to recover from",
        lasts=3.0,
    ),
)


def find(name: str) -> Fault:
    """Return the fault of a name. Raises ValueError, with the names there are, where there is none."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise ValueError(f"expected a fault of {', '.join(fault.name for fault in FAULTS)}, got {name!r}")


def markdown() -> str:
    """Return the table as docs/faults.md carries it."""
    lines = [
        "| fault | what is done | required end | begun within, at rest after | reason says | recovery |",
        "|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        times = f"{fault.begin_within:g} s, {fault.rest_within:g} s" if fault.holds else ""
        words = ", or ".join(f"`{words}`" for words in fault.words)
        lines.append(f"| `{fault.name}` | {fault.injection} | {fault.end} | {times} | {words} | {fault.recovery} |")
    return "\n".join(lines) + "\n"
