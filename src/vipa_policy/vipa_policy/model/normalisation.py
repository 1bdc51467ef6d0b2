"""Normalisation "anchor_relative": positions count from the pointed position; then mean and deviation of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import ACTION_SIZE, STATE_SIZE

NAME = "anchor_relative"
SMALLEST_DEVIATION = 1e-3  # a field that hardly varies must not blow noise up


class Normalisation(nn.Module):
    """Statistics of actions and states, and the way to the network's numbers and back."""

    action_mean: Tensor
    action_deviation: Tensor
    state_mean: Tensor
    state_deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("action_mean", torch.zeros(ACTION_SIZE))
        self.register_buffer("action_deviation", torch.ones(ACTION_SIZE))
        self.register_buffer("state_mean", torch.zeros(STATE_SIZE))
        self.register_buffer("state_deviation", torch.ones(STATE_SIZE))

    def fit(self, action: Tensor, state: Tensor, anchor: Tensor) -> None:
        """Take the statistics of N samples: action (N, horizon, ACTION_SIZE), state (N, STATE_SIZE), anchor (N, 3)."""
        rows = relative(action, anchor[:, None]).flatten(0, 1)
        own = relative(state, anchor)
        for name, values in (("action", rows), ("state", own)):
            getattr(self, f"{name}_mean").copy_(values.mean(dim=0))
            getattr(self, f"{name}_deviation").copy_(values.std(dim=0).clamp(min=SMALLEST_DEVIATION))

    def action(self, action: Tensor, anchor: Tensor) -> Tensor:
        """Normalise actions (..., ACTION_SIZE) in SI units about anchors (..., 3) m."""
        return (relative(action, anchor) - self.action_mean) / self.action_deviation

    def state(self, state: Tensor, anchor: Tensor) -> Tensor:
        """Normalise states (..., STATE_SIZE) in SI units about anchors (..., 3) m."""
        return (relative(state, anchor) - self.state_mean) / self.state_deviation

    def metric(self, action: Tensor, anchor: Tensor) -> Tensor:
        """Undo ``action``."""
        return relative(action * self.action_deviation + self.action_mean, -anchor)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"name": NAME} | {name: buffer.tolist() for name, buffer in self.named_buffers()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Normalisation:
        """Read what ``to_dict`` wrote; raises CheckpointError where it does not fit."""
        if values.get("name") != NAME:
            raise CheckpointError(f"expected normalisation {NAME!r}, got {values.get('name')!r}")
        normalisation = cls()
        try:
            for name, buffer in normalisation.named_buffers():
                buffer.copy_(torch.tensor(values[name]))
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint's normalisation.json is incomplete: {error}") from error
        return normalisation


def relative(values: Tensor, anchor: Tensor) -> Tensor:
    """Return values (..., 10) with the first three, a position, counted from anchors (..., 3)."""
    return torch.cat([values[..., :3] - anchor, values[..., 3:]], dim=-1)
