"""A language model learns motion tokens as words: new rows, old ones untouched to the bit."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from support.small_language import FAMILIES, WORDS, language_model, word_tokenizer
from support.small_network import make_view
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from vipa_policy.errors import CheckpointError, MotionError
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.motion_tokens import MotionTokens
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.model.vocabulary_extension import MotionVocabulary, embeddings_of, extend_tokenizer, extend_vocabulary

FEW = MotionTokens(bins=64)
PADDED = 20  # rows for 12 words: published vocabularies are padded, too


def matrices(model):
    return [matrix.detach().clone() for matrix, _ in embeddings_of(model)]


@pytest.mark.parametrize("rows", [len(WORDS), PADDED, 400])
@pytest.mark.parametrize("family", FAMILIES)
def test_old_rows_keep_every_bit_and_logits(family, rows):
    model, tokenizer = language_model(family, rows), word_tokenizer()
    ids = torch.tensor([tokenizer("move the red cup to the left")["input_ids"]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    before = matrices(model)
    vocabulary = extend_vocabulary(model, tokenizer, FEW)
    after = matrices(model)
    assert len(before) == len(after) == (2 if "untied" in family else 1)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[: len(WORDS)], new[: len(WORDS)])
        assert len(new) == max(rows, 256)  # 206 tokens rounded up, or the padding that was there
    assert max(vocabulary.ids) < len(after[0]) == model.config.get_text_config().vocab_size
    assert [tokenizer.convert_ids_to_tokens(token) for token in vocabulary.ids] == list(FEW.names)
    with torch.no_grad():
        assert torch.allclose(model(input_ids=ids).logits[..., : len(WORDS)], logits[..., : len(WORDS)], atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_tied_stays_tied(family):
    model = language_model(family)
    extend_vocabulary(model, word_tokenizer(), FEW)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == ("untied" not in family)


@pytest.mark.parametrize("rows", [len(WORDS), PADDED, 400])
@pytest.mark.parametrize("family", FAMILIES)
def test_once_more_changes_nothing(family, rows):
    model, tokenizer = language_model(family, rows), word_tokenizer()
    vocabulary = extend_vocabulary(model, tokenizer, FEW)
    with torch.no_grad():
        model.get_input_embeddings().weight[list(vocabulary.ids)] += 1.0  # as if it had been trained
    before, size = matrices(model), len(tokenizer)
    assert extend_vocabulary(model, tokenizer, FEW, seed=5) == vocabulary
    assert len(tokenizer) == size
    assert all(torch.equal(old, new) for old, new in zip(before, matrices(model), strict=True))


def test_an_extended_tokenizer_with_a_model_that_is_not_gets_its_rows():
    model, tokenizer = language_model("qwen3"), word_tokenizer()
    extend_tokenizer(tokenizer, FEW)
    vocabulary = extend_vocabulary(model, tokenizer, FEW)
    other = language_model("qwen3")
    assert extend_vocabulary(other, word_tokenizer(), FEW) == vocabulary
    assert torch.equal(*(one.get_input_embeddings().weight for one in (model, other)))


def test_new_rows_are_as_long_as_old_ones_and_about_their_mean():
    """Mean and covariance are those of the old rows, the latter scaled; measured over many seeds."""
    model = language_model("qwen3")
    old = model.get_input_embeddings().weight.detach()[: len(WORDS)].clone()
    rows = []
    for seed in range(120):
        fresh, tokenizer = copy.deepcopy(model), word_tokenizer()
        vocabulary = extend_vocabulary(fresh, tokenizer, MotionTokens(bins=2), seed=seed, spread=0.3)
        rows.append(fresh.get_input_embeddings().weight.detach()[list(vocabulary.ids)])
    drawn = torch.stack(rows)  # seeds, tokens, width
    error = (drawn.mean(dim=0) - old.mean(dim=0)).abs().max()
    assert error < 6 * 0.3 * old.std() / 120**0.5
    wanted = 0.3**2 * torch.cov(old.T, correction=0)
    for token in range(drawn.shape[1]):
        got = torch.cov(drawn[:, token].T)
        assert (got - wanted).norm() < 0.5 * wanted.norm()
        assert got.trace() == pytest.approx(float(wanted.trace()), rel=0.2)


@pytest.mark.parametrize("sharing", ["per_axis", "shared"])
def test_new_rows_are_smooth_along_the_bins_and_differ(sharing):
    model, tokens = language_model("qwen3", dtype=torch.bfloat16), MotionTokens(sharing=sharing)
    vocabulary = extend_vocabulary(model, word_tokenizer(), tokens)
    matrix = model.get_input_embeddings().weight.detach().float()
    for axis in range(3):
        rows = matrix[vocabulary.axis_ids(axis)]
        apart = [float((rows[step:] - rows[:-step]).norm(dim=-1).mean()) for step in (1, 16, 128, 800)]
        assert apart == sorted(apart)
        assert 0 < apart[0] < 0.35 * apart[-1]
        assert (rows[1:] - rows[:-1]).norm(dim=-1).min() > 0
    if sharing == "per_axis":
        assert not torch.allclose(matrix[vocabulary.axis_ids(0)], matrix[vocabulary.axis_ids(2)])


def test_new_tokens_take_little_from_what_the_model_said():
    """The bound for rows at the mean is n / (n + V) of the probability; some slack for the spread."""
    rows = 600
    torch.manual_seed(0)
    model = language_model("qwen3", rows)
    entries = {f"word{index}": index for index in range(rows)}
    tokenizer = Tokenizer(WordLevel(entries, unk_token="word0"))
    ids = torch.arange(32)[None]
    vocabulary = extend_vocabulary(model, tokenizer, FEW)
    with torch.no_grad():
        taken = model(input_ids=ids).logits.softmax(dim=-1)[..., list(vocabulary.ids)].sum(dim=-1)
    assert taken.mean() < 1.1 * FEW.size / (FEW.size + rows)


def test_input_and_output_rows_are_the_same_mixtures_where_not_tied():
    model = language_model("qwen3 untied")
    with torch.no_grad():
        model.get_output_embeddings().weight.copy_(2 * model.get_input_embeddings().weight)
    extend_vocabulary(model, word_tokenizer(), FEW)
    assert torch.allclose(model.get_output_embeddings().weight, 2 * model.get_input_embeddings().weight, atol=1e-5)


def test_frozen_embeddings_stay_frozen_and_gradients_reach_new_rows():
    frozen = language_model("qwen3")
    frozen.requires_grad_(False)
    extend_vocabulary(frozen, word_tokenizer(), FEW)
    assert not frozen.get_input_embeddings().weight.requires_grad
    model, tokenizer = language_model("internvl"), word_tokenizer()
    vocabulary = extend_vocabulary(model, tokenizer, FEW)
    ids, _ = vocabulary.encode([[0.1, -0.2, 0.5]])
    model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.backward()
    assert model.get_input_embeddings().weight.grad[ids].abs().sum(dim=-1).min() > 0


def test_trajectories_go_through_text_and_back():
    model, tokenizer = language_model("qwen3"), word_tokenizer()
    vocabulary = extend_vocabulary(model, tokenizer, FEW)
    positions = np.array([[0.1, -0.2, 0.5], [0.2, -0.1, 0.6]])
    ids, clipping = vocabulary.encode(positions)
    assert clipping.share == (0, 0, 0)
    text = "move the left hand " + "".join(tokenizer.convert_ids_to_tokens(ids))
    assert tokenizer(text)["input_ids"][4:] == ids
    assert np.abs(vocabulary.decode(tokenizer(text)["input_ids"]) - positions).max() <= 1 / 128
    for broken, told in ((ids[1:], "without <motion_begin>"), (ids[:-1], "allow more new tokens"), ([], "got 0")):
        with pytest.raises(MotionError, match=told):
            vocabulary.decode(broken)
    with pytest.raises(MotionError, match="no motion token"):
        vocabulary.decode([ids[0], 4, *ids[2:]])


def test_saved_models_and_tokenizers_come_back_extended(tmp_path):
    model, tokenizer = language_model("internvl"), word_tokenizer()
    vocabulary = extend_vocabulary(model, tokenizer, FEW)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    FEW.save(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(again.get_input_embeddings().weight, model.get_input_embeddings().weight)
    read = type(tokenizer).from_pretrained(tmp_path)
    assert MotionVocabulary.of(read, MotionTokens.load(tmp_path)) == vocabulary


def test_a_tokenizer_without_motion_tokens_or_of_another_model_is_refused():
    with pytest.raises(CheckpointError, match="without 194 of them"):
        MotionVocabulary.of(word_tokenizer(), FEW)
    with pytest.raises(CheckpointError, match="id 11 for 8 rows"):
        extend_vocabulary(language_model("qwen3", rows=8), word_tokenizer(), FEW)


def test_a_checkpoint_of_the_policy_learns_motion_tokens_and_predicts_what_it_did(checkpoint, tmp_path):
    words = torch.tensor([[checkpoint.vocabulary.encode("reach the red block")]])
    inputs = stack([prepare_view(make_view(), 64)], 32, torch.device("cpu"))
    with torch.no_grad():
        before = checkpoint.network.condition(inputs, words, torch.ones_like(words, dtype=torch.bool)).hidden
    internvl = checkpoint.network.semantic.internvl
    vocabulary = extend_vocabulary(internvl, checkpoint.vocabulary.tokenizer, FEW)
    semantic = dataclasses.replace(checkpoint.config.semantic, vocabulary_size=len(embeddings_of(internvl)[0][0]))
    config = dataclasses.replace(checkpoint.config, semantic=semantic)
    dataclasses.replace(checkpoint, config=config, motion=FEW).save_pretrained(tmp_path / "taught")
    again = Checkpoint.from_pretrained(tmp_path / "taught")
    assert again.motion == FEW
    assert MotionVocabulary.of(again.vocabulary.tokenizer, again.motion) == vocabulary
    with torch.no_grad():
        after = again.network.condition(inputs, words, torch.ones_like(words, dtype=torch.bool)).hidden
    assert torch.allclose(before, after, atol=1e-6)
