"""Language modelling through the fusion, for stages 1 and 2: the single place for its loss and for greedy answers.

Stage 1 learns answers to questions about where things are, stage 2 trajectories as motion tokens (paper section 3.2);
both by next-token cross-entropy on the answers alone. Guarded by tests/unit/test_language_modelling.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.motion_tokens import MotionTokens
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.semantic import suffix_attention
from vipa_policy.model.vocabulary import Vocabulary, padded
from vipa_policy.model.vocabulary_extension import MotionVocabulary, extend_vocabulary

# From what was generated so far (B, G) and the logits (B, rows) to logits; a grammar forbids tokens here:
# vipa_policy.model.constrained_decoding.MotionConstraint(grammar, prompt_length=0) is one.
Constraint = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Conversation:
    """Questions with their answers, K for each of B observations.

    Attributes:
        tokens: (B, K, T) ids: question, what closes it, answer, what ends it; padded on the left.
        mask: (B, K, T) bool, False at padding.
        answer: (B, K, T) bool, True at the answer and the token that ends it.
    """

    tokens: Tensor
    mask: Tensor
    answer: Tensor


def encode_conversation(
    vocabulary: Vocabulary, questions: Sequence[Sequence[str]], answers: Sequence[Sequence[str]], device: torch.device
) -> Conversation:
    """Return questions and answers, both B rows of K texts, as ids.

    Raises InstructionError where a text holds words the vocabulary does not know, or tokens that steer its chat.
    """
    rows, shares = [], []
    for asked, answered in zip(questions, answers, strict=True):
        for question, answer in zip(asked, answered, strict=True):
            prompt = [*vocabulary.ids(question), *vocabulary.layout.closing]
            reply = [*vocabulary.ids(answer), vocabulary.end]
            rows.append(prompt + reply)
            shares.append(len(reply))
    ids, mask = padded(rows)
    tokens = torch.tensor(ids, device=device)
    places = torch.arange(tokens.shape[1], device=device)
    answer_mask = places >= tokens.shape[1] - torch.tensor(shares, device=device)[:, None]
    known = torch.tensor(mask, device=device)
    shape = (len(questions), -1)
    return Conversation(tokens.unflatten(0, shape), known.unflatten(0, shape), answer_mask.unflatten(0, shape))


def add_motion_tokens(network: VipaNetwork, vocabulary: Vocabulary, tokens: MotionTokens) -> MotionVocabulary:
    """Teach a network and its vocabulary motion tokens, in place, before stage 2; the configuration grows along.

    A checkpoint of the network holds them; ``MotionVocabulary.of(vocabulary.tokenizer, tokens)`` finds them again.
    Raises CheckpointError where the two do not belong together.
    """
    motion = extend_vocabulary(network.semantic.internvl, vocabulary.tokenizer, tokens)
    embeddings = cast(nn.Embedding, network.semantic.internvl.get_input_embeddings())
    rows = embeddings.num_embeddings
    semantic = dataclasses.replace(network.config.semantic, vocabulary_size=rows)
    network.config = dataclasses.replace(network.config, semantic=semantic)
    network.semantic.config = semantic
    return motion


def answer_loss(network: VipaNetwork, inputs: NetworkInput, conversation: Conversation) -> dict[str, Tensor]:
    """Return the mean cross-entropy of the answers' tokens ("answer"), and the share of them that is likeliest.

    The prompt is not learned: what a user asks is no business of the model's. Logits are computed at the answers alone,
    since a published vocabulary has 150,000 of them for each token.

    Args:
        network: with its fusion, where it has one.
        inputs: B observations.
        conversation: K questions and answers for each.
    """
    image, _ = network.image(inputs)
    embedded = network.semantic.embed(conversation.tokens).to(image.dtype)
    hidden = network.semantic.read(image, embedded, conversation.mask)
    # The state at a token predicts the next one. The first of an answer follows what closes its question, so that both
    # stand in the suffix; only a question without any token would have to be predicted by the image.
    predicts = conversation.answer[..., 1:]
    logits = network.semantic.logits(hidden[..., :-1, :][predicts]).float()
    target = conversation.tokens[..., 1:][predicts]
    return {
        "answer": torch.nn.functional.cross_entropy(logits, target),
        "answer_right": (logits.detach().argmax(dim=-1) == target).float().mean(),
    }


@torch.inference_mode()
def generate(
    network: VipaNetwork,
    inputs: NetworkInput,
    vocabulary: Vocabulary,
    questions: Sequence[str],
    limit: int = 64,
    constraint: Constraint | None = None,
) -> list[list[int]]:
    """Return the likeliest next tokens one by one: for each question the answer's ids, without what ends it.

    Args:
        network: in evaluation mode.
        inputs: B observations.
        vocabulary: the network's; its ``decode`` makes texts of the answers.
        questions: one for each observation.
        limit: tokens of an answer.
        constraint: changes logits before the choice.
    """
    side, device = network.semantic, inputs.pixels.device
    ids, known = padded([[*vocabulary.ids(question), *vocabulary.layout.closing] for question in questions])
    image, _ = network.image(inputs)
    prefix = image.shape[1]
    suffix = torch.tensor(ids, device=device)
    mask = torch.tensor(known, device=device)
    sequence = torch.cat([image, side.embed(suffix).to(image.dtype)], dim=1)
    attention = suffix_attention(prefix, mask[:, None], sequence.dtype)
    own = prefix + (mask.long().cumsum(dim=-1) - 1).clamp(min=0)
    positions = torch.cat([torch.arange(prefix, device=device).expand(len(own), -1), own], dim=1)
    cache = DynamicCache(config=side.internvl.config.get_text_config())
    visible = torch.cat([mask.new_ones(len(mask), prefix), mask], dim=1)
    generated = suffix.new_zeros(len(suffix), 0)
    ended = mask.new_zeros(len(mask))
    for _ in range(limit):
        states = side.internvl.model.language_model(
            inputs_embeds=sequence, attention_mask=attention, position_ids=positions, past_key_values=cache,
            use_cache=True,
        ).last_hidden_state  # fmt: skip
        logits = side.logits(states[:, -1]).float()
        if constraint is not None:
            logits = constraint(generated, logits)
        token = logits.argmax(dim=-1).where(~ended, torch.full_like(suffix[:, 0], vocabulary.end))
        generated = torch.cat([generated, token[:, None]], dim=1)
        ended |= token == vocabulary.end
        if ended.all():
            break
        sequence = side.embed(token[:, None]).to(image.dtype)
        positions = positions[:, -1:] + 1
        visible = torch.cat([visible, visible.new_ones(len(visible), 1)], dim=1)
        attention = torch.zeros(len(visible), 1, 1, visible.shape[1], dtype=image.dtype, device=device).masked_fill_(
            ~visible[:, None, None], torch.finfo(image.dtype).min
        )
    rows = generated.tolist()
    return [row[: row.index(vocabulary.end)] if vocabulary.end in row else row for row in rows]


def answer(
    network: VipaNetwork, inputs: NetworkInput, vocabulary: Vocabulary, questions: Sequence[str], limit: int = 64
) -> list[str]:
    """Return the answers of ``generate`` as texts."""
    return [vocabulary.decode(row) for row in generate(network, inputs, vocabulary, questions, limit)]
