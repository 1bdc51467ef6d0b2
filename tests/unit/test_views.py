"""Several views in one observation: each matters, and where its camera stands is part of what it says."""

import dataclasses

import numpy as np
import pytest
import torch
from support.small_network import make_view

from unit.test_network import encoded
from vipa_policy import geometry
from vipa_policy.model.preparation import prepare_view, stack

OTHER_CAMERA = geometry.transform([0.2, 0.1, -0.1], [0.1, -0.2, 0.05, 0.97])


def observed(*views):
    return stack([prepare_view(view, 64) for view in views], 32, torch.device("cpu"))


def scene_and_wrist(wrist=OTHER_CAMERA):
    return make_view(0), dataclasses.replace(make_view(1, "wrist"), reference_from_camera=wrist)


@pytest.fixture
def drawing(network, vocabulary):
    """Return what the network, its outputs woken up, samples for an input."""
    torch.nn.init.normal_(network.head.action_out.weight, generator=torch.Generator().manual_seed(1))
    for block in network.head.blocks:
        torch.nn.init.normal_(block.modulation[1].weight, std=0.1, generator=torch.Generator().manual_seed(2))
    words, mask = encoded(vocabulary, 1)

    def draw(inputs):
        return network.sample(inputs, words, mask, torch.zeros(1, 10), 2, torch.Generator().manual_seed(3))

    return draw


@torch.no_grad()
def test_swapped_views_with_their_extrinsics_are_the_same_scene(network):
    """Every token and every anchor moves with its view: what is seen, and where, does not depend on the order."""
    scene, wrist = scene_and_wrist()
    tokens, spatial = network.image(observed(scene, wrist))
    swapped_tokens, swapped = network.image(observed(wrist, scene))

    def swap(values):
        return torch.cat(list(values.chunk(2, dim=1))[::-1], dim=1)

    assert torch.allclose(swap(swapped_tokens), tokens, atol=1e-5)
    for name in ("tokens", "mask", "anchors"):
        assert torch.allclose(swap(getattr(swapped, name)).float(), getattr(spatial, name).float(), atol=1e-5)
    assert torch.allclose(swap(swapped.fine.anchors), spatial.fine.anchors, atol=1e-6)


@torch.no_grad()
def test_a_camera_and_its_extrinsics_moved_together_see_the_same_points(network):
    """Anchors of the second view are those its camera alone would give, moved to the reference camera's frame."""
    scene, wrist = scene_and_wrist()
    _, both = network.image(observed(scene, wrist))
    _, alone = network.image(observed(dataclasses.replace(wrist, reference_from_camera=np.eye(4))))
    half = both.anchors.shape[1] // 2
    moved = geometry.apply(OTHER_CAMERA, alone.anchors[0].numpy())
    assert np.allclose(both.anchors[0, half:].numpy(), moved, atol=1e-5)


def test_each_view_and_each_pose_matters(drawing):
    scene, wrist = scene_and_wrist()
    before = drawing(observed(scene, wrist))[0]
    other_scene, other_wrist = make_view(7), dataclasses.replace(wrist, rgb=make_view(8).rgb)
    moved = scene_and_wrist(OTHER_CAMERA @ geometry.transform([0.05, 0, 0], [0, 0, 0, 1]))
    for inputs in (observed(other_scene, wrist), observed(scene, other_wrist), observed(*moved)):
        assert not torch.allclose(drawing(inputs)[0], before, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_views_gives_one_chunk(drawing, network, count):
    views = [make_view(seed, f"camera_{seed}") for seed in range(count)]
    action, pointed = drawing(observed(*views))
    assert action.shape == (1, 3, 16, 10)
    assert pointed.logits.shape[-1] == count * 256
