"""Whatever the logits are, a constrained decoder ends with a trajectory."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.small_language import language_model, word_tokenizer

from vipa_policy.errors import MotionError
from vipa_policy.model.constrained_decoding import MotionConstraint, MotionGrammar
from vipa_policy.model.motion_tokens import MotionTokens
from vipa_policy.model.vocabulary_extension import extend_tokenizer, extend_vocabulary

VOCABULARIES = {
    sharing: extend_tokenizer(word_tokenizer(), MotionTokens(bins=8, sharing=sharing))
    for sharing in ("per_axis", "shared")
}
ROWS = 48  # of logits; some belong to no token
HOSTILE = [float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 0.0]


def hostile_logits(generator, batch):
    scores = torch.randn(batch, ROWS, generator=generator) * 50
    strange = torch.tensor(HOSTILE)[torch.randint(len(HOSTILE), (batch, ROWS), generator=generator)]
    return torch.where(torch.rand(batch, ROWS, generator=generator) < 0.3, strange, scores)


limits = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted)


@given(st.sampled_from(["per_axis", "shared"]), limits, st.integers(1, 4), st.integers(0, 2**31), st.booleans())
def test_any_logits_decode_to_a_trajectory_within_the_limits(sharing, few_many, batch, seed, greedy):
    vocabulary = VOCABULARIES[sharing]
    grammar = MotionGrammar(vocabulary, *few_many, after=(0, 2))
    generator = torch.Generator().manual_seed(seed)
    prompt = torch.randint(ROWS, (batch, 3), generator=generator)  # may hold motion tokens, too
    constraint, ids = MotionConstraint(grammar, 3), prompt
    for _ in range(grammar.longest):
        scores = constraint(ids, hostile_logits(generator, batch))
        drawn = scores.argmax(-1) if greedy else torch.multinomial(scores.softmax(-1), 1, generator=generator)[:, 0]
        ids = torch.cat([ids, drawn[:, None]], dim=1)
    for row in ids[:, 3:].tolist():
        end = row.index(vocabulary.end)
        positions = vocabulary.decode(row)
        assert row[0] == vocabulary.begin
        assert len(positions) == (end - 1) / 3
        assert few_many[0] <= len(positions) <= few_many[1]
        assert set(row[end + 1 :]) <= {0, 2}


def test_every_trajectory_within_the_limits_is_possible():
    """The grammar forbids nothing that it should not: a preferred trajectory is decoded as it is."""
    vocabulary = VOCABULARIES["per_axis"]
    for waypoints in (1, 2, 3):
        positions = np.random.default_rng(waypoints).uniform([-0.5, -0.5, 0], [0.5, 0.5, 1], (waypoints, 3))
        wanted, _ = vocabulary.encode(positions)
        constraint, ids = MotionConstraint(MotionGrammar(vocabulary, 1, 3), 0), torch.zeros(1, 0, dtype=torch.long)
        for token in wanted:
            scores = torch.zeros(1, ROWS)
            scores[0, token] = 1.0
            ids = torch.cat([ids, constraint(ids, scores).argmax(-1)[:, None]], dim=1)
        assert ids[0].tolist() == wanted


@pytest.mark.parametrize("sharing", ["per_axis", "shared"])
def test_rows_may_stand_at_different_states(sharing):
    vocabulary = VOCABULARIES[sharing]
    begin, end = vocabulary.begin, vocabulary.end
    x, y, z = (vocabulary.axis_ids(axis)[3] for axis in range(3))
    rows = [
        ([], {begin}),
        ([begin], set(vocabulary.axis_ids(0))),
        ([begin, x], set(vocabulary.axis_ids(1))),
        ([begin, x, y], set(vocabulary.axis_ids(2))),
        ([begin, x, y, z], {*vocabulary.axis_ids(0), end}),
        ([begin, x, y, z, x, y, z], {end}),
        ([begin, x, y, z, end], {2}),
        ([begin, x, y, z, end, 2, 0], {2}),
    ]
    longest = max(len(row) for row, _ in rows)
    ids = torch.tensor([[5] * (longest + 1 - len(row)) + row for row, _ in rows])
    prompts = torch.tensor([longest + 1 - len(row) for row, _ in rows])
    constraint = MotionConstraint(MotionGrammar(vocabulary, 1, 2, after=(2,)), prompts)
    together = constraint(ids, torch.zeros(len(rows), ROWS))
    for index, (row, allowed) in enumerate(rows):
        assert set(together[index].isfinite().nonzero()[:, 0].tolist()) == allowed
        alone = MotionConstraint(constraint.grammar, len(ids[0]) - len(row))
        assert torch.equal(alone(ids[index : index + 1], torch.zeros(1, ROWS))[0], together[index])
    twice = constraint(ids.repeat_interleave(2, dim=0), torch.zeros(2 * len(rows), ROWS))  # two beams a row
    assert torch.equal(twice, together.repeat_interleave(2, dim=0))


@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "temperature": 0.3, "top_k": 4}, {"num_beams": 3}])
@pytest.mark.parametrize("family", ["qwen3", "internvl"])
def test_generate_ends_with_trajectories(family, settings):
    model, tokenizer = language_model(family), word_tokenizer()
    vocabulary = extend_vocabulary(model, tokenizer, MotionTokens(bins=16))
    prompt = tokenizer(["move the left hand", "move the red cup to the right"], return_tensors="pt", padding=True)
    length = prompt["input_ids"].shape[1]
    grammar = MotionGrammar(vocabulary, 2, 5, after=(tokenizer.pad_token_id,))
    torch.manual_seed(0)
    out = model.generate(
        input_ids=prompt["input_ids"],
        attention_mask=prompt["attention_mask"],
        logits_processor=[MotionConstraint(grammar, length)],
        max_new_tokens=grammar.longest,
        eos_token_id=vocabulary.end,
        pad_token_id=tokenizer.pad_token_id,
        **{"do_sample": False, **settings},
    )
    for row in out[:, length:].tolist():
        assert 2 <= len(vocabulary.decode(row)) <= 5


def test_a_prompt_that_ends_with_begin_is_continued():
    vocabulary = VOCABULARIES["per_axis"]
    ids = torch.tensor([[4, 5, vocabulary.begin]])
    scores = MotionConstraint(MotionGrammar(vocabulary), 2)(ids, torch.zeros(1, ROWS))
    assert set(scores[0].isfinite().nonzero()[:, 0].tolist()) == set(vocabulary.axis_ids(0))


def test_what_cannot_be_continued_is_refused():
    vocabulary = VOCABULARIES["per_axis"]
    grammar = MotionGrammar(vocabulary)
    with pytest.raises(MotionError, match="token 7 at place 1 of row 1"):
        MotionConstraint(grammar, 0)(
            torch.tensor([[vocabulary.begin, vocabulary.axis_ids(0)[0]], [vocabulary.begin, 7]]), torch.zeros(2, ROWS)
        )
    with pytest.raises(MotionError, match="extend the model"):
        MotionConstraint(grammar, 0)(torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 12))
    with pytest.raises(MotionError, match="minimum <= maximum"):
        MotionGrammar(vocabulary, 3, 2)


def test_allowed_scores_are_kept_and_forbidden_ones_gone():
    vocabulary = VOCABULARIES["per_axis"]
    scores = torch.randn(1, ROWS, generator=torch.Generator().manual_seed(0), dtype=torch.bfloat16)
    constrained = MotionConstraint(MotionGrammar(vocabulary), 0)(torch.tensor([[vocabulary.begin]]), scores)
    own = vocabulary.axis_ids(0)
    assert constrained.dtype == torch.float32
    assert torch.equal(constrained[0, own], scores[0, own].float())
    assert constrained.isinf().sum() == ROWS - len(own)
