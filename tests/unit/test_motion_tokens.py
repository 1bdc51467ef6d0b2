"""Trajectories become motion tokens and come back within half a bin; what cannot is refused, and clipping counted."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vipa_policy.errors import CheckpointError, MotionError
from vipa_policy.model.motion_tokens import BEGIN, END, FIRST_BIN, Clipping, MotionTokens, motion_prompt

vocabularies = st.builds(
    lambda low, extent, bins, sharing: MotionTokens(bins, low, tuple(np.add(low, extent).tolist()), sharing),
    st.tuples(*[st.floats(-2, 2)] * 3),
    st.tuples(*[st.floats(0.1, 3)] * 3),
    st.integers(2, 2000),
    st.sampled_from(["per_axis", "shared"]),
)
START, VELOCITY = np.array([0, 0, 0.4]), np.array([0.1, -0.2, 0.05])
trajectories = arrays(float, st.tuples(st.integers(0, 12), st.just(3)), elements=st.floats(-1e6, 1e6))


def test_the_paper_has_1024_bins_of_a_millimetre():
    tokens = MotionTokens()
    assert tokens.bin_width == pytest.approx([1 / 1024] * 3)
    bins, _ = tokens.quantise([[-0.5, 0.0, 0.0], [0.5, 0.4999, 1.0]])
    assert bins.tolist() == [[0, 512, 0], [1023, 1023, 1023]]


@pytest.mark.parametrize(("sharing", "count"), [("per_axis", 3 * 1024 + 2), ("shared", 1024 + 2)])
def test_every_motion_index_has_a_name_of_its_own(sharing, count):
    tokens = MotionTokens(sharing=sharing)
    assert tokens.size == len(tokens.names) == len(set(tokens.names)) == count
    covered = {index for axis in range(3) for index in tokens.axis_indices(axis)}
    assert covered == set(range(FIRST_BIN, count))


@given(vocabularies, trajectories)
def test_round_trip_is_within_half_a_bin_of_the_clipped_trajectory(tokens, positions):
    indices, _ = tokens.encode(positions)
    back = tokens.decode(indices)
    clipped = np.clip(positions, tokens.minimum, tokens.maximum)
    assert back.shape == positions.shape
    assert (np.abs(back - clipped) <= tokens.bin_width / 2 + 1e-12).all()


@given(vocabularies, trajectories)
def test_decoded_trajectories_encode_to_the_same_tokens(tokens, positions):
    indices, _ = tokens.encode(positions)
    again, clipping = tokens.encode(tokens.decode(indices))
    assert again == indices
    assert clipping.below == clipping.above == (0, 0, 0)


@given(trajectories)
def test_clipping_is_counted_per_axis(positions):
    tokens = MotionTokens()
    _, clipping = tokens.encode(positions)
    assert clipping.waypoints == len(positions)
    for axis in range(3):
        assert clipping.below[axis] == sum(row[axis] < tokens.minimum[axis] for row in positions)
        assert clipping.above[axis] == sum(row[axis] > tokens.maximum[axis] for row in positions)


def test_clipping_adds_up_and_tells_shares():
    total = sum((MotionTokens().encode(row)[1] for row in ([[0.6, 0, 0.5]], [[0, -0.9, 1.5]])), Clipping())
    assert total == Clipping(2, (0, 1, 0), (1, 0, 1))
    assert total.share == (0.5, 0.5, 0.5)
    assert "y 50.00% (1 below, 0 above)" in str(total)
    assert Clipping().share == (0, 0, 0)


def test_waypoints_are_flattened_over_time_in_the_order_x_y_z():
    positions = [[-0.5, 0.0, 0.25], [0.25, -0.25, 0.75]]
    shared, _ = MotionTokens(sharing="shared").encode(positions)
    assert shared == [BEGIN, *(2 + bin_ for bin_ in (0, 512, 256, 768, 256, 768)), END]
    own, _ = MotionTokens().encode(positions)
    assert own == [BEGIN, 2, 2 + 1024 + 512, 2 + 2048 + 256, 2 + 768, 2 + 1024 + 256, 2 + 2048 + 768, END]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_positions_that_are_not_finite_are_refused(bad):
    with pytest.raises(MotionError, match="waypoint 1 of 2"):
        MotionTokens().encode([[0, 0, 0.5], [0, bad, 0.5]])


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 2, 3)])
def test_positions_of_another_shape_are_refused(shape):
    with pytest.raises(MotionError, match=r"\(N, 3\)"):
        MotionTokens().encode(np.zeros(shape))


@pytest.mark.parametrize(
    ("indices", "told"),
    [
        ([], "nothing"),
        ([BEGIN, 2, 1026, 2050], "<motion_begin> <motion_x_0>"),
        ([2, 1026, 2050, END], "expected <motion_begin>"),
        ([BEGIN, 2, 1026, END], "three tokens a waypoint, got 2"),
        ([BEGIN, 2, 2050, 1026, END], "a bin of y at place 1 .* got <motion_z_0>"),
        ([BEGIN, 2, 1026, -1, END], "no motion token"),
        ([BEGIN, 2, 1026, END, END], "a bin of z"),
    ],
)
def test_tokens_in_disorder_are_refused(indices, told):
    with pytest.raises(MotionError, match=told):
        MotionTokens().decode(indices)


def test_bins_that_there_are_not_are_refused():
    with pytest.raises(MotionError, match="0 to 1023"):
        MotionTokens().centres([[0, 0, 1024]])
    with pytest.raises(MotionError, match="integers"):
        MotionTokens().centres([[0.0, 0.0, 0.0]])


@given(st.floats(0.5, 30), st.integers(1, 40))
def test_resampling_hits_its_rate_and_keeps_straight_lines(rate, count):
    tokens = dataclasses.replace(MotionTokens(), rate=rate)
    duration = (count - 1) / rate
    times = np.unique(np.append(np.linspace(0, duration, 7), duration)) + 12.5
    positions = START + np.outer(times - 12.5, VELOCITY)
    waypoints = tokens.resample(times, positions)
    assert len(waypoints) == count
    expected = START + np.outer(np.arange(count) / rate, VELOCITY)
    assert np.allclose(waypoints, expected, atol=1e-6)


def test_times_that_do_not_fit_are_refused():
    for times in ([0.0], [0.0, 0.0], [0.1, 0.0], [0.0, np.nan]):
        with pytest.raises(MotionError, match="2 increasing times"):
            MotionTokens().resample(times, np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sharing": "some"}, "per_axis, shared"),
        ({"bins": 1}, "at least 2 bins"),
        ({"rate": 0.0}, "positive waypoint rate"),
        ({"maximum": (0.5, -0.5, 1.0)}, "not empty"),
        ({"minimum": (0.0, np.nan, 0.0)}, "finite ranges"),
        ({"minimum": (0.0, 0.0)}, "range each"),
    ],
)
def test_a_vocabulary_that_makes_no_sense_is_refused(changes, told):
    with pytest.raises(MotionError, match=told):
        MotionTokens(**changes)


@given(vocabularies)
def test_motion_json_survives(tokens):
    assert MotionTokens.from_dict(json.loads(json.dumps(tokens.to_dict()))) == tokens


def test_motion_json_lies_beside_a_checkpoint(tmp_path):
    assert MotionTokens.load(tmp_path) is None
    tokens = MotionTokens(sharing="shared", rate=15.0)
    tokens.save(tmp_path)
    assert MotionTokens.load(tmp_path) == tokens


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"version": 2}', "version 2, this vipa_policy reads 1 to 1"),
        ("{}", "version None"),
        ('{"version": 1, "bins": 1024}', "does not describe motion tokens"),
        ('{"version": 1', "cut short"),
        ("[]", "no object"),
    ],
)
def test_a_motion_json_that_cannot_be_read_is_refused(tmp_path, text, told):
    (tmp_path / "motion.json").write_text(text)
    with pytest.raises(CheckpointError, match=told):
        MotionTokens.load(tmp_path)


def test_the_prompt_names_the_hand():
    assert motion_prompt("Cut the paper.", "left", 8) == (
        "Cut the paper: what is the 8-step motion sequence of the left hand?"
    )
    with pytest.raises(MotionError, match="left, right"):
        motion_prompt("Cut the paper.", "third", 8)
    with pytest.raises(MotionError, match="at least one"):
        motion_prompt("Cut the paper.", "left", 0)
