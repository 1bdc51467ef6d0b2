"""Pretrained networks inside a spatial encoder: frozen, referred to by name, never copied into a checkpoint.

Their licences are not ours to pass on (CUT3R is CC BY-NC-SA 4.0) and they may be a hundred times the rest. What a
checkpoint keeps is a digest, so that it refuses to run on other weights than it was trained beside. Guarded by
tests/unit/test_spatial_encoders.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError
from vipa_policy.model.config import SpatialConfig
from vipa_policy.model.hub import find_folder


def state_digest(state: Mapping[str, Tensor]) -> bytes:
    """Return 32 bytes that differ when any name, shape, type or value of a state differs (SHA-256)."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().to("cpu").contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def pretrained_folder(config: SpatialConfig, what: str) -> Path:
    """Return the folder that ``config.pretrained`` names; raises CheckpointError saying what is expected there."""
    if not config.pretrained:
        raise CheckpointError(
            f"expected spatial.pretrained to name {what} (a folder or a hub id), got none; see docs/spatial.md"
        )
    try:
        return find_folder(config.pretrained)
    except CheckpointError as error:
        raise CheckpointError(
            f"expected {what} at spatial.pretrained {config.pretrained!r}, found none; give the path of its folder, or "
            f"a hub id that is in the hub cache or can be downloaded ({error})"
        ) from error


class Pretrained(nn.Module):
    """Holds a network that moves with its owner but is none of the owner's parameters.

    It stays in evaluation mode, trains never, and of its weights only their digest goes to checkpoints. A checkpoint
    with another digest is refused with CheckpointError.
    """

    digest: Tensor
    network: Any

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        # Past nn.Module's registration, which would make it parameters, state and part of ``train``.
        self.__dict__["network"] = network.eval().requires_grad_(False)
        self.name = name
        self.register_buffer("digest", torch.tensor(list(state_digest(network.state_dict())), dtype=torch.uint8))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Pretrained:
        """Move or cast the network together with its owner."""
        super()._apply(fn, recurse)
        self.__dict__["network"]._apply(fn, recurse)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        saved = state_dict.get(prefix + "digest")
        if saved is not None and not torch.equal(saved.cpu(), self.digest.cpu()):
            raise CheckpointError(
                f"expected the weights of {self.name!r} that this checkpoint was trained beside (SHA-256 "
                f"{bytes(saved.tolist()).hex()[:16]}...), got others ({bytes(self.digest.tolist()).hex()[:16]}...); "
                "point spatial.pretrained at the same weights"
            )
        super()._load_from_state_dict(state_dict, prefix, *arguments)
