"""A random network learns 64 samples by heart, to millimetres: proof that loss, sampling and normalisation agree.

Four tip poses, four pictures at each of them and four instructions for each picture, so that state, picture and words
are all needed to tell two samples apart. The labels are smooth random reaches of up to about 20 cm and 40 degrees.
"""

import dataclasses
import math

import numpy as np
import torch
from support.small_network import small_config
from torch import Tensor

from vipa_policy import geometry
from vipa_policy.model.config import FusionConfig, HeadConfig, SemanticConfig
from vipa_policy.model.head import draw_times
from vipa_policy.model.network import Targets, VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.policy import measured_state
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.observation import CameraView

HORIZON = 4
POSES = PICTURES = WORDS = 4
SAMPLES = POSES * PICTURES * WORDS
STEPS = 400
LEARNING_RATE = 3e-3
DRAWS = 4
POSITION_ERROR = 0.002  # m
ROTATION_ERROR = 1.0  # degrees
LOSS_FACTOR = 100


def memorising_config():
    """The smallest network that learns this fast: paper's conditioning, without pointing."""
    small = small_config(HORIZON)
    return dataclasses.replace(
        small,
        semantic=SemanticConfig(
            image_size=32, vision_width=32, vision_layers=1, vision_heads=2, language_width=64, language_layers=2,
            language_heads=2, language_feedforward=128, vocabulary_size=32, initial_range=0.1
        ),
        fusion=FusionConfig(width=32, heads=2),
        head=HeadConfig(queries=2, width=96, layers=4, heads=4, grounding="none"),
    )  # fmt: skip


def random_pose(random, reach, angle):
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.rotation_from_vector(random.normal(size=3) * angle)
    matrix[:3, 3] = random.uniform(-reach, reach, 3)
    return matrix


def picture(random):
    """Coloured squares at different distances."""
    rgb = random.integers(0, 255, (4, 4, 3)).astype(np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    depth = random.uniform(0.5, 0.9, (4, 4)).astype(np.float32).repeat(16, axis=0).repeat(16, axis=1)
    intrinsics = np.array([[60.0, 0, 31.5], [0, 60.0, 31.5], [0, 0, 1]])
    return prepare_view(CameraView("scene", rgb, depth, intrinsics, np.eye(4)), 64)


def reach(random, tip):
    """A smooth motion from the tip: poses (HORIZON, 4, 4) and gripper widths (HORIZON,) m."""
    goal = tip @ random_pose(random, 0.05, 0.12)
    fractions = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, HORIZON + 1) / HORIZON)
    poses = np.stack([geometry.interpolate(tip, goal, fraction) for fraction in fractions])
    return poses, np.interp(fractions, [0, 1], [0.08, random.uniform(0.0, 0.08)])


class Samples:
    """Sixteen observations with four instructions each."""

    def __init__(self, seed):
        random = np.random.default_rng(seed)
        tips = [random_pose(random, 0.1, 0.3) @ geometry.transform([0, 0, 0.6], [1, 0, 0, 0]) for _ in range(POSES)]
        tips = [tip for tip in tips for _ in range(PICTURES)]
        parts = [stack([picture(random)], 32, torch.device("cpu")) for _ in tips]
        names = [field.name for field in dataclasses.fields(parts[0])]
        self.inputs = type(parts[0])(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
        self.state = torch.tensor(np.stack([measured_state(tip, 0.08) for tip in tips]), dtype=torch.float32)
        labels = [[reach(random, tip) for _ in range(WORDS)] for tip in tips]
        self.poses = np.stack([[poses for poses, _ in row] for row in labels])
        rows = [[[measured_state(*pair) for pair in zip(*label, strict=True)] for label in row] for row in labels]
        action = torch.tensor(np.array(rows), dtype=torch.float32)
        shape = action.shape[:2]
        self.targets = Targets(
            action, torch.ones(*shape, HORIZON, dtype=torch.bool), torch.zeros(*shape, 3),
            torch.zeros(*shape, dtype=torch.bool),
        )  # fmt: skip
