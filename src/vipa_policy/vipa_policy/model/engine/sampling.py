"""Euler sampling of the flow with everything that does not depend on the noise computed once.

The times of the steps are fixed, so their modulations are computed when a sampler is made; an observation's keys and
values once for all of its steps (paper section 3.3; vipa_policy.model.head). Guarded by tests/unit/test_engine.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vipa_policy.model.head import ActionHead, KeyValue

# Returns the action (N, horizon, ACTION_SIZE), normalised, to aim at instead of the one predicted.
Guide: TypeAlias = Callable[[Tensor], Tensor]


class FlowSampler:
    """Draws actions from a head in a fixed number of Euler steps."""

    def __init__(self, head: ActionHead, steps: int) -> None:
        if steps < 1:
            raise ValueError(f"expected at least 1 Euler step, got {steps}")
        self.head = head
        self.steps = steps
        with torch.inference_mode():
            times = torch.arange(steps, device=head.position.device) / steps
            self.modulations = [self.modulate(times[index : index + 1]) for index in range(steps)]

    def __call__(
        self,
        noise: Tensor,
        state: Tensor,
        condition: Tensor,
        guidance: Guide | None = None,
        embodiment: Tensor | None = None,
    ) -> Tensor:
        """Return normalised actions (N, horizon, ACTION_SIZE).

        Args:
            noise: as the actions; where the flow begins.
            state: (N, state size), from ``VipaNetwork.head_state``.
            condition: (N, C, width), from ``VipaNetwork.head_tokens``.
            guidance: corrects the predicted action of every step, for in-painting.
            embodiment: (N,) long, for a head of several.
        """
        self.head.check_horizon(noise)
        token, cache = self.token(state, embodiment), self.head.condition_cache(condition)
        noisy = noise
        for index, modulations in enumerate(self.modulations):
            action = self.denoise(noisy, token, modulations, cache)
            if guidance is not None:
                action = guidance(action)
            noisy = noisy + (action - noisy) / (self.steps - index)
        return noisy

    def modulate(self, time: Tensor) -> list[Any]:
        """Return what a step at ``time`` (1,) does to every block."""
        return list(self.head.modulations(time))

    def token(self, state: Tensor, embodiment: Tensor | None) -> Tensor:
        """Return the state's token (N, 1, width)."""
        return self.head.state_token(state, embodiment)

    def denoise(self, noisy: Tensor, token: Tensor, modulations: list[Any], cache: list[KeyValue]) -> Tensor:
        """Return the action that a noisy one (N, horizon, ACTION_SIZE) is believed to come from."""
        return self.head.denoise(noisy, token, modulations, cache)
