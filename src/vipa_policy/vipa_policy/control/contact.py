"""The contact guard: when the external force or torque on the tip says that the arm has hit something.

What is compared with the thresholds are norms of the wrench, low-passed, less the bias that was measured when the arm
was armed: the weight of a camera on the hand, or what the model of the arm has wrong, is no contact. The low-pass is of
first order, with time constant ``filter_time``: a push of twice the threshold is told after 0.7 of it.

A contact that a person has acknowledged may go on, so that the arm can get away from it: until it has gone, only a
growth by ``MARGIN`` of the threshold is a new one. Guarded by tests/unit/test_control_contact.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vipa_policy.control.vectors import ZERO, Vector, minus, norm, plus

# Share of a threshold by which an acknowledged contact may grow.
MARGIN = 0.3
# s between two samples beyond which the filter starts afresh: what lies between them is unknown.
LONGEST_GAP = 0.5


@dataclass(frozen=True)
class ContactLimits:
    """What counts as a contact.

    Attributes:
        force: N, torque: N m: norms beyond which it is one; 0 switches that one off.
        filter_time: s, time constant of the low-pass.

    Raises ValueError on a number that is not finite or below 0.
    """

    force: float
    torque: float
    filter_time: float = 0.02

    def __post_init__(self) -> None:
        for name in ("force", "torque", "filter_time"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"expected a finite {name} of 0 or more for the contact guard, got {value}")

    @property
    def on(self) -> bool:
        """Whether anything is watched."""
        return self.force > 0.0 or self.torque > 0.0


class _Channel:
    """One vector of the wrench: filtered, biased, compared."""

    def __init__(self, threshold: float, filter_time: float) -> None:
        self._threshold, self._filter_time = threshold, filter_time
        self._value: Vector | None = None
        self._bias: Vector = ZERO
        self._allowed = threshold

    @property
    def size(self) -> float:
        """Norm of the filtered vector less the bias."""
        return norm(minus(self._value, self._bias)) if self._value is not None else 0.0

    @property
    def over(self) -> bool:
        """Whether it is beyond what is allowed now."""
        return self._threshold > 0.0 and self.size > self._allowed

    def take(self, sample: Vector, elapsed: float | None) -> None:
        """Take a sample, ``elapsed`` s after the one before; None starts the filter afresh."""
        if self._value is None or elapsed is None:
            self._value = sample
        else:
            share = 1.0 - math.exp(-elapsed / self._filter_time) if self._filter_time > 0.0 else 1.0
            self._value = plus(self._value, share, minus(sample, self._value))
        # What was acknowledged is allowed less and less, as it goes.
        self._allowed = max(self._threshold, min(self._allowed, self.size + MARGIN * self._threshold))

    def zero(self) -> None:
        """What is felt now is none."""
        self._bias = self._value if self._value is not None else ZERO
        self._allowed = self._threshold

    def acknowledge(self) -> None:
        """What is felt now may go on."""
        self._allowed = max(self._threshold, self.size + MARGIN * self._threshold)


class ContactGuard:
    """Watches the external wrench on the tip.

    Args:
        limits: what counts as a contact.
    """

    def __init__(self, limits: ContactLimits) -> None:
        self.limits = limits
        self._force = _Channel(limits.force, limits.filter_time)
        self._torque = _Channel(limits.torque, limits.filter_time)
        self._stamp: float | None = None

    @property
    def force(self) -> float:
        """N, filtered, less the bias."""
        return self._force.size

    @property
    def torque(self) -> float:
        """N m, filtered, less the bias."""
        return self._torque.size

    def take(self, force: Vector, torque: Vector, stamp: float) -> bool:
        """Take a wrench (N, N m, base frame, about the tip) felt at ``stamp`` (s); returns whether it was of use.

        A sample that is not finite, or not newer than the one before, changes nothing.
        """
        if not all(math.isfinite(part) for part in (*force, *torque)):
            return False
        elapsed = stamp - self._stamp if self._stamp is not None else None
        if elapsed is not None and -LONGEST_GAP <= elapsed <= 0.0:
            return False
        if elapsed is not None and not 0.0 < elapsed <= LONGEST_GAP:
            elapsed = None
        self._stamp = stamp
        self._force.take(force, elapsed)
        self._torque.take(torque, elapsed)
        return True

    def zero(self) -> None:
        """Take what is felt now as the bias: done while the arm stands and is armed."""
        self._force.zero()
        self._torque.zero()

    def acknowledge(self) -> None:
        """A person knows of the contact and lets the arm go on."""
        self._force.acknowledge()
        self._torque.acknowledge()

    def contact(self) -> str:
        """Say what is felt that is too much, "" where nothing is."""
        if self._force.over:
            return f"contact: {self.force:.0f} N, more than {self.limits.force:g} N"
        if self._torque.over:
            return f"contact: {self.torque:.1f} N m, more than {self.limits.torque:g} N m"
        return ""
