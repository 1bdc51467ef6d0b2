"""The arithmetic of `make bench-runtime`: what counts as overhead, as jitter, and what is left out."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_sim.runtime.figures import PERIOD, Tally, delays, jitter, percentile
from vipa_sim.runtime.records import CHUNK_COLUMNS, Notebook, Records


def chunk(
    captured: float, began: float, inference: float, accepted: float, identifier: int = 1, handed: float = 0.001
) -> list[float]:
    """A row: synchronised 4 ms after the image, published and received 1 ms apart."""
    inferred = began + inference
    published = inferred + handed
    return [identifier, captured, captured + 0.004, inferred, published, published + handed, accepted, inference]


def records(chunks: list[list[float]], handed: list[float] | None = None) -> Records:
    streamed = [[moment, moment, 1e-4] for moment in handed or []]
    return Records(np.array(chunks).reshape(-1, len(CHUNK_COLUMNS)), np.array(streamed).reshape(-1, 3))


def test_overhead_is_what_is_left_of_the_way_without_the_model() -> None:
    found = delays(records([chunk(10.0, 10.006, 0.058, 10.068)]))
    assert found.overhead == pytest.approx([10.0])
    assert found.inference == pytest.approx([58.0])
    assert found.busy == pytest.approx([0.0])
    assert found.synchronised == pytest.approx([4.0])
    assert found.prepared == pytest.approx([2.0])


def test_time_in_which_the_model_was_still_on_an_earlier_image_is_its_own() -> None:
    # The second image came 20 ms before the model was done with the first, and was taken up at once then.
    first = chunk(10.0, 10.006, 0.058, 10.067)
    second = chunk(10.044, 10.066, 0.058, 10.130, identifier=2)
    found = delays(records([first, second]))
    assert found.busy == pytest.approx([0.0, 20.0])
    assert found.overhead[1] == pytest.approx(1e3 * (10.130 - 10.044) - 58.0 - 20.0)
    assert found.prepared[1] == pytest.approx(2.0)


def test_images_overtaken_while_the_model_worked_do_not_count() -> None:
    """They have no row: a third image between two chunks changes nothing about either."""
    two = [chunk(10.0, 10.006, 0.058, 10.067), chunk(10.060, 10.066, 0.058, 10.130, identifier=2)]
    assert len(delays(records(two)).overhead) == 2


def test_refused_chunks_have_no_overhead_but_the_model_worked_on_them() -> None:
    refused = chunk(10.0, 10.006, 0.058, math.nan)
    second = chunk(10.044, 10.066, 0.058, 10.130, identifier=2)
    found = delays(records([refused, second]))
    assert len(found.overhead) == 1
    assert found.busy == pytest.approx([20.0])


@given(
    inference=st.floats(0.001, 0.2),
    gap=st.floats(0.0, 0.1),
    costs=st.lists(st.floats(0.0, 0.05), min_size=2, max_size=2),
)
def test_overhead_does_not_depend_on_how_long_the_model_took(inference: float, gap: float, costs: list[float]) -> None:
    before, after = costs
    began = 10.0 + 0.004 + before
    accepted = began + inference + after
    found = delays(records([chunk(10.0, began, inference, accepted)]))
    assert found.overhead == pytest.approx([1e3 * (0.004 + before + after)], abs=1e-3)
    assert found.busy[0] >= 0.0


def test_the_wait_is_until_the_next_setpoint() -> None:
    found = delays(records([chunk(10.0, 10.006, 0.058, 10.0685)], handed=[10.06, 10.07, 10.08]))
    assert found.wait == pytest.approx([1.5])
    assert math.isnan(delays(records([chunk(10.0, 10.006, 0.058, 10.0685)], handed=[10.06])).wait[0])


def test_an_even_stream_has_no_jitter() -> None:
    found = jitter(123.456 + PERIOD * np.arange(100))
    assert found.intervals == pytest.approx(np.zeros(99), abs=1e-6)
    assert found.grid == pytest.approx(np.zeros(100), abs=1e-6)
    assert found.missed == 0


def test_one_late_setpoint_makes_two_wrong_intervals_and_one_off_the_grid() -> None:
    instants = 5.0 + PERIOD * np.arange(100)
    instants[50] += 0.003
    found = jitter(instants)
    assert np.flatnonzero(found.intervals > 1.0).tolist() == [49, 50]
    assert found.intervals[49:51] == pytest.approx([3.0, 3.0])
    assert np.flatnonzero(found.grid > 1.0).tolist() == [50]
    assert found.missed == 0


def test_missed_setpoints_are_counted_and_the_grid_goes_on() -> None:
    instants = np.delete(5.0 + PERIOD * np.arange(100), [20, 60, 61])
    found = jitter(instants)
    assert found.missed == 3
    assert found.grid.max() < 1e-6
    assert found.intervals.max() == pytest.approx(20.0)


@given(phase=st.floats(0.0, 1.0), scale=st.floats(1e-5, 2e-3))
def test_the_phase_of_the_grid_does_not_matter(phase: float, scale: float) -> None:
    noise = np.random.default_rng(0).normal(0.0, scale, 500).clip(-0.004, 0.004)
    there = jitter(np.sort(7.0 + PERIOD * np.arange(500) + noise))
    here = jitter(np.sort(7.0 + PERIOD * phase + PERIOD * np.arange(500) + noise))
    assert here.grid == pytest.approx(there.grid, abs=1e-4)


def test_percentiles_leave_out_what_is_no_number() -> None:
    assert percentile(np.array([1.0, math.nan, 3.0]), 50) == 2.0
    assert math.isnan(percentile(np.array([math.nan]), 50))
    assert math.isnan(percentile(np.zeros(0), 99))


def test_turns_add_up_without_what_lies_between_them() -> None:
    """The seconds between two turns are no interval of setpoints, and no prediction spans them."""
    tally = Tally()
    for begin in (10.0, 100.0):
        instants = [begin + PERIOD * step for step in range(50)]
        tally.add(records([chunk(begin, begin + 0.006, 0.058, begin + 0.068)], handed=instants), 0.5)
    assert (tally.chunks, tally.setpoints, tally.missed, tally.seconds) == (2, 100, 0, 1.0)
    assert tally.percentile("jitter", 100) < 1e-6
    assert tally.percentile("overhead", 50) == pytest.approx(10.0)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    book = Notebook(CHUNK_COLUMNS)
    book.note(*chunk(10.0, 10.006, 0.058, 10.068))
    book.note(*chunk(20.0, 20.006, 0.058, 20.068))
    Records(book.table(), np.array([[10.0, 1.0, 0.0], [20.0, 11.0, 0.0]])).save(tmp_path / "noted.npz")
    read = Records.load(tmp_path / "noted.npz").between(15.0, 25.0)
    assert read.chunks[:, 1].tolist() == [20.0]
    assert read.setpoints[:, 1].tolist() == [11.0]
    assert [path.name for path in tmp_path.iterdir()] == ["noted.npz"]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 8 numbers"):
        Notebook(CHUNK_COLUMNS).note(1.0)
