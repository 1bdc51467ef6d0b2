"""The closed loop in process: simulated time, stated latencies, the same seed the same motion, figures of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vipa_policy.control.executor import Settings
from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.geometry import inverse
from vipa_policy.observation import Chunk, CommittedTail
from vipa_sim import closed_loop
from vipa_sim.cell import Cell, CellConfig
from vipa_sim.closed_loop import TICK, ClosedLoop, Expert, Latency, Record, evaluate
from vipa_sim.evaluation import TrialResult

SEED = 3


@pytest.fixture(scope="module")
def cell() -> Cell:
    return Cell(CellConfig())


def reach(cell: Cell, noise: float = 0.0, seam: str = "blend", latency: float = 0.06) -> tuple[TrialResult, Record]:
    times = Latency(inference=latency)
    loop = ClosedLoop(cell, Expert(noise), Settings(seam=seam), inpainting=seam == "rtc", latency=times)
    (result,) = evaluate(loop, "reach", SEED, 1)
    return result


@pytest.mark.parametrize("seam", SEAM_POLICIES)
def test_an_expert_reaches_as_a_recorded_motion_of_known_smoothness(cell: Cell, seam: str) -> None:
    result, record = reach(cell, seam=seam)
    assert result.succeeded, result
    assert result.elapsed < 3.2  # 2.4 s at full speed all the way, and half a second of holding
    assert record.holds == []
    assert record.refused == []
    assert set(record.joined) == {"start", seam}
    # A chunk in 70 ms, which is slower than the pictures come.
    assert len(record.gaps) == pytest.approx(result.elapsed / 0.07, abs=6)
    assert 1.0 < result.jerk_rms < 8.0
    assert result.jerk_p95 < 20.0
    assert -2.2 < result.spectral_arc_length < -1.4
    assert np.percentile(result.gaps, 95) < 0.004
    assert np.mean(record.paces) > 0.93


def test_the_same_seed_gives_the_same_motion_whatever_ran_before(cell: Cell) -> None:
    first, record = reach(cell, noise=1e-3)
    reach(cell, seam="replace")
    again, same = reach(cell, noise=1e-3)
    # The cell's own clock has run on in between, and its last digits with it.
    assert again.elapsed == pytest.approx(first.elapsed, abs=1e-9)
    assert np.allclose(record.setpoints, same.setpoints, rtol=0.0, atol=1e-9)
    assert len(record.chunks) == len(same.chunks)


def test_rows_that_scatter_cost_little_time(cell: Cell) -> None:
    """A learned policy's rows are off by a millimetre or so each; the motion made of them is not slower for it."""
    clean, _ = reach(cell)
    rough, record = reach(cell, noise=1e-3)
    assert rough.succeeded
    assert rough.elapsed < clean.elapsed + 0.35
    assert np.mean(record.paces) > 0.85  # the start from rest included


def test_a_slow_policy_is_late_in_simulated_time(cell: Cell) -> None:
    slow, record = reach(cell, latency=0.2)
    assert slow.succeeded
    assert len(record.gaps) == pytest.approx(slow.elapsed / 0.2, abs=4)


def test_the_command_prints_figures_of_every_seam_policy(cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    assert closed_loop.main(["--policy", "scripted", "--number", "1", "--seed", str(SEED)]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(figures["seams"]) == set(SEAM_POLICIES)
    for of_policy in figures["seams"].values():
        assert of_policy["success"] == of_policy["n"] == 1
        assert of_policy["jerk_rms"] > 0.0
        assert of_policy["gap_mm_p95"] >= of_policy["gap_mm_p50"]
    assert figures["latency_s"]["inference"] == 0.06


class Remembering(Expert):
    """The expert, and what it predicted: stamp in s, positions (rows, 3) in m of the base frame."""

    def __init__(self) -> None:
        super().__init__()
        self.predicted: list[tuple[float, np.ndarray]] = []

    def predict(
        self, observation: closed_loop.Truth, instruction: str, *, committed: CommittedTail | None, seed: int
    ) -> Chunk:
        chunk = super().predict(observation, instruction, committed=committed, seed=seed)
        moved = inverse(observation.camera_from_world) @ chunk.camera_from_tip
        self.predicted.append((chunk.stamp, moved[:, :3, 3]))
        return chunk


@pytest.mark.parametrize("inference", [0.0, 0.06])
def test_the_arm_is_where_the_plan_said_when_it_said_so(cell: Cell, inference: float) -> None:
    """Under way, over all the rows of each chunk: what is recorded as demonstration is what the expert meant.

    Chunks of a policy that answers at once are followed between their capture and their first row alone.
    """
    expert = Remembering()
    latency = Latency(observing=min(inference, 0.008), inference=inference)
    loop = ClosedLoop(cell, expert, Settings(lead=0.02), latency=latency)  # the true lag is found in the first second
    ((result, record),) = evaluate(loop, "reach", SEED, 1)
    assert result.succeeded
    tip = np.array(record.tip)
    times = TICK * np.arange(1, len(tip) + 1)
    away = []
    for stamp, places in expert.predicted[15:]:
        due = stamp + loop.policy.contract.control_period * np.arange(1, len(places) + 1)
        done = due <= times[-1]
        did = np.stack([np.interp(due[done], times, tip[:, axis]) for axis in range(3)], axis=1)
        away.append(np.linalg.norm(did - places[done], axis=1).max(initial=0.0))
    assert max(away) < 0.008
