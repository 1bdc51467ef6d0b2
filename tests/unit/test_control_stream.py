"""A plan predicted again and again is gone through at its speed, evenly, whatever joins the chunks.

Every stack that blends chunks risks this: gaps blended against what is itself still blending swing up, and the arm
speeds and crawls in turn (0.3 to 17.8 mm a row where 12.7 were planned, in an earlier try of this one).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.bench.control import ROW, TICK, Replanning, stream
from vipa_policy.control.executor import Settings
from vipa_policy.control.timeline import SEAM_POLICIES

SEAMS = pytest.mark.parametrize("seam", SEAM_POLICIES)


@SEAMS
@pytest.mark.parametrize(("every", "noise"), [(4, 2e-4), (ROW, 0.0), (ROW, 2e-4), (ROW, 1e-3), (13, 2e-4)])
def test_rows_are_evenly_spaced_at_the_planned_speed(
    seam: str, every: int, noise: float, record_property: pytest.RecordProperty
) -> None:
    """Chunks that begin where the arm was seen, which is what a policy's chunks do."""
    plan = Replanning(seam, speed=0.19, every=every, noise=noise, chunks=420 // every)
    streamed = stream(plan)
    spacing = streamed.spacing(150) / (plan.speed * ROW * TICK)
    jerk = streamed.jerk(150)
    record_property("spacing", [round(float(value), 4) for value in (spacing.min(), spacing.mean(), spacing.max())])
    record_property("jerk_rms", round(float(np.sqrt(np.mean(jerk**2))), 2))
    # 1 % for seams, and three standard deviations of the noise, of which limits let little through at once.
    assert np.abs(spacing - 1.0).max() < 0.01 + 3.0 * min(noise, 5e-4) / (plan.speed * ROW * TICK)
    assert spacing.mean() == pytest.approx(1.0, abs=0.01)
    assert np.sqrt(np.mean(jerk**2)) < 8.0  # of 20 m/s^3


@SEAMS
@pytest.mark.parametrize("every", [ROW, 13])
def test_a_path_told_in_time_is_caught_up_with_and_then_followed_evenly(seam: str, every: int) -> None:
    """Chunks that tell the same path in time, however late the arm began on it: caught up with, then no trace left."""
    plan = Replanning(seam, speed=0.19, every=every, from_measured=False, noise=0.0, chunks=780 // every)
    streamed = stream(plan)
    spacing = streamed.spacing(600) / (plan.speed * ROW * TICK)
    assert np.abs(spacing - 1.0).max() < 0.01
    assert streamed.jerk(600).max() < 0.5
    # Nor did it swing while it caught up: never back, never above the limit.
    steps = np.diff(streamed.poses[:, 1, 3]) / TICK
    assert steps.min() > -1e-3
    assert steps.max() <= 0.25 + 1e-6
    # The chunk in force is followed at its own time: the command leads by the arm's lag.
    end = streamed.poses[-1, 1, 3]
    now = (len(streamed.poses) - 1) * TICK
    assert end == pytest.approx(plan.speed * (now + 0.05), abs=2e-4)


@SEAMS
@pytest.mark.parametrize("lag", [0, 9])
def test_a_lag_that_was_guessed_wrongly_changes_the_speed_but_nothing_swings(seam: str, lag: int) -> None:
    plan = Replanning(seam, speed=0.15, lag=lag, chunks=60)
    spacing = stream(plan).spacing(250) / (plan.speed * ROW * TICK)
    # `rtc` ends the row under way first: where chunks and rows slip past each other, one gap takes two of them.
    assert spacing.max() - spacing.min() < (0.2 if seam == "rtc" else 0.06)
    # Speed by the delay counted over the delay there is: lead and arm's lag differ by 40 or 50 ms of some 150 to 200.
    assert 0.8 < spacing.mean() < 1.25


@SEAMS
def test_a_plan_beyond_the_limits_is_gone_through_slower_and_as_evenly(seam: str) -> None:
    streamed = stream(Replanning(seam, speed=0.5, chunks=60))
    speed = streamed.spacing(200) / (ROW * TICK)
    assert speed.mean() == pytest.approx(0.97 * 0.25, rel=0.02)
    assert speed.max() - speed.min() < 0.03 * 0.25


@SEAMS
def test_turns_are_as_even_as_ways(seam: str) -> None:
    plan = Replanning(seam, speed=0.1, spin=0.5, turn_noise=1e-3, chunks=60)
    rotations = Rotation.from_matrix(stream(plan).poses[200:, :3, :3])
    turned = (rotations[ROW:] * rotations[:-ROW].inv()).as_rotvec()[:, 2] / (plan.spin * ROW * TICK)
    assert np.abs(turned - 1.0).max() < 0.09
    assert turned.mean() == pytest.approx(1.0, abs=0.02)


@given(
    st.sampled_from(SEAM_POLICIES),
    st.floats(0.05, 0.22),
    st.integers(4, 13),
    st.integers(1, 20),
    st.integers(0, 10**6),
)
@settings(max_examples=8, deadline=None)
def test_no_rhythm_of_chunks_swings(seam: str, speed: float, every: int, behind: int, seed: int) -> None:
    """Any interval, any delay of predictions: a spacing's deviation stays what the noise is."""
    noise = 2e-4
    plan = Replanning(seam, speed=speed, every=every, behind=behind, noise=noise, seed=seed, chunks=350 // every)
    spacing = stream(plan, Settings(period=TICK, seam=seam)).spacing(150)
    assert np.abs(spacing - speed * ROW * TICK).max() < 0.02 * speed * ROW * TICK + 5.0 * noise
    assert np.std(spacing) < 1.5 * noise + 0.01 * speed * ROW * TICK
