"""The inference engine: an observation and words to actions, each part of the work done as rarely as it can be.

| once per | what |
|---|---|
| network | folded weights (vipa_policy.model.engine.fused), modulations of the Euler steps' times |
| instruction | its embedded words |
| observation | both encoders, fusion, language model; the keys and values that the flow's steps attend to |
| step | the noisy actions through the head |

Guarded by tests/unit/test_engine.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import ACTION_SIZE
from vipa_policy.model.engine.fused import FusedNetwork, why_not
from vipa_policy.model.engine.fused.head import FusedSampler
from vipa_policy.model.engine.graphs import GraphedCall, Tensors
from vipa_policy.model.engine.precision import bring, choose_format, running
from vipa_policy.model.engine.sampling import FlowSampler, Guide
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.network import Condition, VipaNetwork

REMEMBERED = 64  # instructions whose embedded words are kept


@dataclass(frozen=True)
class EngineOptions:
    """How a network is run.

    Attributes:
        precision: "auto", "fp32" or "bf16" (vipa_policy.model.engine.precision).
        fused: whether a network that can be folded is; what it predicts differs by rounding only.
        compile: whether torch.compile takes the parts over. It needs a C++ compiler or Triton and, with the first
            observation, up to some minutes.
        compiler: torch.compile's back end.
        graphs: whether a CUDA device replays a whole prediction as one graph. No effect on a processor.
    """

    precision: str = "auto"
    fused: bool = True
    compile: bool = False
    compiler: str = "inductor"
    graphs: bool = True


@dataclass(frozen=True)
class Prediction:
    """What a network says of one observation.

    Attributes:
        actions: (1, horizon, ACTION_SIZE) float32 in SI units, in the reference camera's optical frame.
        pointed: (3,) m in the same frame, None where the network does not point.
        confidence: () share of the attention that agrees, None likewise.
    """

    actions: Tensor
    pointed: Tensor | None
    confidence: Tensor | None


class InferenceEngine:
    """Runs a network for one observation and one instruction at a time."""

    def __init__(
        self,
        network: VipaNetwork,
        device: torch.device | None = None,
        options: EngineOptions | None = None,
        embodiment: int = 0,
    ) -> None:
        """Bring a network to a device and prepare it.

        Args:
            network: is moved, put into its evaluation mode, and must not be trained afterwards.
            device: None takes the processor.
            options: None takes the defaults.
            embodiment: which of the network's embodiments is moved.

        Raises:
            CheckpointError: an option that there is not.
        """
        self.device = device or torch.device("cpu")
        self.options = options or EngineOptions()
        self.precision = choose_format(self.options.precision, self.device)
        bring(network, self.device, self.precision)
        self.network = network.eval()
        self.unfused = why_not(network) if self.options.fused else "it is switched off"
        self.fused = None if self.unfused else FusedNetwork(network)
        several = network.normalisation.embodiments > 1
        self.embodiment = torch.tensor([embodiment], device=self.device) if several else None
        self._words: dict[tuple[int, ...], Tensor] = {}
        self._samplers: dict[int, FlowSampler] = {}
        self._encode: Callable[[NetworkInput, Tensor], Condition] = (
            self._encode_fused if self.fused else self._encode_plain
        )
        if self.options.compile:
            self._encode = torch.compile(self._encode, dynamic=False, backend=self.options.compiler)
        self._graphs: dict[tuple[int, tuple[str, ...]], GraphedCall] = {}

    def words(self, tokens: Sequence[int]) -> Tensor:
        """Return the embedded words (1, T, language width) of an instruction's token ids."""
        key = tuple(tokens)
        if key not in self._words:
            if len(self._words) >= REMEMBERED:
                self._words.pop(next(iter(self._words)))
            ids = torch.tensor([key], device=self.device)
            self._words[key] = self.network.semantic.embed(ids)
        return self._words[key]

    def sampler(self, steps: int) -> FlowSampler:
        """Return the sampler of a number of Euler steps."""
        if steps not in self._samplers:
            kind = FusedSampler if self.fused else FlowSampler
            sampler = kind(self.network.head, steps)
            if self.options.compile:
                compiled = torch.compile(sampler.denoise, dynamic=False, backend=self.options.compiler)
                sampler.denoise = compiled  # type: ignore[method-assign]
            self._samplers[steps] = sampler
        return self._samplers[steps]

    def noise(self, seed: int | None) -> Tensor:
        """Return the noise (1, horizon, ACTION_SIZE) that sampling begins at; None draws another each time.

        It is drawn on the processor, so that a seed means the same chunk on every device, up to rounding.
        """
        generator = torch.Generator()
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(seed)
        noise = torch.randn(1, self.network.config.horizon, ACTION_SIZE, generator=generator)
        return (self.network.config.head.temperature * noise).to(self.device)

    @torch.inference_mode()
    def predict(
        self,
        inputs: NetworkInput,
        tokens: Sequence[int],
        state: Tensor,
        noise: Tensor,
        steps: int | None = None,
        guidance: Guide | None = None,
    ) -> Prediction:
        """Predict a chunk.

        Args:
            inputs: one observation (B = 1), on the engine's device.
            tokens: ids of the instruction.
            state: (1, STATE_SIZE) float32 measured tip: position in m, 6-D rotation, gripper width in m.
            noise: from ``noise``.
            steps: Euler steps; None takes the network's own.
            guidance: corrects the predicted action of every step, for in-painting; normalised.

        Raises:
            CheckpointError: more than one observation.
        """
        if inputs.batch != 1:
            raise CheckpointError(
                f"expected one observation at a time, got {inputs.batch}; the network itself takes more"
            )
        steps = self.network.config.head.flow_steps if steps is None else steps
        words = self.words(tokens)
        if self.options.graphs and self.device.type == "cuda" and guidance is None:
            names, parts = tensors_of(inputs)
            outputs = self._graphed(steps, names)(*parts, words, state, noise)
        else:
            outputs = self._run(inputs, words, state, noise, steps, guidance)
        actions, *pointed = outputs
        return Prediction(actions, pointed[0], pointed[1]) if pointed else Prediction(actions, None, None)

    def _run(
        self,
        inputs: NetworkInput,
        words: Tensor,
        state: Tensor,
        noise: Tensor,
        steps: int,
        guidance: Guide | None = None,
    ) -> Tensors:
        """Return actions and, with pointing, the pointed position and its confidence."""
        network = self.network
        with running(self.device, self.precision):
            condition = self._encode(inputs, words)
            anchor, own = condition.anchor.float(), state[:, None]
            tokens = network.head_tokens(condition, anchor).flatten(0, 1)
            token = network.head_state(own, anchor, self.embodiment).flatten(0, 1)
            action = self.sampler(steps)(noise, token, tokens, guidance, self.embodiment)
        metric = network.normalisation.metric(action.float()[:, None], own, self.embodiment)[:, 0]
        if condition.pointed is None:
            return (metric,)
        return metric, condition.pointed.anchor[0, 0], condition.pointed.confidence[0, 0]

    def _encode_fused(self, inputs: NetworkInput, words: Tensor) -> Condition:
        if self.fused is None:
            raise CheckpointError(f"this network was not folded: {self.unfused}")
        return self.fused.condition(inputs, words)

    def _encode_plain(self, inputs: NetworkInput, words: Tensor) -> Condition:
        mask = torch.ones(1, 1, words.shape[1], dtype=torch.bool, device=words.device)
        return self.network.condition_embedded(inputs, words[:, None], mask)

    def _graphed(self, steps: int, names: tuple[str, ...]) -> GraphedCall:
        if (steps, names) not in self._graphs:
            self.sampler(steps)  # its modulations are computed outside the graph

            def function(*values: Tensor) -> Tensors:
                *parts, words, state, noise = values
                return self._run(inputs_of(names, parts), words, state, noise, steps)

            self._graphs[steps, names] = GraphedCall(function)
        return self._graphs[steps, names]


def tensors_of(inputs: NetworkInput) -> tuple[tuple[str, ...], Tensors]:
    """Return the names and tensors of what an input holds; raises CheckpointError where it comes from a cache."""
    if inputs.frozen is not None:
        raise CheckpointError("expected an observation, got features from a cache of training; predict without one")
    held = {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)}
    held = {name: value for name, value in held.items() if value is not None}
    return tuple(held), tuple(held.values())


def inputs_of(names: Sequence[str], parts: Sequence[Tensor]) -> NetworkInput:
    """Undo ``tensors_of``."""
    held: dict[str, Any] = dict(zip(names, parts, strict=True))
    return NetworkInput(**({"depth": None} | held))
