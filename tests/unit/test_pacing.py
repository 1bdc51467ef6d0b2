"""Pacing: never early, never skipping, slow rather than bursting; frames on ticks."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_sim.pacing import BACKLOG, CATCH_UP, FrameSchedule, Pacer


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(pacer: Pacer, clock: FakeClock, costs: list[float]) -> list[float]:
    """Tick once per cost, sleeping as told; return when each tick began."""
    began = []
    for cost in costs:
        clock.now += pacer.delay()
        pacer.tick()
        began.append(clock.now)
        clock.now += cost
    return began


@given(factor=st.floats(0.1, 4.0), ticks=st.integers(2, 300))
def test_a_fast_machine_keeps_the_asked_pace(factor: float, ticks: int) -> None:
    clock = FakeClock()
    pacer = Pacer(0.005, factor, clock)
    began = run(pacer, clock, [0.0] * ticks)
    assert began[-1] - began[0] == pytest.approx(0.005 * (ticks - 1) / factor)
    assert pacer.real_time_factor() == pytest.approx(factor)


def test_a_slow_machine_slows_the_clock() -> None:
    clock = FakeClock()
    pacer = Pacer(0.005, 1.0, clock)
    run(pacer, clock, [0.010] * 200)
    assert pacer.real_time_factor() == pytest.approx(0.5, rel=0.01)


def test_a_frame_is_caught_up_without_a_burst() -> None:
    clock = FakeClock()
    pacer = Pacer(0.005, 1.0, clock)
    began = run(pacer, clock, ([0.020] + [0.001] * 12) * 50)
    assert pacer.real_time_factor() == pytest.approx(1.0, rel=0.02)
    gaps = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert min(gaps) >= 0.005 / CATCH_UP - 1e-9


@given(stall=st.floats(1.0, 100.0))
def test_a_long_stall_is_forgotten_beyond_the_backlog(stall: float) -> None:
    clock = FakeClock()
    pacer = Pacer(0.005, 1.0, clock)
    began = run(pacer, clock, [0.0] * 10 + [stall] + [0.0] * 400)
    simulated, elapsed = 0.005 * 410, began[-1] - began[0]
    assert elapsed - simulated == pytest.approx(stall - BACKLOG, abs=0.02)


def test_pace_can_change() -> None:
    clock = FakeClock()
    pacer = Pacer(0.005, 1.0, clock)
    run(pacer, clock, [0.0] * 10)
    pacer.set_factor(0.5)
    began = run(pacer, clock, [0.0] * 11)
    assert began[-1] - began[0] == pytest.approx(0.1)


@given(rate=st.sampled_from([1.0, 7.5, 15.0, 30.0, 60.0]), seconds=st.integers(1, 20))
def test_frames_come_at_their_rate_on_ticks(rate: float, seconds: int) -> None:
    schedule = FrameSchedule(rate)
    taken = [k for k in range(200 * seconds) if schedule.due(k * 5_000_000)]
    assert len(taken) == math.ceil(rate * seconds)
    for number, tick in enumerate(taken):
        late = tick * 0.005 - number / rate
        assert -1e-6 <= late < 0.005


def test_frames_missed_are_not_repeated() -> None:
    schedule = FrameSchedule(10.0)
    assert schedule.due(0)
    assert schedule.due(1_000_000_000)
    assert not schedule.due(1_005_000_000)


@pytest.mark.parametrize(("tick", "factor"), [(0.0, 1.0), (0.005, 0.0), (-1.0, 1.0), (0.005, float("nan"))])
def test_nonsense_is_refused(tick: float, factor: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pacer(tick, factor)
    with pytest.raises(ValueError, match="above 0"):
        FrameSchedule(0.0)
