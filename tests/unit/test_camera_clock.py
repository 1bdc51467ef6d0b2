"""Stamps of a camera in system time: properties of the offset, whatever the frames' way to us takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.camera.clock import JUMP, LONGEST_READOUT, WINDOW, ClockMap, readout_delay

PERIOD = 1.0 / 30.0


@pytest.mark.parametrize("domain", ["global_time", "system_time"])
def test_system_time_stays_as_it_is(domain: str) -> None:
    clock = ClockMap()
    assert clock.to_system(1000.0, domain, 1000.02) == 1000.0
    assert clock.is_system
    assert str(clock) == f"{domain}, offset +0.000000 s"


@given(
    st.lists(st.floats(0.0, 0.5), min_size=1, max_size=60),
    st.floats(0.001, 0.02),
    st.floats(-1e9, 1e9),
)
def test_a_foreign_clock_is_late_by_the_quickest_way_and_never_early(
    delays: list[float], quickest: float, origin: float
) -> None:
    clock = ClockMap()
    for index, delay in enumerate(delays):
        captured = origin + index * PERIOD
        stamp = clock.to_system(5.0 + index * PERIOD, "hardware_clock", captured + quickest + delay)
        least = quickest + min(delays[: index + 1])
        assert stamp == pytest.approx(captured + least, abs=1e-5)
    assert not clock.is_system
    assert clock.jumps == 0


def test_drift_is_followed() -> None:
    clock, drift = ClockMap(), 50e-6
    for index in range(int(300 / PERIOD)):
        captured = index * PERIOD
        stamp = clock.to_system(captured * (1.0 + drift), "hardware_clock", captured + 0.01)
    assert abs(stamp - captured - 0.01) <= drift * WINDOW


def test_a_restarted_device_is_another_clock() -> None:
    clock = ClockMap()
    clock.to_system(5000.0, "hardware_clock", 100.0)
    assert clock.to_system(1.0, "hardware_clock", 101.0) == pytest.approx(101.0)
    assert clock.to_system(1.0 + PERIOD, "hardware_clock", 101.0 + PERIOD) == pytest.approx(101.0 + PERIOD)
    assert clock.jumps == 1


def test_a_jump_ahead_is_another_clock_too() -> None:
    clock = ClockMap()
    clock.to_system(1.0, "hardware_clock", 100.0)
    assert clock.to_system(1.0 + 2 * JUMP, "hardware_clock", 100.03) == pytest.approx(100.03)
    assert clock.jumps == 1


def test_when_librealsense_changes_the_clock_the_offset_goes() -> None:
    clock = ClockMap()
    clock.to_system(1.0, "hardware_clock", 100.0)
    assert clock.to_system(100.02, "global_time", 100.04) == 100.02
    assert clock.jumps == 1
    assert clock.offset == 0.0


def test_a_recording_is_foreign_whatever_it_says_and_may_keep_its_first_offset() -> None:
    clock = ClockMap(foreign=True, fixed=True)
    assert clock.to_system(50.0, "system_time", 1000.0) == 1000.0
    assert clock.to_system(60.0, "system_time", 1000.1) == 1010.0
    assert str(clock) == "recording, offset +950.000000 s"
    assert clock.jumps == 0


def test_the_exposure_lies_before_the_readout() -> None:
    assert readout_delay(1_000_000, 988_000) == pytest.approx(0.012)
    assert readout_delay(None, 5) == readout_delay(5, None) == 0.0
    # Metadata of different clocks, or none at all, is not believed.
    assert readout_delay(0, 988_000) == 0.0
    assert readout_delay(round(1e6 * (LONGEST_READOUT + 0.1)), 0) == 0.0
