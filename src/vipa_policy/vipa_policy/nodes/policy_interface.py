"""What the policy node needs of a policy, and how it comes by one. Guarded by tests/graph/test_policy_node.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class Loading:
    """What is to be loaded and how it is to run; the names are those of the node's parameters."""

    checkpoint: str
    device: str
    threads: int
    precision: str
    compile: bool
    embodiment: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Loading:
        """Read it from the values of the node's parameters."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


Loader = Callable[[Loading], Policy]


def load(wanted: Loading) -> Policy:
    """Load a checkpoint of vipa_policy.model; imported here because torch takes seconds. Errors as load_policy's."""
    from vipa_policy.model import load_policy
    from vipa_policy.model.engine import EngineOptions

    options = EngineOptions(precision=wanted.precision, compile=wanted.compile)
    return load_policy(wanted.checkpoint, wanted.device, wanted.threads, options, wanted.embodiment)
