"""Normalisation "tip_relative": poses count from the measured tip, the tip from the pointed position.

Early rows move millimetres and late ones centimetres, so every row has its own mean and deviation, and all of them
are learned to the same relative precision. Where a network serves several embodiments, each has statistics of its own,
stacked in front. Guarded by tests/unit/test_network.py and tests/unit/test_embodiments.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError, EmbodimentError
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

    def __init__(self, horizon: int, embodiments: int = 1) -> None:
        super().__init__()
        several = () if embodiments == 1 else (embodiments,)
        self.embodiments = embodiments
        self.register_buffer("action_mean", torch.zeros(*several, horizon, ACTION_SIZE))
        self.register_buffer("action_deviation", torch.ones(*several, horizon, ACTION_SIZE))
        self.register_buffer("state_mean", torch.zeros(*several, STATE_SIZE))
        self.register_buffer("state_deviation", torch.ones(*several, STATE_SIZE))

    @classmethod
    def join(cls, parts: Sequence[Normalisation]) -> Normalisation:
        """Return the statistics of several embodiments, each given alone, in their order."""
        joined = cls(parts[0].action_mean.shape[-2], len(parts))
        for name, buffer in joined.named_buffers():
            values = [getattr(part, name) for part in parts]
            buffer.copy_(values[0] if len(parts) == 1 else torch.stack(values))
        return joined

    def alone(self, index: int) -> Normalisation:
        """Return the statistics of one embodiment: undoes ``join``."""
        part = Normalisation(self.action_mean.shape[-2])
        for name, buffer in part.named_buffers():
            buffer.copy_(getattr(self, name) if self.embodiments == 1 else getattr(self, name)[index])
        return part

    def _of(self, name: str, embodiment: Tensor | None, values: Tensor) -> Tensor:
        """Return statistics that fit values (B, ...), observation by observation where embodiments differ."""
        own: Tensor = getattr(self, name)
        if self.embodiments == 1:
            return own
        if embodiment is None:
            raise EmbodimentError(f"expected which of {self.embodiments} embodiments each observation is of, got none")
        picked = own[embodiment]
        return picked.reshape(len(picked), *(1,) * (values.ndim - picked.ndim), *picked.shape[1:])

    def fit(self, action: Tensor, state: Tensor, anchor: Tensor) -> None:
        """Take the statistics of N samples: action (N, horizon, ACTION_SIZE), state (N, STATE_SIZE), anchor (N, 3)."""
        moved = action - origin(state)[:, None]
        own = torch.cat([state[:, :3] - anchor, state[:, 3:]], dim=-1)
        for name, values in (("action", moved), ("state", own)):
            getattr(self, f"{name}_mean").copy_(values.mean(dim=0))
            getattr(self, f"{name}_deviation").copy_(values.std(dim=0).clamp(min=SMALLEST_DEVIATION))

    def action(self, action: Tensor, state: Tensor, embodiment: Tensor | None = None) -> Tensor:
        """Normalise actions (B, ..., horizon, ACTION_SIZE) in SI units, predicted from states (B, ..., STATE_SIZE).

        ``embodiment`` (B,) long says which each is of; None where there is one.
        """
        mean, deviation = (self._of(f"action_{name}", embodiment, action) for name in ("mean", "deviation"))
        return (action - origin(state)[..., None, :] - mean) / deviation

    def metric(self, action: Tensor, state: Tensor, embodiment: Tensor | None = None) -> Tensor:
        """Undo ``action``."""
        mean, deviation = (self._of(f"action_{name}", embodiment, action) for name in ("mean", "deviation"))
        return action * deviation + mean + origin(state)[..., None, :]

    def state(self, state: Tensor, anchor: Tensor, embodiment: Tensor | None = None) -> Tensor:
        """Normalise states (B, ..., STATE_SIZE) in SI units about pointed positions (B, ..., 3) m."""
        mean, deviation = (self._of(f"state_{name}", embodiment, state) for name in ("mean", "deviation"))
        return (torch.cat([state[..., :3] - anchor, state[..., 3:]], dim=-1) - mean) / deviation

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"name": NAME} | {name: buffer.tolist() for name, buffer in self.named_buffers()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], horizon: int, embodiments: int = 1) -> Normalisation:
        """Read what ``to_dict`` wrote; raises CheckpointError where it does not fit."""
        if values.get("name") != NAME:
            raise CheckpointError(f"expected normalisation {NAME!r}, got {values.get('name')!r}")
        normalisation = cls(horizon, embodiments)
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
