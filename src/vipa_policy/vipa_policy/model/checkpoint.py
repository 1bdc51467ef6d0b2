"""Checkpoints: a folder of safetensors and JSON, written whole or not at all, and read with care.

``config.json`` (version, name, sizes), ``model.safetensors``, ``contract.json``, ``normalisation.json``,
``tokenizer.json``, ``tasks.json`` (templates), ``training.json`` (how it was made).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from vipa_policy.contract import ActionContract
from vipa_policy.errors import CheckpointError, ContractMismatch
from vipa_policy.model import normalisation as normalisations
from vipa_policy.model.config import ModelConfig
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.vocabulary import Vocabulary

VERSION = 1
FILES = ("config.json", "model.safetensors", "contract.json", "normalisation.json", "tokenizer.json", "tasks.json")


@dataclass(frozen=True)
class Checkpoint:
    """All a policy is made of."""

    config: ModelConfig
    contract: ActionContract
    vocabulary: Vocabulary
    network: VipaNetwork
    training: Mapping[str, Any]


def save(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a checkpoint; an existing one is replaced only once the new one is complete on disk."""
    fresh = folder.with_name(folder.name + ".writing")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    tensors = {name: value.contiguous() for name, value in unshared_state(checkpoint.network).items()}
    save_file(tensors, fresh / "model.safetensors", metadata={"format": "pt"})
    documents = {
        "config.json": {"version": VERSION, "model": checkpoint.config.to_dict()},
        "contract.json": checkpoint.contract.to_dict(),
        "normalisation.json": checkpoint.network.normalisation.to_dict(),
        "tokenizer.json": json.loads(checkpoint.vocabulary.tokenizer.to_str()),
        "tasks.json": [template.to_dict() for template in checkpoint.vocabulary.templates],
        "training.json": dict(checkpoint.training),
    }
    for name, document in documents.items():
        (fresh / name).write_text(json.dumps(document, indent=2) + "\n")
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def unshared_state(network: VipaNetwork) -> dict[str, torch.Tensor]:
    """Return the state of a network with tied weights named once and the normalisation left to its own file."""
    seen: set[int] = set()
    state: dict[str, torch.Tensor] = {}
    for name, value in network.state_dict().items():
        if name.startswith("normalisation.") or value.data_ptr() in seen:
            continue
        seen.add(value.data_ptr())
        state[name] = value.detach().to("cpu")
    return state


def read_json(folder: Path, name: str) -> Any:
    """Return a JSON file of a checkpoint; raises CheckpointError where it is cut short."""
    try:
        return json.loads((folder / name).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{folder / name} is cut short or no JSON ({error}); copy the checkpoint again"
        ) from error


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: the folder or a file is missing, cut short, of a newer version, or does not fit its config.
        ContractMismatch: its contract contradicts itself or its network.
    """
    if not folder.is_dir():
        raise CheckpointError(
            f"expected a checkpoint folder at {folder}, there is none; "
            "give the path of one, or make one with: python training/finetune.py --config training/configs/cell.yaml"
        )
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}; copy the whole checkpoint folder again")
    header = read_json(folder, "config.json")
    if not isinstance(header, dict):
        raise CheckpointError(f"{folder / 'config.json'} holds no object; copy the checkpoint again")
    if header.get("version", 0) > VERSION:
        raise CheckpointError(
            f"{folder} is of checkpoint version {header['version']}, this vipa_policy reads up to {VERSION}; update it"
        )
    config = ModelConfig.from_dict(header.get("model", {}))
    contract = ActionContract.from_dict(read_json(folder, "contract.json"))
    check_fits(config, contract)
    vocabulary = read_vocabulary(folder)
    normalisation = Normalisation.from_dict(read_json(folder, "normalisation.json"), config.horizon)
    try:
        network = VipaNetwork(config, vocabulary.image_token, normalisation)
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no network that can be built: {error}") from error
    fill(network, folder / "model.safetensors")
    training = read_json(folder, "training.json") if (folder / "training.json").is_file() else {}
    return Checkpoint(config, contract, vocabulary, network.eval(), training)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Return the words of a checkpoint; raises CheckpointError where its two files do not hold them."""
    tokenizer, tasks = read_json(folder, "tokenizer.json"), read_json(folder, "tasks.json")
    try:
        return Vocabulary.from_json(json.dumps(tokenizer), tasks)
    except Exception as error:  # tokenizers raises nothing more specific
        raise CheckpointError(
            f"tokenizer.json and tasks.json in {folder} are not a vocabulary ({type(error).__name__}: {error}); "
            "copy the checkpoint again"
        ) from error


def check_fits(config: ModelConfig, contract: ActionContract) -> None:
    """Refuse a contract that the network beside it cannot honour; raises ContractMismatch naming both sides."""
    pairs = {
        "horizon": (config.horizon, contract.horizon),
        "normalisation": (normalisations.NAME, contract.normalisation),
        "mode": ("absolute", contract.mode),
        "rotation": ("rotation_6d", contract.rotation),
        "gripper": ("width", contract.gripper),
    }
    for camera in contract.cameras:
        size = config.spatial.image_size
        pairs[f"size of camera {camera.name}"] = (f"{size}x{size}", f"{camera.width}x{camera.height}")
    lines = [f"{name}: {ours!r} / {theirs!r}" for name, (ours, theirs) in pairs.items() if ours != theirs]
    if lines:
        raise ContractMismatch(
            f"the network {config.name!r} and the contract in its checkpoint do not fit (network / contract): "
            + "; ".join(lines)
        )


def fill(network: VipaNetwork, file: Path) -> None:
    """Load the weights; raises CheckpointError where the file is cut short or belongs to another network."""
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file} is cut short or no safetensors file ({error}); copy it again") from error
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{file} belongs to a network of another shape: {error}") from error
    expected = set(unshared_state(network))
    lacking = [name for name in missing if name in expected]
    if lacking or unexpected:
        raise CheckpointError(
            f"{file} does not hold this network's weights: {len(lacking)} missing (first: {lacking[:1]}), "
            f"{len(unexpected)} unknown (first: {list(unexpected)[:1]})"
        )
