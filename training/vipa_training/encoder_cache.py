"""Batches as the encoders take them, and the cache of a frozen encoder beside each training set.

The cache lies in ``encoder_cache/<kind>`` inside the set's folder (vipa_policy.model.spatial.cache). It is made of the
pictures as they are stored: changes of colour during training do not reach a cached encoder. Guarded by
tests/unit/test_spatial_cache.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vipa_policy.errors import DatasetError
from vipa_policy.model.inputs import NetworkInput
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.preparation import network_input
from vipa_policy.model.spatial.cache import cache_key, fill_cache, fingerprint, mismatch, to_arrays
from vipa_training.dataset import Batch, Dataset, Part

FOLDER = "encoder_cache"
SAMPLE = 1024  # bytes from the middle of each picture that its fingerprint looks at


def batch_input(batch: Batch, semantic_size: int, device: torch.device) -> NetworkInput:
    """Return a batch's observations as the network takes them, with what is cached for them."""
    inputs = seen_input(vars(batch), semantic_size, device)
    if not batch.features:
        return inputs
    frozen = {name: torch.as_tensor(values, device=device) for name, values in batch.features.items()}
    return dataclasses.replace(inputs, frozen=frozen)


def seen_input(seen: Mapping[str, Any], semantic_size: int, device: torch.device) -> NetworkInput:
    """Return the network's input of arrays (B, ...) named as in ``Batch``; the measured tip is a known point."""

    def tensor(values: NDArray[Any]) -> Tensor:
        return torch.as_tensor(values, device=device)

    return network_input(
        tensor(seen["rgb"]),
        tensor(seen["depth"]) if seen["depth"].any() else None,
        tensor(seen["rays"]),
        tensor(seen["reference_from_camera"]),
        semantic_size,
        tensor(seen["state"][:, None, :3]),
    )


def fingerprints(part: Part) -> NDArray[np.uint64]:
    """Return a fingerprint of every frame of a set: its record, and the middle of its colours and its depth."""
    rows = np.empty(len(part.frames), dtype=np.uint64)
    for index, record in enumerate(part.frames):
        colours, depth = part.rgb[index].reshape(-1), part.depth[index].reshape(-1)
        rows[index] = fingerprint(record.tobytes(), middle(colours), middle(depth))
    return rows


def middle(values: NDArray[Any]) -> bytes:
    """Return up to SAMPLE bytes from the middle of a flat array."""
    count = min(len(values), SAMPLE // values.itemsize)
    first = (len(values) - count) // 2
    return values[first : first + count].tobytes()


def attach_cache(
    dataset: Dataset, network: VipaNetwork, device: torch.device, tell: Callable[[str], None] = print
) -> None:
    """Give every part of a data set the features of the network's frozen encoder, computing what is missing.

    Args:
        dataset: to add them to.
        network: its spatial encoder has a frozen part.
        device: to compute on.
        tell: hears why a cache is made.

    Raises:
        DatasetError: there is no spatial encoder, nothing of it is frozen, or another process is writing the cache.
    """
    encoder = network.spatial
    if encoder is None:
        raise DatasetError("expected a spatial encoder to cache, got spatial.kind 'none'; leave cache_encoder off")
    key = cache_key(encoder)
    for part in dataset.parts:
        folder, rows = part.folder / FOLDER / network.config.spatial.kind, fingerprints(part)

        def compute(indices: Sequence[int], part: Part = part) -> dict[str, NDArray[Any]]:
            frames = [part.frame(index) for index in indices]
            seen = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
            with torch.no_grad():
                return to_arrays(encoder.frozen_features(seen_input(seen, network.config.semantic.image_size, device)))

        reason = mismatch(folder, key, rows)
        if reason:
            tell(f"cache of the spatial encoder: {reason}; computing {len(rows)} frames")
        part.features = fill_cache(folder, key, rows, compute)
