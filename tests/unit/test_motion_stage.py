"""Stage 2 in small: motion tokens join a published model, adapters learn trajectories, a checkpoint keeps them."""

import numpy as np
import torch
from support.published_model import save_published
from support.published_network import CPU, LORA, build, random_batch

from vipa_policy.model import checkpoint as checkpoints
from vipa_policy.model import lora, stages
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.constrained_decoding import MotionConstraint, MotionGrammar
from vipa_policy.model.language_modelling import add_motion_tokens, answer_loss, encode_conversation, generate
from vipa_policy.model.motion_tokens import MotionTokens
from vipa_policy.model.stages import StagePlan
from vipa_policy.model.vocabulary_extension import MotionVocabulary

TOKENS = MotionTokens(bins=32)
HALF_A_BIN = 0.5 / 32  # m
QUESTION = "what is the 3-step motion sequence for the right hand?"
TRAJECTORIES = np.array(
    [[[0.0, 0.1, 0.5], [0.1, 0.1, 0.5], [0.2, 0.1, 0.6]], [[0.3, -0.2, 0.9], [0.3, 0, 0.8], [0, 0, 0.7]]]
)


def text_of(vocabulary, motion, trajectory) -> str:
    ids, _ = motion.encode(trajectory)
    return "".join(vocabulary.tokenizer.id_to_token(token) for token in ids)


def test_adapters_and_new_rows_learn_trajectories(tmp_path, contract):
    network, vocabulary = build(save_published(tmp_path / "published"), dropout=0.0)
    motion = add_motion_tokens(network, vocabulary, TOKENS)
    old = {name: value.clone() for name, value in network.state_dict().items() if "embed_tokens" in name}
    assert network.config.semantic.vocabulary_size == len(next(iter(old.values())))
    stages.prepare(network, StagePlan("2", lora=LORA), motion.ids)
    inputs = random_batch()
    answers = [[text_of(vocabulary, motion, trajectory)] for trajectory in TRAJECTORIES]
    talk = encode_conversation(vocabulary, [[QUESTION]] * 2, answers, CPU)
    assert int(talk.answer.sum()) == 2 * (3 * 3 + 2 + 1)  # begin, end and end of turn around three waypoints
    optimiser = torch.optim.AdamW(stages.trainable(network).values(), lr=2e-2, weight_decay=0.01)
    for _ in range(60):
        losses = answer_loss(network, inputs, talk)
        optimiser.zero_grad()
        losses["answer"].backward()
        optimiser.step()
    assert losses["answer_right"] == 1.0
    with lora.merged(network):
        checkpoints.save(Checkpoint(network.config, contract, vocabulary, network, {}), tmp_path / "policy")
    loaded = checkpoints.load(tmp_path / "policy")
    again = MotionVocabulary.of(loaded.vocabulary.tokenizer, TOKENS)
    assert again.ids == motion.ids
    grammar = MotionGrammar(again, maximum=8, after=(loaded.vocabulary.end,))
    for constraint in (None, MotionConstraint(grammar, 0)):
        rows = generate(loaded.network, inputs, loaded.vocabulary, [QUESTION] * 2, 40, constraint)
        for row, trajectory in zip(rows, TRAJECTORIES, strict=True):
            assert np.abs(again.decode(row) - trajectory).max() <= HALF_A_BIN + 1e-9
    kept = [row for row in range(384) if row not in motion.ids]
    for name, value in old.items():
        assert torch.equal(loaded.network.state_dict()[name][kept], value[kept])
