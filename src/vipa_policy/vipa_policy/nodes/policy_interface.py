"""What the policy node needs of a policy, and how it comes by one. Guarded by tests/graph/test_policy_node.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from vipa_policy.contract import ActionContract
from vipa_policy.observation import Chunk, CommittedTail, Observation


class Policy(Protocol):
    """What the node needs of a policy; vipa_policy.model has it."""

    @property
    def contract(self) -> ActionContract:
        """What its chunks mean."""

    @property
    def name(self) -> str:
        """Of the checkpoint."""

    @property
    def device(self) -> Any:
        """Where it runs."""

    def check_instruction(self, text: str) -> None:
        """Raise InstructionError on words outside what was trained."""

    def predict(
        self,
        observation: Observation,
        instruction: str,
        *,
        committed: CommittedTail | None,
        seed: int | None,
        flow_steps: int | None,
    ) -> Chunk:
        """Predict a chunk."""


Loader = Callable[[str, str, int], Policy]


def load(checkpoint: str, device: str, threads: int) -> Policy:
    """Load a checkpoint of vipa_policy.model; imported here because torch takes seconds."""
    from vipa_policy.model import load_policy

    return load_policy(checkpoint, device, threads)
