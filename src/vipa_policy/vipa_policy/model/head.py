"""The action head: a diffusion transformer trained by flow matching (paper section 3.3).

a_tau = (1 - tau) * noise + tau * action, target action - noise, tau from 0 (noise) to 1 (action). Blocks alternate
cross-attention to the condition and self-attention over state and actions, each modulated by tau (AdaLN-Zero, Peebles
and Xie 2023, section 3.2; alternation after GR00T N1.5).

The blocks' output is the action; the velocity follows from it as (action - a_tau) / (1 - tau) (Li and He 2025, "Back to
Basics: Let Denoising Generative Models Denoise"). Given what the head is told, an action is nearly certain and its
noise is not: a network that had to output the noise as well would spend its precision on that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vipa_policy.model.config import ACTION_SIZE, HeadConfig

SMALLEST_REMAINDER = 0.2  # of 1 - tau, in the loss: with 4 Euler steps the last one begins at 0.25


def time_features(tau: Tensor, width: int) -> Tensor:
    """Return (N, width) sines and cosines of times (N,) in [0, 1], periods from 4 to 0.004."""
    exponents = torch.linspace(0.0, 1.0, width // 2, device=tau.device)
    angles = 2 * torch.pi * tau[:, None] / (4.0 * 0.001**exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


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

    def forward(self, tokens: Tensor, condition: Tensor, time: Tensor) -> Tensor:
        """Return tokens (N, L, width) after attending to condition (N, C, width) or to themselves."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = self.modulation(time)[:, None].chunk(6, dim=-1)
        normed = self.norm_attention(tokens) * (1 + scale_a) + shift_a
        query = self.split(self.query(normed))
        key, value = (self.split(part) for part in self.key_value(condition if self.cross else normed).chunk(2, dim=-1))
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + gate_a * self.output(attended.transpose(1, 2).flatten(2))
        normed = self.norm_forward(tokens) * (1 + scale_f) + shift_f
        return tokens + gate_f * self.forward_layers(normed)

    def split(self, values: Tensor) -> Tensor:
        """Return (N, heads, L, width / heads)."""
        return values.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class ActionHead(nn.Module):
    """Velocity field of the flow from noise to a normalised action chunk."""

    def __init__(self, config: HeadConfig, horizon: int, state_size: int) -> None:
        super().__init__()
        self.width = config.width
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

    def forward(self, noisy: Tensor, tau: Tensor, state: Tensor, condition: Tensor) -> Tensor:
        """Return the action (N, horizon, ACTION_SIZE) that the noisy one is believed to come from.

        Args:
            noisy: (N, horizon, ACTION_SIZE) normalised actions at time tau.
            tau: (N,) in [0, 1].
            state: (N, state_size) normalised.
            condition: (N, C, width).
        """
        time = self.time(time_features(tau, self.width))
        tokens = torch.cat([self.state_in(state)[:, None], self.action_in(noisy)], dim=1) + self.position
        for block in self.blocks:
            tokens = block(tokens, condition, time)
        return self.action_out(self.norm(tokens[:, 1:]))

    def flow_loss(
        self, action: Tensor, state: Tensor, condition: Tensor, valid: Tensor, noise: Tensor, tau: Tensor
    ) -> Tensor:
        """Return the masked mean squared error of the velocity (paper equation for L_FM; tau ~ U(0, 1)).

        Both velocities share a_tau, so their difference is that of the actions over 1 - tau.

        Args:
            action: (N, horizon, ACTION_SIZE) normalised.
            state: (N, state_size).
            condition: (N, C, width).
            valid: (N, horizon) bool.
            noise: as action.
            tau: (N,).
        """
        mixed = (1 - tau[:, None, None]) * noise + tau[:, None, None] * action
        remainder = (1 - tau[:, None, None]).clamp(min=SMALLEST_REMAINDER)
        error = (self(mixed, tau, state, condition).float() - action) / remainder
        return (error.square().mean(dim=-1) * valid).sum() / valid.sum().clamp(min=1)

    def sample(self, noise: Tensor, state: Tensor, condition: Tensor, steps: int) -> Tensor:
        """Integrate from noise (N, horizon, ACTION_SIZE) to an action by Euler steps."""
        noisy = noise
        for index in range(steps):
            tau = torch.full((len(noise),), index / steps, device=noise.device)
            velocity = (self(noisy, tau, state, condition) - noisy) / (1 - index / steps)
            noisy = noisy + velocity / steps
        return noisy
