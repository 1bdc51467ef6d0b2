"""How an executor streams and when it gives up. Guarded by tests/unit/test_control_executor.py."""

from __future__ import annotations

from dataclasses import dataclass

from vipa_policy.control.timeline import SEAM_POLICIES


@dataclass(frozen=True)
class Settings:
    """How an executor streams and when it gives up.

    Attributes:
        period: s between two setpoints.
        patience: s, how long after a chunk was due the arm goes on without it.
        first_interval: s, when the second chunk is due after the first.
        crossfade: s over which `blend` and `rtc` close the gap at a seam.
        lead: s by which the arm follows its command late. Every chunk begins where the arm was measured; without the
            lead it would be called back by this lag at every chunk, and crawl.
        adapt_lead: whether the lead is corrected by the lag that is seen while the arm moves (``lag``).
        following_error: m between commanded and measured tip beyond which the arm is taken to be elsewhere.
        following_angle: rad, the same for the rotation.
        seam: `replace`, `blend` or `rtc`, see ``timeline``.
        seam_tolerance: m, largest gap at which a chunk counts as continuing the committed tail (`rtc`).
        seam_angle: rad, the same for the rotation.
        row_error: m, by which a row may be moved to make a smooth motion of a chunk (``smoothing``); 0 moves none.
        row_angle: rad, the same for the rotation.
    """

    period: float = 0.01
    patience: float = 0.12
    first_interval: float = 0.6
    crossfade: float = 0.15
    lead: float = 0.05
    adapt_lead: bool = True
    following_error: float = 0.05
    following_angle: float = 0.3
    seam: str = "blend"
    seam_tolerance: float = 0.01
    seam_angle: float = 0.1
    row_error: float = 0.0025
    row_angle: float = 0.02

    def __post_init__(self) -> None:
        if not 0.0 < self.period <= 0.02:
            raise ValueError(f"expected a setpoint period in (0, 0.02] s, got {self.period}")
        if not (self.patience > 0.0 and self.first_interval > 0.0 and self.crossfade >= 0.0 and self.lead >= 0.0):
            raise ValueError("expected patience and first_interval above 0 s, crossfade and lead of 0 s or more")
        if not (self.following_error > 0.0 and self.following_angle > 0.0):
            raise ValueError("expected following_error and following_angle above 0")
        if self.seam not in SEAM_POLICIES:
            raise ValueError(f"expected a seam policy of {', '.join(SEAM_POLICIES)}, got {self.seam!r}")
        if not (self.seam_tolerance > 0.0 and self.seam_angle > 0.0):
            raise ValueError("expected seam_tolerance and seam_angle above 0")
        if not (self.row_error >= 0.0 and self.row_angle >= 0.0):
            raise ValueError("expected row_error and row_angle of 0 or more")
