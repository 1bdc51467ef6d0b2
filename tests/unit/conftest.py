"""Small networks and observations that model tests share."""

import numpy as np
import pytest
import torch

from vipa_policy.contract import ActionContract
from vipa_policy.geometry import transform
from vipa_policy.model.checkpoint import Checkpoint
from vipa_policy.model.config import FusionConfig, HeadConfig, ModelConfig, SemanticConfig, SpatialConfig
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.vocabulary import TaskTemplate, Vocabulary
from vipa_policy.observation import CameraView, Observation
from vipa_policy.presets import franka_contract

COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.build(
        [
            TaskTemplate("reach", "reach the {colour} block", {"colour": COLOURS}),
            TaskTemplate("pick", "pick up the {colour} block", {"colour": COLOURS}),
        ]
    )


def small_config(horizon: int = 16) -> ModelConfig:
    return ModelConfig(
        name="vipa-test",
        horizon=horizon,
        semantic=SemanticConfig(
            image_size=32, vision_width=32, vision_layers=1, vision_heads=2, language_width=32, language_layers=2,
            language_heads=2, language_feedforward=64, vocabulary_size=32,
        ),
        spatial=SpatialConfig(image_size=64, width=32, layers=1, heads=2, fine_width=16),
        fusion=FusionConfig(width=32, heads=2),
        head=HeadConfig(queries=2, width=32, layers=2, heads=2),
    )  # fmt: skip


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


def make_view(seed: int = 0, name: str = "scene") -> CameraView:
    random = np.random.default_rng(seed)
    intrinsics = np.array([[90.0, 0, 63.5], [0, 90.0, 47.5], [0, 0, 1]])
    return CameraView(
        name,
        random.integers(0, 255, (96, 128, 3)).astype(np.uint8),
        random.uniform(0.6, 0.9, (96, 128)).astype(np.float32),
        intrinsics,
        np.eye(4),
    )


def make_observation(seed: int = 0) -> Observation:
    tip = transform([0.05, -0.02, 0.6], [0.7, 0.1, 0.0, 0.7])
    return Observation(12.5, (make_view(seed),), tip, 0.08)
