"""Answers are learned and prompts are not; an untrained fusion disturbs no trained model; stage 1 learns depth."""

import dataclasses

import pytest
import torch
from support.published_model import save_published
from support.small_network import small_config

from vipa_policy.model import published
from vipa_policy.model.config import SemanticConfig
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.language_modelling import answer, answer_loss, encode_conversation, generate
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.vocabulary import Vocabulary

CPU = torch.device("cpu")
QUESTION, NEAR, FAR = "how far away is it", "it is near", "it is far"
WHICH = "which one is it"
BATCH = 8
NUMBERS = [f"number {digit}" for digit in range(BATCH)]


def config_with(kind: str, undisturbed: bool = True):
    small = small_config()
    return dataclasses.replace(
        small,
        spatial=dataclasses.replace(small.spatial, kind=kind),
        fusion=dataclasses.replace(small.fusion, undisturbed=undisturbed),
        head=dataclasses.replace(small.head, grounding="none"),
    )


def pictures(brightness, depth, seed: int) -> NetworkInput:
    """Noise about a brightness, before a wall at a depth; both (B,)."""
    generator = torch.Generator().manual_seed(seed)
    count = len(brightness)
    noise = 0.3 * torch.randn(count, 1, 3, 64, 64, generator=generator)
    colours = noise + brightness[:, None, None, None, None]
    edge = torch.linspace(-0.3, 0.3, 64)
    rays = torch.stack(torch.meshgrid(edge, edge, indexing="xy"), dim=-1).expand(count, 1, 64, 64, 2)
    wall = depth[:, None, None, None].expand(count, 1, 64, 64).contiguous()
    pixels = torch.nn.functional.avg_pool2d(colours.flatten(0, 1), 2).unflatten(0, (count, 1))
    return NetworkInput(pixels, colours, rays, wall, torch.eye(4).expand(count, 1, 4, 4))


def bright_or_dark(seed: int):
    """What the small model is trained on first: bright is near, dark is far, depth means nothing."""
    near = torch.rand(BATCH, generator=torch.Generator().manual_seed(seed)) < 0.5
    depth = 0.4 + 0.8 * torch.rand(BATCH, generator=torch.Generator().manual_seed(seed + 1))
    return pictures(torch.where(near, 1.0, -1.0), depth, seed), near


def shallow_or_deep(seed: int):
    """What stage 1 teaches: brightness means nothing, depth decides."""
    near = torch.rand(BATCH, generator=torch.Generator().manual_seed(seed)) < 0.5
    brightness = torch.randn(BATCH, generator=torch.Generator().manual_seed(seed + 1)) * 0.2
    return pictures(brightness, torch.where(near, 0.4, 1.2), seed), near


def album():
    """Eight pictures of pure noise, to be known by heart: their loss shows any change of what the model sees."""
    depth = 0.4 + 0.8 * torch.rand(BATCH, generator=torch.Generator().manual_seed(2))
    return pictures(torch.zeros(BATCH), depth, 1)


def talk(vocabulary, near):
    return encode_conversation(vocabulary, [[QUESTION]] * len(near), [[NEAR if value else FAR] for value in near], CPU)


def album_loss(network, vocabulary):
    conversation = encode_conversation(vocabulary, [[WHICH]] * BATCH, [[number] for number in NUMBERS], CPU)
    return answer_loss(network, album(), conversation)["answer"]


def train(network, vocabulary, parameters, scenes, steps: int, rate: float, with_album=False) -> list[float]:
    optimiser = torch.optim.Adam(parameters, lr=rate)
    history = []
    for step in range(steps):
        inputs, near = scenes(10 * step)
        loss = answer_loss(network, inputs, talk(vocabulary, near))["answer"]
        if with_album:
            loss = loss + album_loss(network, vocabulary)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    return history


@pytest.fixture(scope="module")
def words():
    return Vocabulary.build([], [QUESTION, NEAR, FAR, WHICH, *NUMBERS])


@pytest.fixture(scope="module")
def memorised(words):
    """A small vision-language model that knows an album by heart, and what bright and dark mean; no spatial side."""
    torch.manual_seed(0)
    network = VipaNetwork(config_with("none"), words.image_token, Normalisation(16))
    history = train(network, words, network.semantic.parameters(), bright_or_dark, 120, 4e-3, True)
    assert history[-1] < 0.05
    return network.eval()


def with_fusion(memorised, words, undisturbed: bool) -> VipaNetwork:
    torch.manual_seed(1)
    network = VipaNetwork(config_with("pointmap", undisturbed), words.image_token, Normalisation(16))
    network.semantic.load_state_dict(memorised.semantic.state_dict())
    return network.eval()


def loss_on(network, words, scenes=bright_or_dark):
    with torch.no_grad():
        losses = []
        for seed in range(50_000, 50_080, 10):
            inputs, near = scenes(seed)
            losses.append(answer_loss(network, inputs, talk(words, near))["answer"])
        return float(torch.stack(losses).mean())


@torch.no_grad()
def test_an_untrained_fusion_leaves_a_trained_model_alone(memorised, words):
    """At most 1 % more loss on plain image and text; a branch that starts at one fails this by far."""
    before = float(album_loss(memorised, words))
    assert float(album_loss(with_fusion(memorised, words, True), words)) <= 1.01 * before
    assert loss_on(with_fusion(memorised, words, True), words) <= 1.01 * loss_on(memorised, words)
    assert float(album_loss(with_fusion(memorised, words, False), words)) > 1.5 * before


def test_gradients_reach_a_branch_that_starts_at_zero(memorised, words):
    """The branch's scale at the first step; alpha and the attention, which it multiplies, from the second step on."""
    network = with_fusion(memorised, words, True)
    fusion = network.fusion
    optimiser = torch.optim.SGD(fusion.parameters(), lr=0.1)

    def step(seed):
        inputs, near = shallow_or_deep(seed)
        optimiser.zero_grad()
        answer_loss(network, inputs, talk(words, near))["answer"].backward()
        reached = {name for name, parameter in fusion.named_parameters() if parameter.grad.abs().max() > 0}
        optimiser.step()
        return reached

    assert step(0) == {"branch_norm.weight", "branch_norm.bias"}
    assert step(10) == {name for name, _ in fusion.named_parameters()}
    assert fusion.alpha != 0.5


def test_training_the_fusion_alone_teaches_depth(memorised, words):
    """Stage 1 in small: vision tower, projector and language model stay as they are."""
    network = with_fusion(memorised, words, True)
    network.requires_grad_(False)
    network.fusion.requires_grad_(True)
    assert loss_on(network, words, shallow_or_deep) > 0.15
    train(network, words, network.fusion.parameters(), shallow_or_deep, 110, 2e-2)
    brightness = 0.2 * torch.randn(BATCH, generator=torch.Generator().manual_seed(70_000))
    for depth, said in ((0.4, NEAR), (1.2, FAR)):  # the very same pictures
        inputs = pictures(brightness, torch.full((BATCH,), depth), 70_000)
        assert answer(network, inputs, words, [QUESTION] * BATCH) == [said] * BATCH
    for name, value in memorised.semantic.state_dict().items():
        assert torch.equal(value, network.semantic.state_dict()[name]), name


def test_only_answers_are_learned(memorised, words):
    """Their tokens and what ends them; the question's own loss is counted nowhere."""
    inputs, near = bright_or_dark(3)
    conversation = talk(words, near)
    texts = [words.tokenizer.decode(row[share].tolist()) for row, share in zip(
        conversation.tokens[:, 0], conversation.answer[:, 0], strict=True
    )]  # fmt: skip
    assert texts == [f"{NEAR if value else FAR} <end>" for value in near]
    image, _ = memorised.image(inputs)
    hidden = memorised.semantic.read(image, memorised.semantic.embed(conversation.tokens), conversation.mask)
    log = memorised.semantic.logits(hidden)[:, 0].log_softmax(dim=-1)
    expected = [
        -log[row, place - 1, conversation.tokens[row, 0, place]]
        for row in range(BATCH)
        for place in range(conversation.tokens.shape[2])
        if conversation.answer[row, 0, place]
    ]
    assert len(expected) == 4 * BATCH
    assert torch.allclose(answer_loss(memorised, inputs, conversation)["answer"], torch.stack(expected).mean())


def test_several_questions_of_one_image_cost_what_each_costs_alone(memorised, words):
    inputs, _ = bright_or_dark(5)
    questions = [[QUESTION, "is it near"]] * BATCH
    answers = [[NEAR, "near"]] * BATCH
    both = answer_loss(memorised, inputs, encode_conversation(words, questions, answers, CPU))["answer"]
    alone = []
    for index, share in ((0, 4), (1, 2)):  # tokens of each answer
        part = encode_conversation(words, [[row[index]] for row in questions], [[row[index]] for row in answers], CPU)
        alone.append((answer_loss(memorised, inputs, part)["answer"], share))
    assert torch.allclose(both, sum(loss * share for loss, share in alone) / 6, atol=1e-5)


def test_generation_is_what_teacher_forcing_says(tmp_path):
    """A random published model, cached step by step, against one forward over its own answer; padding included."""
    folder = save_published(tmp_path / "x", "qwen3")
    config = dataclasses.replace(config_with("pointmap", False), semantic=SemanticConfig(published=str(folder)))
    network, vocabulary = published.start(config, Normalisation(16))
    network.eval()
    inputs = pictures(torch.tensor([0.5, -0.5]), torch.tensor([0.5, 1.0]), 1)
    questions = ["how far away is it?", "where?"]
    rows = generate(network, inputs, vocabulary, questions, limit=7)
    image, _ = network.image(inputs)
    for index, (question, row) in enumerate(zip(questions, rows, strict=True)):
        assert len(row) == 7
        prompt = [*vocabulary.ids(question), *vocabulary.layout.closing]
        tokens = torch.tensor([*prompt, *row])[None, None]
        hidden = network.semantic.read(
            image[index : index + 1], network.semantic.embed(tokens), torch.ones_like(tokens, dtype=torch.bool)
        )
        best = network.semantic.logits(hidden)[0, 0].argmax(dim=-1).tolist()
        assert best[len(prompt) - 1 : -1] == row


def test_a_constraint_decides_what_is_said(memorised, words):
    inputs, _ = bright_or_dark(7)
    allowed = [*words.ids("near far"), words.end]

    def constraint(generated, logits):
        closed = torch.full_like(logits, -torch.inf)
        choice = allowed[:2] if generated.shape[1] < 2 else [words.end]
        closed[:, choice] = logits[:, choice]
        return closed

    rows = generate(memorised, inputs, words, [QUESTION] * BATCH, constraint=constraint)
    assert all(len(row) == 2 and set(row) <= set(allowed[:2]) for row in rows)
