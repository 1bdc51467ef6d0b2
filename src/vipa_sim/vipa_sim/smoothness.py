"""How smooth a motion was: the single place for the figures of evaluations, in process and over the graph.

* *Jerk of the command*: norms of third finite differences of setpoints that follow each other at the stream's own rate,
  |x(i) - 3 x(i-1) + 3 x(i-2) - x(i-3)| / period^3 in m/s^3. This is the quantity the limits bound.
* *Jerk of the tip*: the same of the measured tip over steps of ``TIP_STEP``; shorter ones would show a servo's ripple.
* *Spectral arc length* of the measured tip's speed (Balasubramanian, Melendez-Calderon, Roby-Brami and Burdet 2015, "On
  the analysis of movement smoothness"): minus the length of the curve that the spectrum, divided by its value at 0 Hz,
  draws over frequencies from 0 to 1 (10 Hz, or the last one with a share of 0.05). No unit; nearer to 0 is smoother;
  hesitations add to it, speed does not.

Guarded by tests/unit/test_smoothness.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vipa_policy.geometry import Array

TIP_STEP = 0.02
"""s between the places of the measured tip that its jerk is told from."""
CUT_OFF = 10.0
"""Hz, beyond which the spectral arc length looks at nothing."""
LEAST_SHARE = 0.05
# The spectrum is drawn finely enough that its arc length no longer changes.
PADDING = 16
# Stamps are whole nanoseconds; a setpoint that is missing is a whole period away.
SLACK = 0.1


@dataclass(frozen=True)
class Smoothness:
    """How smooth one trial was.

    Attributes; None where there was too little of the motion:
        jerk_rms, jerk_p95: m/s^3, root mean square and 95th percentile of the command's jerk.
        tip_jerk_rms: m/s^3, of the measured tip.
        spectral_arc_length: of the measured tip's speed.
    """

    jerk_rms: float | None = None
    jerk_p95: float | None = None
    tip_jerk_rms: float | None = None
    spectral_arc_length: float | None = None


def smoothness_of(
    stamps: Sequence[float], setpoints: Sequence[Array], period: float, tip: Sequence[Array], tick: float
) -> Smoothness:
    """Return the figures of a trial.

    Args:
        stamps: s, of setpoints. setpoints: (3,) m each. period: s between two of them; where some are missing the
            differences across them are left out.
        tip: (3,) m each, of the measured tip, ``tick`` s apart.
    """
    jerk = command_jerk(np.asarray(stamps), np.asarray(setpoints).reshape(-1, 3), period)
    measured = np.asarray(tip).reshape(-1, 3)
    tip_jerk = jerk_of(measured, tick, max(round(TIP_STEP / tick), 1))
    return Smoothness(
        jerk_rms=root_mean_square(jerk),
        jerk_p95=float(np.percentile(jerk, 95)) if len(jerk) else None,
        tip_jerk_rms=root_mean_square(tip_jerk),
        spectral_arc_length=spectral_arc_length(np.linalg.norm(np.diff(measured, axis=0), axis=1) / tick, tick),
    )


def command_jerk(stamps: Array, setpoints: Array, period: float) -> Array:
    """Return norms (m,) of the jerk in m/s^3 where four setpoints (n, 3) follow each other a period (s) apart."""
    jerk = jerk_of(setpoints, period)
    apart = np.abs(np.diff(stamps) - period) < SLACK * period
    whole = apart[:-2] & apart[1:-1] & apart[2:] if len(stamps) > 3 else np.zeros(0, dtype=bool)
    return jerk[whole]


def jerk_of(places: Array, period: float, stride: int = 1) -> Array:
    """Return norms (m,) of third differences in m/s^3 of places (n, 3) ``period`` s apart, taken ``stride`` apart."""
    if len(places) <= 3 * stride:
        return np.zeros(0)
    third = places[3 * stride :] - 3.0 * places[2 * stride : -stride] + 3.0 * places[stride : -2 * stride]
    third = third - places[: -3 * stride]
    return np.asarray(np.linalg.norm(third, axis=1) / (stride * period) ** 3)


def root_mean_square(values: Array) -> float | None:
    """Return the root of the mean square of values (n,); None of none."""
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else None


def spectral_arc_length(speed: Array, period: float) -> float | None:
    """Return the spectral arc length of a speed (n,) sampled every ``period`` s; None where nothing moved."""
    if len(speed) < 4 or not np.any(speed > 0.0):
        return None
    size = PADDING * 2 ** math.ceil(math.log2(len(speed)))
    spectrum = np.abs(np.fft.rfft(speed, size))
    spectrum /= spectrum[0]
    frequencies = np.fft.rfftfreq(size, period)
    spectrum, frequencies = spectrum[frequencies <= CUT_OFF], frequencies[frequencies <= CUT_OFF]
    last = int(np.flatnonzero(spectrum >= LEAST_SHARE)[-1])
    if last == 0:
        return 0.0
    steps = np.diff(frequencies[: last + 1]) / frequencies[last]
    return -float(np.sum(np.hypot(steps, np.diff(spectrum[: last + 1]))))
