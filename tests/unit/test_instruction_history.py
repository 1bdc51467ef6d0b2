"""Which words were used by which chunks, whatever comes in whatever order."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_policy.instruction_history import KEPT, InstructionHistory

WORDS = st.sampled_from(["reach the red block", "go left", "stop"])
EVENTS = st.lists(st.one_of(st.just(None), WORDS), max_size=60)


@given(EVENTS)
def test_every_chunk_belongs_to_the_words_it_was_predicted_for(events: list[str | None]) -> None:
    """None is a chunk for whatever is in force."""
    history = InstructionHistory()
    force, published, told = "", {}, 0
    for step, event in enumerate(events):
        now = 10.0 + step
        if event is not None:
            history.in_force(event, now)
            force = event
        elif force:
            told += 1
            first = history.chunk(told, force, now)
            assert first == (history.uses[-1].first_chunk == told)
            published[told] = (force, now)
    uses = history.uses
    assert len(uses) <= KEPT
    assert all(one.instruction != other.instruction for one, other in itertools.pairwise(uses))
    ranges = [(use.first_chunk, use.last_chunk) for use in uses if use.first_chunk]
    # In order, without gaps, up to the newest.
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ranges))
    assert not ranges or ranges[-1][1] == told
    for use in uses:
        if not use.first_chunk:
            assert (use.last_chunk, use.first_published) == (0, 0.0)
            assert math.isnan(use.latency)
            continue
        assert all(published[number][0] == use.instruction for number in range(use.first_chunk, use.last_chunk + 1))
        assert use.first_published == published[use.first_chunk][1]
        assert use.latency == use.first_published - use.heard >= 0.0
    assert history.last_chunk == (uses[-1].last_chunk if uses else 0)


def test_a_chunk_for_other_words_or_numbered_again_is_refused() -> None:
    history = InstructionHistory()
    with pytest.raises(ValueError, match="expected a chunk for ''"):
        history.chunk(1, "go left", 1.0)
    history.in_force("go left", 1.0)
    history.chunk(1, "go left", 1.1)
    with pytest.raises(ValueError, match="expected a chunk for 'go left', which is in force, got one for 'stop'"):
        history.chunk(2, "stop", 1.2)
    with pytest.raises(ValueError, match="numbered higher than 1, got 1"):
        history.chunk(1, "go left", 1.2)


def test_words_that_a_stop_interrupted_are_used_again_as_a_use_of_their_own() -> None:
    history = InstructionHistory()
    for words, chunk in (("go left", 1), ("stop", 0), ("go left", 2)):
        history.in_force(words, 1.0)
        if chunk:
            history.chunk(chunk, words, 1.5)
    assert [(use.instruction, use.first_chunk) for use in history.uses] == [("go left", 1), ("stop", 0), ("go left", 2)]
