"""Any output rate: the same motion, C2 in position and smooth on SO(3), within limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vipa_policy.bench.control import start_pose
from vipa_policy.control.chunk import BaseChunk
from vipa_policy.control.executor import Executor, Settings
from vipa_policy.control.limits import Limits
from vipa_policy.control.timeline import SEAM_POLICIES

ROW_PERIOD = 1.0 / 15.0
ROWS = 16
SPAN = 1.2
"""s of motion that is looked at."""
LIMITS = Limits()
ROUNDING = 1e-6


def chunk(identifier: int, stamp: float, seed: int) -> BaseChunk:
    """A way that bows and turns, told from its beginning at time 0, a millimetre and 10 mrad aside for every seed."""
    rng = np.random.default_rng(seed)
    due = stamp + ROW_PERIOD * np.arange(1, ROWS + 1)[:, None]
    rows = np.tile(start_pose(), (ROWS, 1, 1))
    aside, lean = rng.normal(0.0, 1e-3, 3), rng.normal(0.0, 0.01, 3)
    rows[:, :3, 3] += np.array([0.08, 0.1, -0.03]) * due + np.array([0.05, -0.04, 0.0]) * due**2 + aside
    rows[:, :3, :3] = Rotation.from_rotvec(np.array([0.1, -0.05, 0.4]) * due + lean).as_matrix() @ rows[:, :3, :3]
    return BaseChunk(identifier, stamp, ROW_PERIOD, rows, np.full(ROWS, 0.08))


def streamed(rate: float, seam: str, seed: int) -> tuple[np.ndarray, Rotation]:
    """Setpoints (n, 3) and rotations of three chunks, a new one every 0.3 s, 0.1 s late."""
    executor = Executor(LIMITS, Settings(period=1.0 / rate, seam=seam, adapt_lead=False), start_pose(), 0.0)
    places, turns = [start_pose()[:3, 3]], [start_pose()[:3, :3]]
    chunks = [(0.0, chunk(1, 0.0, seed)), (0.4, chunk(2, 0.3, seed + 1)), (0.7, chunk(3, 0.6, seed + 2))]
    for tick in range(1, round(SPAN * rate) + 1):
        while chunks and chunks[0][0] <= (tick - 1) / rate + 1e-9:
            executor.accept_chunk(chunks.pop(0)[1], (tick - 1) / rate)
        executor.tick(tick / rate)
        pose = executor.base_from_tip
        places.append(pose[:3, 3])
        turns.append(pose[:3, :3])
    return np.array(places), Rotation.from_matrix(np.array(turns))


@given(st.floats(50.0, 1000.0), st.sampled_from(SEAM_POLICIES), st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_at_any_rate_no_difference_jumps(rate: float, seam: str, seed: int) -> None:
    """The third difference is what the limit on jerk allows at that rate: position and its derivative have no corner,
    the acceleration has no step, and a rotation's neither, as norms on SO(3)."""
    rate = float(round(rate))
    places, turns = streamed(rate, seam, seed)
    steps = (turns[1:] * turns[:-1].inv()).as_rotvec()
    rows = (
        (np.diff(places, axis=0), LIMITS.linear_velocity, LIMITS.linear_acceleration, LIMITS.linear_jerk),
        (steps, LIMITS.angular_velocity, LIMITS.angular_acceleration, LIMITS.angular_jerk),
    )
    for first, velocity, acceleration, jerk in rows:
        for order, bound in enumerate((velocity, acceleration, jerk)):
            differences = np.linalg.norm(np.diff(first, order, axis=0), axis=1) * rate ** (order + 1)
            # A rotation read back from a matrix is rounded to 1e-8 rad or so.
            assert differences.max() <= bound * (1.0 + ROUNDING) + 2e-9 * rate ** (order + 1)
    assert np.linalg.norm(places[-1] - places[0]) > 0.08  # it moved


@pytest.mark.parametrize("seam", SEAM_POLICIES)
def test_every_rate_goes_the_same_way(seam: str) -> None:
    """Each setpoint lies on the path of the finest stream, within 2 mm and 10 mrad: seams are a few setpoints long."""
    fine, fine_turns = streamed(1000.0, seam, 5)
    for rate in (50.0, 200.0, 500.0):
        places, turns = streamed(rate, seam, 5)
        nearest = np.linalg.norm(places[:, None] - fine[None], axis=2).min(axis=1)
        assert nearest.max() < 2e-3
        alike = np.abs(turns.as_quat() @ fine_turns.as_quat().T).max(axis=1)
        assert 2.0 * np.arccos(np.minimum(alike, 1.0)).max() < 0.01
