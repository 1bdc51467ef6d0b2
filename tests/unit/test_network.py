"""What the network must do whatever its weights: shapes, blindness of suffixes to each other, gradients, flow."""

import dataclasses

import numpy as np
import pytest
import torch
from support.small_network import joined, make_view

from vipa_policy.model.config import HeadConfig
from vipa_policy.model.head import ActionHead
from vipa_policy.model.network import Targets
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.pointing import pointing_loss
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.model.semantic import suffix_attention, suffix_positions

WORDS = ["reach the red block", "pick up the green block", "reach the blue block"]


def inputs_of(*seeds):
    return joined([stack([prepare_view(make_view(seed), 64)], 32, torch.device("cpu")) for seed in seeds])


def encoded(vocabulary, batch, words=WORDS):
    ids, mask = vocabulary.encode_batch(words)
    return torch.tensor(ids).expand(batch, -1, -1), torch.tensor(mask).expand(batch, -1, -1)


def targets_of(batch, count, horizon=16):
    generator = torch.Generator().manual_seed(1)
    return Targets(
        torch.randn(batch, count, horizon, 10, generator=generator),
        torch.ones(batch, count, horizon, dtype=torch.bool),
        torch.tensor([0.0, 0.0, 0.7]) + 0.05 * torch.randn(batch, count, 3, generator=generator),
        torch.ones(batch, count, dtype=torch.bool),
    )


@torch.no_grad()
def test_instructions_of_one_image_do_not_see_each_other(network, vocabulary):
    """Several instructions packed into one sequence must give what each gives alone, padding included."""
    inputs = inputs_of(0)
    words, mask = encoded(vocabulary, 1)
    together = network.condition(inputs, words, mask).hidden
    for index, text in enumerate(WORDS):
        alone = network.condition(inputs, *encoded(vocabulary, 1, [text])).hidden
        assert torch.allclose(together[:, index], alone[:, 0], atol=1e-5)


@torch.no_grad()
def test_observations_of_a_batch_do_not_see_each_other(network, vocabulary):
    both = network.condition(inputs_of(0, 1), *encoded(vocabulary, 2))
    for index in range(2):
        alone = network.condition(inputs_of(index), *encoded(vocabulary, 1))
        assert torch.allclose(both.hidden[index], alone.hidden[0], atol=1e-5)
        assert torch.allclose(both.pointed.anchor[index], alone.pointed.anchor[0], atol=1e-5)


@torch.no_grad()
def test_words_and_pictures_both_matter(network, vocabulary):
    words, mask = encoded(vocabulary, 1)
    first = network.condition(inputs_of(0), words, mask).hidden
    assert not torch.allclose(first[:, 0], first[:, 2], atol=1e-3)
    assert not torch.allclose(first, network.condition(inputs_of(1), words, mask).hidden, atol=1e-3)


def test_attention_mask_is_causal_and_keeps_suffixes_apart():
    mask = torch.tensor([[[False, True, True], [True, True, True]]])
    allowed = suffix_attention(2, mask, torch.float32)[0, 0] == 0
    expected = torch.tensor(
        [
            [1, 0, 0, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0, 0, 0],  # padding: sees itself, so that no row is empty
            [1, 1, 0, 1, 0, 0, 0, 0],
            [1, 1, 0, 1, 1, 0, 0, 0],
            [1, 1, 0, 0, 0, 1, 0, 0],
            [1, 1, 0, 0, 0, 1, 1, 0],
            [1, 1, 0, 0, 0, 1, 1, 1],
        ]
    ).bool()
    assert torch.equal(allowed, expected)
    assert suffix_positions(2, mask).tolist() == [[0, 1, 2, 2, 3, 2, 3, 4]]


def test_every_part_learns(network, vocabulary):
    """A gradient reaches every trainable tensor once the zero-initialised outputs have moved."""
    network.train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    words, mask = encoded(vocabulary, 2)
    state = torch.randn(2, 10, generator=torch.Generator().manual_seed(2))
    for _ in range(3):
        optimiser.zero_grad()
        losses = network.loss(inputs_of(0, 1), words, mask, state, targets_of(2, 3), draws=2)
        (losses["flow"] + losses["pointing"]).backward()
        optimiser.step()
    # The mask token, the tower's last norm when unused, and similar leftovers of transformers' classes have no part.
    idle = {
        name for name, parameter in network.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.abs().sum() > 0)
    }  # fmt: skip
    assert all(name.startswith("semantic.internvl.") for name in idle), sorted(idle)
    assert len(idle) <= 2, sorted(idle)


def test_pointing_loss_falls_on_the_right_surface(network, vocabulary):
    inputs = inputs_of(0)
    words, mask = encoded(vocabulary, 1, WORDS[:1])
    condition = network.condition(inputs, words, mask)
    fine, pointed = condition.spatial.fine, condition.pointed
    target = fine.anchors[:, 17][:, None]
    known = torch.ones(1, 1, dtype=torch.bool)
    belongs = (fine.anchors[0] - target[0]).norm(dim=-1) < 0.035
    there = dataclasses.replace(
        pointed, logits=torch.where(belongs, 10.0, 0.0)[None, None], votes=target.expand(1, 256, 3)
    )
    elsewhere = dataclasses.replace(there, logits=torch.where(belongs, 0.0, 10.0)[None, None])
    assert pointing_loss(there, fine, target, known) < 0.1
    assert pointing_loss(elsewhere, fine, target, known) > 5.0
    assert pointing_loss(elsewhere, fine, target, ~known) == 0.0


def test_flow_goes_from_noise_to_action():
    """With the exact velocity of one action, Euler steps of any number end at that action."""
    head = ActionHead(HeadConfig(width=32, layers=2, heads=2), 4, 10)
    action = torch.randn(3, 4, 10)
    noise = torch.randn(3, 4, 10)
    head.denoise = lambda *_: action  # type: ignore[method-assign]
    for steps in (1, 3, 10):
        reached = head.sample(noise, torch.zeros(3, 10), torch.zeros(3, 2, 32), steps)
        assert torch.allclose(reached, action, atol=1e-5)
    loss = head.flow_loss(
        action, torch.zeros(3, 10), torch.zeros(3, 2, 32), torch.ones(3, 4, dtype=torch.bool), noise, torch.rand(3)
    )
    assert loss < 1e-10


def test_rows_that_are_not_valid_do_not_count():
    head = ActionHead(HeadConfig(width=32, layers=2, heads=2), 4, 10)
    action, noise, tau = torch.randn(2, 4, 10), torch.randn(2, 4, 10), torch.rand(2)
    valid = torch.tensor([[True, True, False, False]]).expand(2, -1)
    spoiled = action.clone()
    spoiled[:, 2:] += 100.0
    arguments = (torch.zeros(2, 10), torch.zeros(2, 1, 32), valid, noise, tau)
    assert torch.allclose(head.flow_loss(action, *arguments), head.flow_loss(spoiled, *arguments), rtol=1e-4)


def test_normalisation_is_undone_and_moves_with_the_scene():
    generator = torch.Generator().manual_seed(3)
    state, anchor = torch.randn(200, 10, generator=generator), torch.randn(200, 3, generator=generator)
    steps = torch.randn(200, 16, 10, generator=generator) * torch.linspace(0.01, 1.0, 16)[:, None]
    action = steps.cumsum(dim=1) + state[:, None]
    normalisation = Normalisation(16)
    normalisation.fit(action, state, anchor)
    scaled = normalisation.action(action, state)
    assert torch.allclose(scaled.mean(dim=0), torch.zeros(16, 10), atol=1e-3)
    assert torch.allclose(scaled.std(dim=0), torch.ones(16, 10), atol=1e-3)
    assert torch.allclose(normalisation.metric(scaled, state), action, atol=1e-4)
    # Hand, thing and chunk moved together are the same to the network.
    shift = torch.cat([torch.tensor([0.3, -0.2, 0.1]), torch.zeros(7)])
    assert torch.allclose(normalisation.action(action + shift, state + shift), scaled, atol=1e-3)
    moved = normalisation.state(state + shift, anchor + shift[:3])
    assert torch.allclose(moved, normalisation.state(state, anchor), atol=1e-4)
    copy = Normalisation.from_dict(normalisation.to_dict(), 16)
    assert torch.equal(copy.action(action, state), scaled)


@pytest.mark.parametrize("steps", [1, 4])
def test_sampling_is_decided_by_the_seed(network, vocabulary, steps):
    inputs = inputs_of(0)
    words, mask = encoded(vocabulary, 1, WORDS[:1])
    state = torch.zeros(1, 10)

    def draw(seed):
        torch.nn.init.normal_(network.head.action_out.weight, generator=torch.Generator().manual_seed(0))
        return network.sample(inputs, words, mask, state, steps, torch.Generator().manual_seed(seed))[0].numpy()

    assert np.array_equal(draw(1), draw(1))
    assert not np.allclose(draw(1), draw(2))
