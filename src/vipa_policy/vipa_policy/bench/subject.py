"""What the benches measure: an observation of noise, networks with random weights, the parts of a prediction by name.

Guarded by tests/unit/test_bench.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vipa_policy.bench.rival import WORDS
from vipa_policy.bench.timing import Stopwatch
from vipa_policy.geometry import transform
from vipa_policy.model.config import STATE_SIZE, ModelConfig, SemanticConfig, vipa_2b
from vipa_policy.model.engine import EngineOptions, InferenceEngine
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.policy import VipaPolicy
from vipa_policy.model.preparation import prepare_view, stack
from vipa_policy.observation import CameraView, Observation

WIDTH, HEIGHT = 320, 240  # px, what the simulated camera delivers
FOCAL = 343.0  # px
TIP = ((0.05, -0.02, 0.6), (0.7, 0.1, 0.0, 0.7))
INITIAL_RANGE = 0.02  # deviation of random weights


def vipa_1b() -> ModelConfig:
    """Return the shape of InternVL3.5-1B (InternViT-300M, Qwen3-0.6B) with everything else as ``vipa-2b`` has it."""
    config = vipa_2b()
    semantic = dataclasses.replace(
        config.semantic, language_width=1024, language_feedforward=3072, published="OpenGVLab/InternVL3_5-1B-HF"
    )
    return dataclasses.replace(config, name="vipa-1b", semantic=semantic)


def observation(views: Sequence[str] = ("scene",), seed: int = 0) -> Observation:
    """Return an observation of noise between 0.6 and 0.9 m, of the size the simulated camera has."""
    random = np.random.default_rng(seed)
    intrinsics = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
    made = tuple(
        CameraView(
            name,
            random.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8),
            random.uniform(0.6, 0.9, (HEIGHT, WIDTH)).astype(np.float32),
            intrinsics,
            np.eye(4),
        )
        for name in views
    )
    return Observation(1.0, made, transform(*TIP), 0.08)


@dataclass(frozen=True)
class Subject:
    """A network with random weights in an engine, and the inputs of one observation.

    Attributes:
        engine: that runs it.
        inputs: on the engine's device.
        state: (1, STATE_SIZE).
        tokens: of an instruction.
    """

    engine: InferenceEngine
    inputs: NetworkInput
    state: Tensor
    tokens: Sequence[int]

    def predict(self, steps: int) -> Tensor:
        """Return a chunk (1, horizon, ACTION_SIZE)."""
        return self.engine.predict(self.inputs, self.tokens, self.state, self.engine.noise(0), steps).actions

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(parameter.numel() for parameter in self.engine.network.parameters())


def random_network(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> VipaNetwork:
    """Return a network of a shape with random weights, made where and as they are used: gigabytes are not converted."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            network = VipaNetwork(config, config.semantic.vocabulary_size - 1, Normalisation(config.horizon))
    finally:
        torch.set_default_dtype(before)
    for name, buffer in network.named_buffers():  # rotary tables, statistics
        if buffer.is_floating_point() and buffer.dtype != torch.float32:
            owner = network.get_submodule(name.rpartition(".")[0])
            setattr(owner, name.rpartition(".")[2], buffer.float())
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():  # what starts at zero would leave the head with nothing to compute but zeros
        for parameter in network.head.parameters():
            parameter.normal_(0.0, INITIAL_RANGE, generator=generator)
    return network.eval()


def subject(config: ModelConfig, options: EngineOptions, device: torch.device | None = None, views: int = 1) -> Subject:
    """Build a network of a shape with random weights, and an observation of so many views."""
    device = device or torch.device("cpu")
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    engine = InferenceEngine(random_network(config, dtype, device), device, options)
    return with_views(Subject(engine, None, None, tuple(range(5, 5 + WORDS))), views)  # type: ignore[arg-type]


def with_views(made: Subject, views: int) -> Subject:
    """Return the same network with an observation of another number of views."""
    state = torch.zeros(1, STATE_SIZE, device=made.engine.device)
    state[0, :3] = torch.tensor(TIP[0])
    state[0, 3], state[0, 7] = 1.0, 1.0  # upright
    return dataclasses.replace(made, inputs=prepared(made.engine.network, made.engine.device, views), state=state)


def prepared(network: VipaNetwork, device: torch.device, views: int) -> NetworkInput:
    """Return the input of a network: an observation of so many views."""
    config = network.config
    seen = observation([f"camera_{index}" for index in range(views)])
    made = [prepare_view(view, config.spatial.image_size) for view in seen.views]
    return stack(made, config.semantic.image_size, device)


def stand_before_parts(watch: Stopwatch, engine: InferenceEngine, steps: int) -> None:
    """Let a stopwatch time the parts of an engine's predictions: the same names for folded and plain networks."""
    network, fused = engine.network, engine.fused
    sampler: Any = engine.sampler(steps)
    if fused is not None:
        places: list[tuple[Any, str, str]] = [
            (fused.vision, "patches", "vision"),
            (fused.vision, "project", "vision"),
            (fused, "spatial", "spatial"),
            (fused, "fusion", "fusion"),
            (fused, "language", "language"),
            (fused, "pointing", "pointing"),
        ]
    else:
        places = [
            (network.semantic, "patches", "vision"),
            (network.semantic, "project", "vision"),
            (network.spatial, "forward", "spatial"),
            (network.fusion, "forward", "fusion"),
            (network.semantic, "read", "language"),
            (network.pointing, "forward", "pointing"),
        ]
    places += [
        (sampler, "denoise", "head_steps"),
        (network, "head_tokens", "head_once"),
        (network, "head_state", "head_once"),
        (network.head, "state_token", "head_once"),
        (network.head, "condition_cache", "head_once"),
    ]
    for owner, attribute, name in places:
        if owner is not None and getattr(owner, attribute, None) is not None:
            watch.stand_before(owner, attribute, name)


def split_of(
    engine: InferenceEngine,
    predict: Callable[[], Any],
    steps: int,
    turns: int,
    watch: Stopwatch,
    policy: VipaPolicy | None = None,
) -> dict[str, float]:
    """Return the median ms of the parts of a prediction, of what is between them ("other"), and of one head step.

    Args:
        engine: that runs it.
        predict: one prediction of that engine.
        steps: Euler steps that ``predict`` takes.
        turns: predictions to take medians over.
        watch: a new stopwatch.
        policy: where the engine belongs to one, so that "preprocess" is known too.
    """
    with watch:
        stand_before_parts(watch, engine, steps)
        if policy is not None:
            watch.stand_before(policy, "prepare", "preprocess")
        predict()
        watch.turns.clear()
        whole = sorted(watch.turn(predict) for _ in range(turns))[turns // 2]
    parts = watch.medians()
    parts["other"] = max(whole - sum(parts.values()), 0.0)
    parts["head_per_step"] = parts.get("head_steps", 0.0) / steps
    return parts


def head_share(parts: dict[str, float]) -> float:
    """Return the share of the flow head in the sum of the parts of ``split_of``."""
    head = parts.get("head_steps", 0.0) + parts.get("head_once", 0.0)
    return head / max(sum(value for name, value in parts.items() if name != "head_per_step"), 1e-9)


def unpublished(config: ModelConfig) -> ModelConfig:
    """Return a shape that asks for no published weights."""
    semantic: SemanticConfig = dataclasses.replace(config.semantic, published="", tokenizer="words")
    return dataclasses.replace(config, semantic=semantic)
