"""Errands: reproducible, about what is there, never the same words twice in a row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipa_sim.errands import choose_errands
from vipa_sim.experts import parse_instruction
from vipa_sim.scene import COLOURS


@given(
    seed=st.integers(0, 1000),
    task=st.sampled_from(["reach", "pick", "place"]),
    blocks=st.lists(st.sampled_from(list(COLOURS)), min_size=2, max_size=4, unique=True),
)
def test_every_block_once_with_words_that_mean_it(seed: int, task: str, blocks: list[str]) -> None:
    errands = choose_errands(task, blocks, ["white", "black"], np.random.default_rng(seed))
    assert sorted(errand.target for errand in errands) == sorted(f"{block}_block" for block in blocks)
    for errand in errands:
        meant = parse_instruction(errand.words)
        assert (meant.task, f"{meant.colour}_block") == (task, errand.target)
        assert errand.destination == (f"{meant.bowl}_bowl" if task == "place" else "")
    assert errands == choose_errands(task, blocks, ["white", "black"], np.random.default_rng(seed))
    again = choose_errands(task, blocks, ["white", "black"], np.random.default_rng(seed), errands[0].words)
    assert again[0].words != errands[0].words


def test_all_blocks_come_first_now_and_then() -> None:
    firsts = [
        choose_errands("reach", ["red", "green", "blue"], [], np.random.default_rng(s))[0].target for s in range(99)
    ]
    assert {firsts.count(f"{colour}_block") > 15 for colour in ("red", "green", "blue")} == {True}


def test_nothing_to_choose_from_is_refused() -> None:
    with pytest.raises(ValueError, match="two blocks"):
        choose_errands("reach", ["red"], [], np.random.default_rng(0))
    with pytest.raises(ValueError, match="bowl"):
        choose_errands("place", ["red", "blue"], [], np.random.default_rng(0))
