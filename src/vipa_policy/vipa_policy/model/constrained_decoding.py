"""Grammar-constrained decoding of trajectories: whatever a model's logits are, what comes out is a trajectory.

    answer := <motion_begin> (x y z){minimum, maximum} <motion_end> after*

The single place for this grammar. ``MotionConstraint`` goes into ``generate(logits_processor=[...])``; ``constrain``
serves loops of one's own. The state of a row is read off its own tokens, so that rows may stand at different places
and beams may be reordered. Guarded by tests/unit/test_constrained_decoding.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessor

from vipa_policy.errors import MotionError
from vipa_policy.model.vocabulary_extension import MotionVocabulary

STATE_BEGIN, STATE_X, STATE_Y, STATE_Z, STATE_X_OR_END, STATE_END, STATE_AFTER = range(7)


@dataclass(frozen=True)
class MotionGrammar:
    """How long a trajectory may be, and what follows it.

    Attributes:
        vocabulary: motion tokens with their ids.
        minimum, maximum: waypoints, both included.
        after: ids allowed once the trajectory has ended (end of text, padding); none allows <motion_end> again.

    Raises:
        MotionError: limits that no trajectory meets.
    """

    vocabulary: MotionVocabulary
    minimum: int = 1
    maximum: int = 64
    after: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise MotionError(f"expected 0 <= minimum <= maximum waypoints, got {self.minimum} and {self.maximum}")

    @property
    def longest(self) -> int:
        """Tokens of the longest trajectory: what ``max_new_tokens`` has to allow."""
        return 3 * self.maximum + 2

    def table(self, size: int, device: torch.device | None = None) -> Tensor:
        """Return (7, size) bool: which of ``size`` tokens each state allows; raises MotionError if they are too few."""
        vocabulary = self.vocabulary
        largest = max(*vocabulary.ids, *self.after)
        if largest >= size:
            raise MotionError(
                f"expected logits for more than {largest} tokens, got {size}; extend the model together with its "
                "tokenizer (vipa_policy.model.vocabulary_extension)"
            )
        axes = [vocabulary.axis_ids(axis) for axis in range(3)]
        allowed = {
            STATE_BEGIN: [vocabulary.begin],
            STATE_X: axes[0],
            STATE_Y: axes[1],
            STATE_Z: axes[2],
            STATE_X_OR_END: [*axes[0], vocabulary.end],
            STATE_END: [vocabulary.end],
            STATE_AFTER: list(self.after or (vocabulary.end,)),
        }
        table = torch.zeros(len(allowed), size, dtype=torch.bool)
        for state, ids in allowed.items():
            table[state, ids] = True
        return table.to(device)

    def states(self, generated: Tensor) -> Tensor:
        """Return the states (B, G + 1) before each of the generated tokens (B, G), and after the last."""
        batch, length = generated.shape
        places = torch.arange(length + 1, device=generated.device)
        waypoints, axis = (places - 1).div(3, rounding_mode="floor"), (places - 1) % 3
        between = torch.full_like(places, STATE_X_OR_END)
        between[waypoints < self.minimum] = STATE_X
        between[waypoints >= self.maximum] = STATE_END
        fixed = torch.where(axis == 0, between, STATE_X + axis)
        fixed[0] = STATE_BEGIN
        ended = (generated == self.vocabulary.end).cumsum(dim=1) > 0
        never = ended.new_zeros(batch, 1)
        return torch.where(torch.cat([never, ended], dim=1), STATE_AFTER, fixed)


def allowed_next(grammar: MotionGrammar, generated: Tensor, lengths: Tensor, table: Tensor) -> Tensor:
    """Return (B, V) bool: which tokens may follow.

    Args:
        grammar: limits and ids.
        generated: (B, G) ids since the prompt, from the left.
        lengths: (B,) how many of them each row has; what stands behind is not looked at.
        table: ``grammar.table(V)``.

    Raises:
        MotionError: what was generated so far is no beginning of a trajectory.
    """
    states = grammar.states(generated)
    places = torch.arange(generated.shape[1], device=generated.device)
    # After the end anything may stand: generate() pads as it likes.
    counted = (places < lengths[:, None]) & (states[:, :-1] != STATE_AFTER)
    wrong = counted & ~table[states[:, :-1], generated]
    if wrong.any():
        row, place = (int(value) for value in wrong.nonzero()[0])
        raise MotionError(
            f"expected the beginning of a trajectory, got token {int(generated[row, place])} at place {place} of row "
            f"{row}; give the length of the prompt, so that its tokens are not taken for generated ones"
        )
    return table[states.gather(1, lengths[:, None]).squeeze(1)]


def since_prompt(ids: Tensor, prompt_length: int | Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens (B, G) after each row's prompt, from the left, and their numbers (B,).

    Args:
        ids: (B, L) prompts and what followed; all rows end at L.
        prompt_length: columns that are the prompt: an int, or a tensor with a row for every B / rows beams.
    """
    rows, total = ids.shape
    if isinstance(prompt_length, int):
        return ids[:, prompt_length:], ids.new_full((rows,), total - prompt_length)
    starts = prompt_length.to(ids.device).repeat_interleave(rows // len(prompt_length))
    lengths = total - starts
    places = starts[:, None] + torch.arange(int(lengths.max()), device=ids.device)
    return ids.gather(1, places.clamp(max=total - 1)), lengths


def constrain(scores: Tensor, allowed: Tensor) -> Tensor:
    """Return scores (B, V) in float32 with -inf where a token is not allowed, and finite where it is.

    An allowed token whose logit is NaN or -inf gets the lowest finite score: even a model that has diverged must be
    left with a choice. The bound leaves room for temperatures down to 1e-8.
    """
    bound = 1e30
    finite = scores.float().nan_to_num(nan=-bound, posinf=bound, neginf=-bound).clamp(-bound, bound)
    return finite.masked_fill(~allowed, -torch.inf)


class MotionConstraint(LogitsProcessor):
    """The grammar as a logits processor of transformers' ``generate``.

    Set ``eos_token_id`` to the id of <motion_end> (or ``after`` to that of the end of text), and ``max_new_tokens`` to
    ``grammar.longest`` or more.
    """

    def __init__(self, grammar: MotionGrammar, prompt_length: int | Tensor) -> None:
        """Make a constraint for one call of ``generate``.

        Args:
            grammar: limits and ids.
            prompt_length: columns of ``input_ids`` that are the prompt, padding included; 0 where the prompt is given
                as embeddings; one less where the prompt ends with <motion_begin>. A tensor (B,) where rows that
                started at different times share a batch; all of them end at the last column.
        """
        self.grammar = grammar
        self.prompt_length = prompt_length
        self._table: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores (B, V) with every token forbidden that leaves the grammar.

        Args:
            input_ids: (B, L) prompt and what has been generated.
            scores: (B, V) logits.
        """
        table = self._table
        if table is None or table.shape[1] != scores.shape[1] or table.device != scores.device:
            table = self._table = self.grammar.table(scores.shape[1], scores.device)
        generated, lengths = since_prompt(input_ids, self.prompt_length)
        return constrain(scores, allowed_next(self.grammar, generated, lengths, table))
