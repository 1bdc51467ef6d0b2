"""The action head: a diffusion transformer trained by flow matching (paper section 3.3).

a_tau = (1 - tau) * noise + tau * action, target action - noise, tau from 0 (noise) to 1 (action). GR00T N1.5 runs in
the same direction; openpi runs in the other one (t = 1 - tau, velocity noise - action). Blocks alternate
cross-attention to the condition and self-attention over state and actions, each modulated by tau (AdaLN-Zero, Peebles
and Xie 2023, section 3.2; alternation after GR00T N1.5).

The blocks' output is the action; the velocity follows from it as (action - a_tau) / (1 - tau) (Li and He 2025, "Back to
Basics: Let Denoising Generative Models Denoise"). Given what the head is told, an action is nearly certain and its
noise is not: a network that had to output the noise as well would spend its precision on that.

A step of the flow is ``ActionHead.denoise``. What it takes besides the noisy actions depends on the observation alone
(``state_token``, ``condition_cache``) or on the time alone (``modulations``), so it is computed once, not per step.
Guarded by tests/unit/test_head.py and tests/unit/test_memorisation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError, ContractMismatch, EmbodimentError
from vipa_policy.model.config import ACTION_SIZE, HeadConfig

SMALLEST_REMAINDER = 0.2  # of 1 - tau, in the loss: with 4 Euler steps the last one begins at 0.25
BETA_SHAPE = 1.5  # of Beta(1.5, 1), as openpi and GR00T N1.5 draw times
BETA_RANGE = 0.999  # their times stay this far from the action at most

Modulation: TypeAlias = tuple[Tensor, ...]  # shift, scale, gate of attention, then of feed-forward; (N or 1, 1, width)
KeyValue: TypeAlias = tuple[Tensor, Tensor]  # keys and values of a condition, each (N, heads, C, width / heads)


def draw_times(distribution: str, count: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Return (count,) times tau of training, 0 at the noise.

    Args:
        distribution: "uniform", tau ~ U(0, 1) (paper section 3.3); or "beta", tau = 0.999 (1 - b) with
            b ~ Beta(1.5, 1), denser towards the noise: what openpi's t = 0.999 b + 0.001 and GR00T's
            (0.999 - b) / 0.999 are in this direction (GR00T's reaches below 0 by 0.001; ours does not).
        count: how many.
        generator: of the draws.
        device: where to.
    """
    uniform = torch.rand(count, generator=generator, device=device)
    if distribution == "uniform":
        return uniform
    if distribution == "beta":  # Beta(a, 1) has the distribution function b^a
        return BETA_RANGE * (1 - uniform ** (1 / BETA_SHAPE))
    raise CheckpointError(f"expected head.time_distribution 'uniform' or 'beta', got {distribution!r}")


def time_features(tau: Tensor, width: int) -> Tensor:
    """Return (N, width) float32 sines and cosines of times (N,) in [0, 1], periods from 4 to 0.004."""
    exponents = torch.linspace(0.0, 1.0, width // 2, device=tau.device)
    angles = 2 * torch.pi * tau.float()[:, None] / (4.0 * 0.001**exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def check_sizes(config: HeadConfig) -> None:
    """Refuse a head that cannot be built or sampled; raises CheckpointError naming every size that is wrong."""
    problems = [
        f"head.{name} of at least 1, got {getattr(config, name)}"
        for name in ("queries", "width", "layers", "heads", "flow_steps", "embodiments")
        if getattr(config, name) < 1
    ]
    if not problems and config.width % config.heads:
        problems.append(f"head.width divisible by head.heads, got {config.width} and {config.heads}")
    if config.width % 2:
        problems.append(f"an even head.width (sines and cosines of the time), got {config.width}")
    if not config.temperature >= 0:
        problems.append(f"head.temperature of at least 0, got {config.temperature}")
    if problems:
        raise CheckpointError("expected " + "; ".join(problems) + "; correct the model's configuration")


class Block(nn.Module):
    """Attention (to the condition, or among state and actions) and a feed-forward, both modulated by time."""

    def __init__(self, width: int, heads: int, cross: bool) -> None:
        super().__init__()
        self.heads = heads
        self.cross = cross
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False)
        self.norm_forward = nn.LayerNorm(width, elementwise_affine=False)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.forward_layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(modulation.weight)
        nn.init.zeros_(modulation.bias)
        self.modulation = nn.Sequential(nn.SiLU(), modulation)

    def modulate(self, time: Tensor) -> Modulation:
        """Return what an embedded time (N, width) does to this block."""
        return tuple(self.modulation(time)[:, None].chunk(6, dim=-1))

    def keys_values(self, source: Tensor) -> KeyValue:
        """Return keys and values of (N, C, width)."""
        key, value = self.key_value(source).chunk(2, dim=-1)
        return self.split(key), self.split(value)

    def forward(
        self, tokens: Tensor, modulation: Modulation, cached: KeyValue | None, mask: Tensor | None = None
    ) -> Tensor:
        """Return tokens (N, L, width) after attending to a condition's keys and values, or to themselves (None).

        ``mask`` (N, 1, 1, C) bool is False at padding of what is attended to.
        """
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation
        normed = self.norm_attention(tokens) * (1 + scale_a) + shift_a
        query = self.split(self.query(normed))
        key, value = self.keys_values(normed) if cached is None else cached
        attended = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        tokens = tokens + gate_a * self.output(attended.transpose(1, 2).flatten(2))
        normed = self.norm_forward(tokens) * (1 + scale_f) + shift_f
        return tokens + gate_f * self.forward_layers(normed)

    def split(self, values: Tensor) -> Tensor:
        """Return (N, heads, L, width / heads)."""
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class ActionHead(nn.Module):
    """Velocity field of the flow from noise to a normalised action chunk."""

    def __init__(self, config: HeadConfig, horizon: int, state_size: int) -> None:
        """Build a head; raises CheckpointError on sizes that do not fit each other."""
        check_sizes(config)
        super().__init__()
        self.width = config.width
        self.horizon = horizon
        self.action_in = nn.Linear(ACTION_SIZE, config.width)
        self.state_in = nn.Sequential(
            nn.Linear(state_size, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )
        self.position = nn.Parameter(0.02 * torch.randn(horizon + 1, config.width))
        self.time = nn.Sequential(
            nn.Linear(config.width, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )
        self.blocks = nn.ModuleList(Block(config.width, config.heads, index % 2 == 0) for index in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.action_out = nn.Linear(config.width, ACTION_SIZE)
        nn.init.zeros_(self.action_out.weight)
        nn.init.zeros_(self.action_out.bias)
        # Zero at first, so that a network that learns another body starts as the one it was.
        several = config.embodiments > 1
        self.embodiment = nn.Parameter(torch.zeros(config.embodiments, config.width)) if several else None

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are in; inputs of other types are cast to it."""
        return self.position.dtype

    def _blocks(self) -> list[Block]:
        return [cast(Block, block) for block in self.blocks]

    def time_embedding(self, tau: Tensor) -> Tensor:
        """Return (N, width) of times (N,) in [0, 1]."""
        embedded: Tensor = self.time(time_features(tau, self.width).to(self.dtype))
        return embedded

    def modulations(self, tau: Tensor) -> list[Modulation]:
        """Return each block's modulation at times (N,) in [0, 1]; one time serves any number of chunks."""
        time = self.time_embedding(tau)
        return [block.modulate(time) for block in self._blocks()]

    def state_token(self, state: Tensor, embodiment: Tensor | None = None) -> Tensor:
        """Return the token (N, 1, width) of a normalised state (N, state_size).

        ``embodiment`` (N,) long says whose state it is; a head of one embodiment ignores it, one of several raises
        EmbodimentError without it.
        """
        token: Tensor = self.state_in(state.to(self.dtype))[:, None]
        if self.embodiment is None:
            return token
        if embodiment is None:
            raise EmbodimentError(f"expected which of {len(self.embodiment)} embodiments each state is of, got none")
        return token + self.embodiment[embodiment][:, None]

    def condition_cache(self, condition: Tensor) -> list[KeyValue]:
        """Return the keys and values of a condition (N, C, width) for every cross-attending block, in their order."""
        condition = condition.to(self.dtype)
        return [block.keys_values(condition) for block in self._blocks() if block.cross]

    def denoise(
        self,
        noisy: Tensor,
        state_token: Tensor,
        modulations: Sequence[Modulation],
        cache: Sequence[KeyValue],
        condition_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the action, shaped and typed as ``noisy``, that the noisy one is believed to come from.

        Args:
            noisy: (N, horizon, ACTION_SIZE) normalised actions at the time of ``modulations``.
            state_token: (N, 1, width), from ``state_token``.
            modulations: one per block, from ``modulations``.
            cache: one per cross-attending block, from ``condition_cache``.
            condition_mask: (N, C) bool, False at padding of the condition; None where there is none.
        """
        tokens = torch.cat([state_token, self.action_in(noisy.to(self.dtype))], dim=1) + self.position
        mask = None if condition_mask is None else condition_mask[:, None, None]
        cached = iter(cache)
        for block, modulation in zip(self._blocks(), modulations, strict=True):
            tokens = block(tokens, modulation, next(cached), mask) if block.cross else block(tokens, modulation, None)
        action: Tensor = self.action_out(self.norm(tokens[:, 1:]))
        return action.to(noisy.dtype)

    def forward(
        self,
        noisy: Tensor,
        tau: Tensor,
        state: Tensor,
        condition: Tensor,
        condition_mask: Tensor | None = None,
        embodiment: Tensor | None = None,
    ) -> Tensor:
        """Return the action (N, horizon, ACTION_SIZE) that the noisy one is believed to come from.

        Args:
            noisy: (N, horizon, ACTION_SIZE) normalised actions at time tau.
            tau: (N,) in [0, 1].
            state: (N, state_size) normalised.
            condition: (N, C, width).
            condition_mask: (N, C) bool, False at padding; None where there is none.
            embodiment: (N,) long, for a head of several.

        Raises:
            ContractMismatch: another horizon than the head's.
        """
        self.check_horizon(noisy)
        token = self.state_token(state, embodiment)
        return self.denoise(noisy, token, self.modulations(tau), self.condition_cache(condition), condition_mask)

    def flow_loss(
        self,
        action: Tensor,
        state: Tensor,
        condition: Tensor,
        valid: Tensor,
        noise: Tensor,
        tau: Tensor,
        condition_mask: Tensor | None = None,
        embodiment: Tensor | None = None,
    ) -> Tensor:
        """Return the masked mean squared error of the velocity (paper equation for L_FM), float32.

        Both velocities share a_tau, so their difference is that of the actions over 1 - tau.

        Args:
            action: (N, horizon, ACTION_SIZE) normalised.
            state: (N, state_size).
            condition: (N, C, width).
            valid: (N, horizon) bool; rows where it is False do not count.
            noise: as action.
            tau: (N,), from ``draw_times``.
            condition_mask: (N, C) bool, False at padding; None where there is none.
            embodiment: (N,) long, for a head of several.

        Raises:
            ContractMismatch: another horizon than the head's.
        """
        mixed = (1 - tau[:, None, None]) * noise + tau[:, None, None] * action
        remainder = (1 - tau[:, None, None]).clamp(min=SMALLEST_REMAINDER)
        error = (self(mixed, tau, state, condition, condition_mask, embodiment).float() - action) / remainder
        return (error.square().mean(dim=-1) * valid).sum() / valid.sum().clamp(min=1)

    def sample(
        self,
        noise: Tensor,
        state: Tensor,
        condition: Tensor,
        steps: int,
        condition_mask: Tensor | None = None,
        embodiment: Tensor | None = None,
        guidance: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Integrate from noise (N, horizon, ACTION_SIZE) at tau = 0 to an action at tau = 1 by Euler steps.

        Arguments as in ``forward``; ``guidance`` takes the action that each step aims at, and returns the one it is
        to aim at (vipa_policy.model.inpainting).

        Raises:
            ContractMismatch: another horizon than the head's.
            ValueError: fewer than one step.
        """
        if steps < 1:
            raise ValueError(f"expected at least 1 Euler step, got {steps}")
        self.check_horizon(noise)
        token, cache = self.state_token(state, embodiment), self.condition_cache(condition)
        noisy = noise
        for index in range(steps):
            tau = torch.full((1,), index / steps, device=noise.device)
            action = self.denoise(noisy, token, self.modulations(tau), cache, condition_mask)
            if guidance is not None:
                action = guidance(action)
            noisy = noisy + (action - noisy) / (steps - index)  # velocity (action - noisy) / (1 - tau), over 1 / steps
        return noisy

    def check_horizon(self, action: Tensor) -> None:
        """Raise ContractMismatch where actions (N, rows, ACTION_SIZE) have other rows than the head."""
        if action.shape[1:] != (self.horizon, ACTION_SIZE):
            raise ContractMismatch(
                f"expected chunks of {self.horizon} rows of {ACTION_SIZE} values, the horizon of the action head, got "
                f"{' x '.join(str(size) for size in action.shape[1:])}; use a head made for this horizon"
            )
