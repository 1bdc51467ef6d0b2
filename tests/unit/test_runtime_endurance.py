"""The arithmetic of `make soak`: slopes, what they are sure of, and which gaps are missed deadlines."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_sim.runtime.endurance import LEAKING, Watched, growth, missed, plot, reasons_of

MINUTES = np.linspace(0.0, 30.0, 400)


@given(rate=st.floats(-2.0, 2.0), level=st.floats(10.0, 500.0))
def test_growth_is_the_slope_times_the_time(rate: float, level: float) -> None:
    found = growth(MINUTES.tolist(), (level + rate * MINUTES).tolist())
    assert found is not None
    assert found.growth == pytest.approx(30.0 * rate, abs=1e-6)
    assert found.low <= found.growth + 1e-6
    assert found.growth <= found.high + 1e-6


def test_a_sawtooth_and_a_few_spikes_are_no_leak() -> None:
    rng = np.random.default_rng(1)
    sizes = 200.0 + (MINUTES % 3.0) + rng.normal(0.0, 0.5, len(MINUTES))
    sizes[rng.integers(0, len(sizes), 5)] += 80.0
    found = growth(MINUTES.tolist(), sizes.tolist())
    assert found is not None
    assert abs(found.growth) < 1.0
    assert not found.leaks


def test_a_slow_leak_under_noise_is_seen() -> None:
    rng = np.random.default_rng(2)
    sizes = 200.0 + 3.0 * LEAKING * MINUTES + (MINUTES % 3.0) + rng.normal(0.0, 0.5, len(MINUTES))
    found = growth(MINUTES.tolist(), sizes.tolist())
    assert found is not None
    assert found.leaks
    assert found.low < 3.0 * LEAKING * 30.0 < found.high


def test_a_single_step_is_no_slope() -> None:
    found = growth(MINUTES.tolist(), (200.0 + 5.0 * (MINUTES > 14.0)).tolist())
    assert found is not None
    assert not found.leaks or found.growth < 10.0


def test_too_few_samples_say_nothing() -> None:
    assert growth([0.0, 1.0], [1.0, 2.0]) is None


def stream(count: int, left_out: list[int]) -> np.ndarray:
    return np.delete(10.0 + 0.01 * np.arange(count), left_out)


def test_setpoints_that_were_due_and_did_not_come_are_missed() -> None:
    states = np.arange(10.0, 12.0, 0.05)
    assert missed(stream(200, [50, 120, 121]), states, np.ones(len(states), dtype=bool)) == 3


def test_a_gap_in_which_the_arm_was_stopped_is_no_missed_deadline() -> None:
    states = np.arange(10.0, 12.0, 0.05)
    streaming = ~((states > 10.5) & (states < 11.0))
    assert missed(stream(200, list(range(50, 100))), states, streaming) == 0


def test_a_gap_before_the_arm_said_anything_does_not_count() -> None:
    assert missed(stream(100, [50]), np.zeros(0), np.zeros(0, dtype=bool)) == 0


def test_a_clock_in_steps_of_four_ms_misses_nothing() -> None:
    due = 10.0 + 0.01 * np.arange(500)
    states = np.arange(10.0, 15.0, 0.05)
    assert missed(np.ceil(due / 0.004 - 1e-6) * 0.004, states, np.ones(len(states), dtype=bool)) == 0


def test_warm_up_does_not_count_and_a_node_that_came_late_has_its_own_start() -> None:
    watched = Watched()
    for minute in np.linspace(0.0, 10.0, 100):
        sizes = {"arm": (50.0 + max(2.0 - minute, 0.0) * 30.0, 80.0)}
        if minute > 5.0:
            sizes["late"] = (20.0 + minute, 40.0)
        watched.add(minute, sizes)
    found = watched.growths(2.0)
    assert found["arm"].growth == pytest.approx(0.0)
    assert found["late"].growth == pytest.approx(5.0, abs=0.2)
    assert found["late"].minutes == pytest.approx(5.0, abs=0.2)
    assert watched.growths(2.0, "resident")["arm"].last == 80.0


def test_reasons_that_differ_in_figures_are_one() -> None:
    assert reasons_of(["TF is 0.09 s old", "TF is 0.12 s old", "stopped"]) == {"TF is #.## s old": 2, "stopped": 1}


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    watched = Watched()
    for minute in range(10):
        watched.add(float(minute), {"arm": (50.0, 80.0)})
    plot(watched, 2.0, tmp_path / "deep" / "memory.png")
    assert (tmp_path / "deep" / "memory.png").read_bytes()[1:4] == b"PNG"
