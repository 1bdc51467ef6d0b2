"""Normalisation "tip_relative": poses count from the measured tip, the tip from the pointed position.

Early rows move millimetres and late ones centimetres, so every row has its own mean and deviation, and all of them
are learned to the same relative precision. Guarded by tests/unit/test_network.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import ACTION_SIZE, STATE_SIZE

NAME = "tip_relative"
SMALLEST_DEVIATION = 1e-3  # a field that hardly varies must not blow noise up
POSE = 9  # position and 6-D rotation come first in actions and states


class Normalisation(nn.Module):
    """Statistics of actions and states, and the way to the network's numbers and back."""

    action_mean: Tensor
    action_deviation: Tensor
    state_mean: Tensor
    state_deviation: Tensor

    def __init__(self, horizon: int) -> None:
        super().__init__()
        self.register_buffer("action_mean", torch.zeros(horizon, ACTION_SIZE))
        self.register_buffer("action_deviation", torch.ones(horizon, ACTION_SIZE))
        self.register_buffer("state_mean", torch.zeros(STATE_SIZE))
        self.register_buffer("state_deviation", torch.ones(STATE_SIZE))

    def fit(self, action: Tensor, state: Tensor, anchor: Tensor) -> None:
        """Take the statistics of N samples: action (N, horizon, ACTION_SIZE), state (N, STATE_SIZE), anchor (N, 3)."""
        moved = action - origin(state)[:, None]
        own = torch.cat([state[:, :3] - anchor, state[:, 3:]], dim=-1)
        for name, values in (("action", moved), ("state", own)):
            getattr(self, f"{name}_mean").copy_(values.mean(dim=0))
            getattr(self, f"{name}_deviation").copy_(values.std(dim=0).clamp(min=SMALLEST_DEVIATION))

    def action(self, action: Tensor, state: Tensor) -> Tensor:
        """Normalise actions (..., horizon, ACTION_SIZE) in SI units, predicted from states (..., STATE_SIZE)."""
        return (action - origin(state)[..., None, :] - self.action_mean) / self.action_deviation

    def metric(self, action: Tensor, state: Tensor) -> Tensor:
        """Undo ``action``."""
        return action * self.action_deviation + self.action_mean + origin(state)[..., None, :]

    def state(self, state: Tensor, anchor: Tensor) -> Tensor:
        """Normalise states (..., STATE_SIZE) in SI units about pointed positions (..., 3) m."""
        own = torch.cat([state[..., :3] - anchor, state[..., 3:]], dim=-1)
        return (own - self.state_mean) / self.state_deviation

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"name": NAME} | {name: buffer.tolist() for name, buffer in self.named_buffers()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], horizon: int) -> Normalisation:
        """Read what ``to_dict`` wrote; raises CheckpointError where it does not fit."""
        if values.get("name") != NAME:
            raise CheckpointError(f"expected normalisation {NAME!r}, got {values.get('name')!r}")
        normalisation = cls(horizon)
        try:
            for name, buffer in normalisation.named_buffers():
                read = torch.tensor(values[name])
                if read.shape != buffer.shape:
                    raise CheckpointError(f"expected {name} of shape {tuple(buffer.shape)}, got {tuple(read.shape)}")
                buffer.copy_(read)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's normalisation.json is incomplete: {error}") from error
        return normalisation


def origin(state: Tensor) -> Tensor:
    """Return (..., ACTION_SIZE): what actions count from, the measured pose; the gripper's width counts from zero."""
    return torch.cat([state[..., :POSE], torch.zeros_like(state[..., POSE:])], dim=-1)
