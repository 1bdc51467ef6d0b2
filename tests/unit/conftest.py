"""Small networks that model tests share."""

import pytest
import torch
from support.small_network import COLOURS, small_config

from vipa_policy.contract import ActionContract
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.vocabulary import TaskTemplate, Vocabulary
from vipa_policy.presets import franka_contract


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.build(
        [
            TaskTemplate("reach", "reach the {colour} block", {"colour": COLOURS}),
            TaskTemplate("pick", "pick up the {colour} block", {"colour": COLOURS}),
        ]
    )


@pytest.fixture
def network(vocabulary: Vocabulary) -> VipaNetwork:
    torch.manual_seed(0)
    return VipaNetwork(small_config(), vocabulary.image_token, Normalisation(16)).eval()


@pytest.fixture
def contract() -> ActionContract:
    return franka_contract(image_size=64)


@pytest.fixture
def checkpoint(network: VipaNetwork, vocabulary: Vocabulary, contract: ActionContract) -> Checkpoint:
    return Checkpoint(network.config, contract, vocabulary, network, {"steps": 0})
