"""Motion tokens in a language model's vocabulary: ids in its tokenizer, rows in its embeddings.

The single place where a transformers model grows by tokens. Works on any causal or image-text model of transformers
and its tokenizer (or a bare ``tokenizers.Tokenizer``). Guarded by tests/unit/test_vocabulary_extension.py.

New rows start as mixtures of the old ones, mean + spread * sum_j weight_j (row_j - mean), with weights that are smooth
along a bin's number:

* Around the mean, because a row there is about as likely as the average token is: by Jensen's inequality n rows at the
  mean of V take at most n / (n + V) of the probability from what the model said before (after Hewitt 2021,
  "Initializing new word embeddings for pretrained language models").
* Mixtures, because random weights give the old rows' covariance scaled by spread squared, without computing it, and
  because the same weights serve an untied output embedding.
* Smooth, because neighbouring bins are a millimetre apart: what is learned about one holds for the next. The weights
  are sums of sines and cosines of wavelengths from twice the range down to ``SHORTEST`` bins, so that neighbours begin
  alike and any two bins can still be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from numpy.typing import ArrayLike
from tokenizers import AddedToken, Tokenizer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vipa_policy.errors import CheckpointError, MotionError
from vipa_policy.geometry import Array
from vipa_policy.model.motion_tokens import BEGIN, END, FIRST_BIN, Clipping, MotionTokens

SPREAD = 0.3  # of the old rows' deviation: apart enough to tell bins apart, near enough to the mean for the bound above
SHORTEST = 8  # bins, shortest wavelength along a bin's number
ROW_MULTIPLE = 64  # rows are rounded up to it: matrix products of odd sizes are slow on a GPU

AnyTokenizer = PreTrainedTokenizerBase | Tokenizer


@dataclass(frozen=True)
class MotionVocabulary:
    """Motion tokens with their ids in one tokenizer.

    Attributes:
        tokens: bins, ranges and names.
        ids: token id of every motion index.
    """

    tokens: MotionTokens
    ids: tuple[int, ...]

    @property
    def begin(self) -> int:
        """Id of the token before a trajectory."""
        return self.ids[BEGIN]

    @property
    def end(self) -> int:
        """Id of the token after a trajectory."""
        return self.ids[END]

    def axis_ids(self, axis: int) -> list[int]:
        """Return the ids of the bins of axis 0, 1 or 2."""
        return [self.ids[index] for index in self.tokens.axis_indices(axis)]

    def encode(self, positions: ArrayLike) -> tuple[list[int], Clipping]:
        """Return the token ids of a trajectory (N, 3) m and its clipping; errors as ``MotionTokens.encode``."""
        indices, clipping = self.tokens.encode(positions)
        return [self.ids[index] for index in indices], clipping

    def decode(self, ids: Sequence[int]) -> Array:
        """Return the positions (N, 3) m of the first trajectory in a model's output, whatever stands around it.

        Raises MotionError where there is none, it does not end, or its tokens are in disorder.
        """
        row = [int(token) for token in ids]
        if self.begin not in row:
            raise MotionError(f"expected a trajectory, got {len(row)} tokens without <motion_begin>")
        first = row.index(self.begin)
        if self.end not in row[first:]:
            raise MotionError(
                f"expected <motion_end> after <motion_begin>, got none in {len(row) - first} tokens; "
                "allow more new tokens"
            )
        index_of = {token: index for index, token in enumerate(self.ids)}
        last = row.index(self.end, first)
        return self.tokens.decode([index_of.get(token, -1) for token in row[first : last + 1]])

    @classmethod
    def of(cls, tokenizer: AnyTokenizer, tokens: MotionTokens) -> MotionVocabulary:
        """Look the ids up in a tokenizer that was extended; raises CheckpointError where it was not."""
        ids = known_ids(tokenizer, tokens.names)
        missing = [name for name, token in zip(tokens.names, ids, strict=True) if token is None]
        if missing:
            raise CheckpointError(
                f"expected a tokenizer with {len(ids)} motion tokens, got one without {len(missing)} of them (first: "
                f"{missing[0]}); extend it with vipa_policy.model.vocabulary_extension.extend_vocabulary"
            )
        return cls(tokens, tuple(token for token in ids if token is not None))


def known_ids(tokenizer: AnyTokenizer, names: Sequence[str]) -> list[int | None]:
    """Return the id of each name, None where the tokenizer does not know it."""
    entries = tokenizer.get_vocab()
    return [entries.get(name) for name in names]


def tokenizer_size(tokenizer: AnyTokenizer) -> int:
    """Return one more than the largest id of a tokenizer."""
    return 1 + max(tokenizer.get_vocab().values(), default=-1)


def extend_tokenizer(tokenizer: AnyTokenizer, tokens: MotionTokens) -> MotionVocabulary:
    """Add to a tokenizer those motion tokens that it lacks."""
    added = [AddedToken(name, normalized=False, special=False) for name in tokens.names]
    tokenizer.add_tokens(added)  # known ones are passed over
    return MotionVocabulary.of(tokenizer, tokens)


@torch.no_grad()
def extend_vocabulary(
    model: PreTrainedModel, tokenizer: AnyTokenizer, tokens: MotionTokens, seed: int = 0, spread: float = SPREAD
) -> MotionVocabulary:
    """Add motion tokens to a model and its tokenizer, in place.

    Rows of tokens that the tokenizer had before keep every bit; rows that merely padded the embedding are used first.
    What is tied stays tied. Once more changes nothing. A tokenizer and its model must be extended together: tokens that
    the tokenizer already has, with rows in the model, are taken for trained.

    Args:
        model: any transformers model with input embeddings; its configuration's vocab_size follows.
        tokenizer: the model's own.
        tokens: what to add.
        seed: of the initial rows.
        spread: of the initial rows about the mean, as a share of the old rows' deviation.

    Returns:
        The tokens with their ids.

    Raises:
        CheckpointError: the tokenizer knows tokens for which the model has no rows: it belongs to another model.
    """
    rows = len(input_matrix(model))
    before = known_ids(tokenizer, tokens.names)
    fresh = [index for index, token in enumerate(before) if token is None or token >= rows]
    foreign = set(tokens.names)
    # Sorted: a tokenizer lists its tokens in any order, and the rows must depend on the seed alone.
    old = sorted(token for name, token in tokenizer.get_vocab().items() if name not in foreign)
    if max(old) >= rows:
        raise CheckpointError(
            f"expected a tokenizer whose ids have rows in the model, got id {max(old)} for {rows} rows; "
            "it belongs to another model"
        )
    vocabulary = extend_tokenizer(tokenizer, tokens)
    needed = max(vocabulary.ids) + 1
    if needed > rows:
        model.resize_token_embeddings(-(-needed // ROW_MULTIPLE) * ROW_MULTIPLE, mean_resizing=False)
    if not fresh:
        return vocabulary
    curves = motion_curves(tokens)[fresh]
    weights = torch.randn(curves.shape[1], len(old), generator=torch.Generator().manual_seed(seed)) / len(old) ** 0.5
    ids = torch.tensor([vocabulary.ids[index] for index in fresh])
    for matrix, bias in embeddings_of(model):
        device = matrix.device
        known = matrix[torch.tensor(old, device=device)].float()
        mean = known.mean(dim=0)
        mixtures = weights.to(device) @ known - weights.sum(dim=1, keepdim=True).to(device) * mean
        matrix[rows:] = mean.to(matrix.dtype)  # whatever rounding up has made stays there
        matrix[ids.to(device)] = (mean + spread * curves.to(device) @ mixtures).to(matrix.dtype)
        if bias is not None:
            average = bias[torch.tensor(old, device=device)].float().mean().to(bias.dtype)
            bias[rows:] = average
            bias[ids.to(device)] = average
    return vocabulary


def input_matrix(model: PreTrainedModel) -> Tensor:
    """Return a model's input embeddings, (rows, width)."""
    matrix: Any = model.get_input_embeddings().weight
    return cast(Tensor, matrix)


def embeddings_of(model: PreTrainedModel) -> list[tuple[Tensor, Any]]:
    """Return the matrices with a row a token, and their biases: the input's, the output's where it is not the same."""
    matrix = input_matrix(model)
    output: Any = model.get_output_embeddings()
    if output is None:
        return [(matrix, None)]
    own = (output.weight, getattr(output, "bias", None))
    return [own] if output.weight is matrix else [(matrix, None), own]


def motion_curves(tokens: MotionTokens) -> Tensor:
    """Return (motion tokens, mixtures) float32 of unit rows: how much of each random mixture goes into each token.

    Smooth along a bin's number. An axis that has tokens of its own has mixtures of its own, and so have begin and end.
    """
    bands = max(1, (2 * tokens.bins // SHORTEST).bit_length())
    wavelengths = 2.0 * tokens.bins / 2.0 ** torch.arange(bands)
    angles = 2 * torch.pi * torch.arange(tokens.bins)[:, None] / wavelengths
    # Long wavelengths weigh most: the further apart two bins are, the less alike they begin.
    strength = (wavelengths / wavelengths.sum()).sqrt()
    waves = torch.cat([strength * angles.sin(), strength * angles.cos()], dim=-1)
    count = (tokens.size - FIRST_BIN) // tokens.bins
    return torch.block_diag(torch.eye(FIRST_BIN), *[waves] * count)
