"""Weights on disk: safetensors, one file or shards with an index as transformers writes them, and nothing else.

Guarded by tests/unit/test_checkpoint.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vipa_policy.errors import CheckpointError
from vipa_policy.model.hub import INDEX, WEIGHTS, refuse_pickles

SHARD_SIZE = "4GB"


def unshared_state(module: nn.Module, without: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Return the state of a module on the CPU, tied weights named once, prefixes in ``without`` left out."""
    seen: set[int] = set()
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        if name.startswith(without) or (value.numel() and value.data_ptr() in seen):
            continue
        seen.add(value.data_ptr())
        state[name] = value.detach().to("cpu")
    return state


def write(state: Mapping[str, Tensor], folder: Path, shard_size: int | str = SHARD_SIZE) -> None:
    """Write a state into a folder: one file, or shards of at most ``shard_size`` with an index."""
    split = split_torch_state_dict_into_shards(dict(state), max_shard_size=shard_size)
    for file, names in split.filename_to_tensors.items():
        save_file({name: state[name].contiguous() for name in names}, folder / file, metadata={"format": "pt"})
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def read(folder: Path) -> dict[str, Tensor]:
    """Return the state in a folder; raises CheckpointError where it is missing, a pickle, or cut short."""
    state: dict[str, Tensor] = {}
    for file in weight_files(folder):
        try:
            state |= load_file(file)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{file} is cut short or no safetensors file ({error}); copy it again") from error
    return state


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a folder's weights; raises CheckpointError where one is missing or a pickle."""
    refuse_pickles(folder)
    index = folder / INDEX
    if not index.is_file():
        files = [folder / WEIGHTS]
    else:
        try:
            names = set(json.loads(index.read_text())["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{index} is cut short or no index ({error}); copy it again") from error
        outside = [name for name in names if Path(name).name != name]
        if outside:
            raise CheckpointError(f"expected names of files beside {index}, got {outside[0]!r}; copy it again")
        files = [folder / name for name in sorted(names)]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}; copy the whole checkpoint folder again")
    return files


def fill(module: nn.Module, state: Mapping[str, Tensor], source: str, without: tuple[str, ...] = ()) -> None:
    """Load a state into a module.

    Raises CheckpointError, naming ``source`` and the first name, where the shapes differ, or names are missing (but
    for those with a prefix in ``without``, and tied ones) or unknown.
    """
    try:
        missing, unexpected = module.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{source} belongs to a network of another shape: {error}") from error
    expected = set(unshared_state(module, without))
    lacking = [name for name in missing if name in expected]
    if lacking or unexpected:
        raise CheckpointError(
            f"{source} does not hold this network's weights: {len(lacking)} missing (first: {lacking[:1]}), "
            f"{len(unexpected)} unknown (first: {list(unexpected)[:1]})"
        )
