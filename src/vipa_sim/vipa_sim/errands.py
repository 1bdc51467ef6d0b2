"""What to ask for in a layout: random errands by seed, never the same words twice in a row. No ROS.

The single place where evaluation and demonstrations choose their instructions. Guarded by tests/unit/test_errands.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vipa_sim.experts import instruction


@dataclass(frozen=True)
class Errand:
    """What a trial asks for: task, words, name of the block, and of the bowl ("" where the task has none)."""

    task: str
    words: str
    target: str
    destination: str


def choose_errands(
    task: str, blocks: Sequence[str], bowls: Sequence[str], generator: np.random.Generator, last_words: str = ""
) -> list[Errand]:
    """Return an errand for each block in random order; the first is not for ``last_words``.

    Words that a stop has cancelled do not start an arm again, so no two trials in a row may use the same.

    Args:
        task: "reach", "pick" or "place".
        blocks: colours of the blocks, two or more.
        bowls: colours of the bowls; one of them is drawn for "place".
        generator: of the choice.
        last_words: of the trial before.

    Raises ValueError where there are fewer than two blocks, or no bowl for "place".
    """
    if len(blocks) < 2 or (task == "place" and not bowls):
        raise ValueError(f"expected two blocks or more, and a bowl for 'place'; got {list(blocks)} and {list(bowls)}")
    bowl = str(generator.choice(list(bowls))) if task == "place" else None
    errands = []
    for block in generator.permutation(list(blocks)):
        words = instruction(task, str(block), bowl)
        errands.append(Errand(task, words, f"{block}_block", f"{bowl}_bowl" if bowl else ""))
    if errands[0].words == last_words:
        errands.append(errands.pop(0))
    return errands
