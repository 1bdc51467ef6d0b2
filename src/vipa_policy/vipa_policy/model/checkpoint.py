"""Checkpoints: a folder of safetensors and JSON, written whole or not at all, and read with care.

``config.json`` (model type, version, name, sizes), ``model.safetensors`` (or shards of it), ``contract.json``,
``normalisation.json``, ``tokenizer.json``, ``tasks.json`` (templates), ``chat.json`` (of a published tokenizer),
``training.json`` (how it was made), ``embodiments.json`` (the contracts of further embodiments) where the network
serves several, ``motion.json`` where the language model knows motion tokens.

Version 1 had no model type and knew fewer choices; it is read as the choices that were fixed then. Guarded by
tests/unit/test_checkpoint.py and tests/unit/test_golden.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipa_policy.contract import ActionContract
from vipa_policy.errors import CheckpointError, ContractMismatch
from vipa_policy.model import normalisation as normalisations
from vipa_policy.model import weights
from vipa_policy.model.config import ModelConfig
from vipa_policy.model.hub import find_folder
from vipa_policy.model.language import KINDS
from vipa_policy.model.motion_tokens import MotionTokens
from vipa_policy.model.network import VipaNetwork
from vipa_policy.model.normalisation import Normalisation
from vipa_policy.model.vocabulary import Vocabulary

VERSION = 2
MODEL_TYPE = "vipa"
FILES = ("config.json", "contract.json", "normalisation.json", "tokenizer.json", "tasks.json")
ELSEWHERE = ("normalisation.",)  # parts of the network's state that have a file of their own


@dataclass(frozen=True)
class Checkpoint:
    """All a policy is made of."""

    config: ModelConfig
    contract: ActionContract
    vocabulary: Vocabulary
    network: VipaNetwork
    training: Mapping[str, Any]
    others: tuple[ActionContract, ...] = ()  # of further embodiments, in the order of their learned vectors
    motion: MotionTokens | None = None  # of a language model that was taught them

    @property
    def contracts(self) -> tuple[ActionContract, ...]:
        """Contracts of all embodiments; vipa_policy.model.embodiments.index_of chooses among them by name."""
        return (self.contract, *self.others)

    def save_pretrained(self, folder: str | Path, shard_size: int | str = weights.SHARD_SIZE) -> None:
        """Write the checkpoint into a folder, as ``save`` does."""
        save(self, Path(folder), shard_size)

    @classmethod
    def from_pretrained(cls, name: str | Path, revision: str | None = None) -> Checkpoint:
        """Read a checkpoint by path, name or hub id.

        Errors as in ``vipa_policy.model.hub.find_folder`` and ``load``.
        """
        return load(find_folder(str(name), revision))


def save(checkpoint: Checkpoint, folder: Path, shard_size: int | str = weights.SHARD_SIZE) -> None:
    """Write a checkpoint; an existing one is replaced only once the new one is complete on disk.

    Args:
        checkpoint: what to write.
        folder: where to.
        shard_size: bytes, or "4GB": weights beyond it are split into several files with an index.
    """
    fresh = folder.with_name(folder.name + ".writing")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    weights.write(weights.unshared_state(checkpoint.network, ELSEWHERE), fresh, shard_size)
    documents = {
        "config.json": {"model_type": MODEL_TYPE, "version": VERSION, "model": checkpoint.config.to_dict()},
        "contract.json": checkpoint.contract.to_dict(),
        "normalisation.json": checkpoint.network.normalisation.to_dict(),
        "training.json": dict(checkpoint.training),
    } | checkpoint.vocabulary.documents()
    if checkpoint.others:
        documents["embodiments.json"] = [contract.to_dict() for contract in checkpoint.others]
    for name, document in documents.items():
        (fresh / name).write_text(json.dumps(document, indent=2) + "\n")
    if checkpoint.motion is not None:
        checkpoint.motion.save(fresh)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


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
        CheckpointError: a file is missing, cut short, of a newer version, or does not fit its config.
        ContractMismatch: its contract contradicts itself or its network.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}; copy the whole checkpoint folder again")
    weights.weight_files(folder)
    config = read_config(folder)
    contract = ActionContract.from_dict(read_json(folder, "contract.json"))
    others = read_others(folder)
    for each in (contract, *others):
        check_fits(config, each)
    if len(others) + 1 != config.head.embodiments:
        raise CheckpointError(
            f"expected contracts of {config.head.embodiments} embodiments in {folder}, as its config says, got "
            f"{len(others) + 1}; copy the checkpoint again"
        )
    vocabulary = read_vocabulary(folder, config.semantic.tokenizer)
    normalisation = Normalisation.from_dict(
        read_json(folder, "normalisation.json"), config.horizon, config.head.embodiments
    )
    try:
        network = VipaNetwork(config, vocabulary.image_token, normalisation, vocabulary.layout)
    except (TypeError, ValueError, RuntimeError, AssertionError, ZeroDivisionError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no network that can be built: {error}") from error
    weights.fill(network, weights.read(folder), str(folder), ELSEWHERE)
    training = read_json(folder, "training.json") if (folder / "training.json").is_file() else {}
    return Checkpoint(config, contract, vocabulary, network.eval(), training, others, MotionTokens.load(folder))


def read_others(folder: Path) -> tuple[ActionContract, ...]:
    """Return the contracts of further embodiments; none where the checkpoint is of one."""
    if not (folder / "embodiments.json").is_file():
        return ()
    documents = read_json(folder, "embodiments.json")
    if not isinstance(documents, list):
        raise CheckpointError(f"expected a list of contracts in {folder / 'embodiments.json'}; copy it again")
    return tuple(ActionContract.from_dict(document) for document in documents)


def read_config(folder: Path) -> ModelConfig:
    """Return the sizes in a folder's config.json; raises CheckpointError where it is of another kind or newer."""
    header = read_json(folder, "config.json")
    if not isinstance(header, dict):
        raise CheckpointError(f"{folder / 'config.json'} holds no object; copy the checkpoint again")
    if header.get("model_type", MODEL_TYPE) != MODEL_TYPE:
        raise CheckpointError(
            f"expected model_type {MODEL_TYPE!r} in {folder / 'config.json'}, got {header['model_type']!r}; "
            "it is another kind of model (semantic.published is where a published InternVL goes)"
        )
    version = header.get("version", 0)
    if not isinstance(version, int) or version > VERSION:
        raise CheckpointError(
            f"{folder} is of checkpoint version {version}, this vipa_policy reads up to {VERSION}; update it"
        )
    return ModelConfig.from_dict(header.get("model", {}))


def read_vocabulary(folder: Path, kind: str) -> Vocabulary:
    """Return the words of a checkpoint; raises CheckpointError where its files do not hold those of that kind."""
    names = ("tokenizer.json", "tasks.json", "chat.json")
    documents = {name: read_json(folder, name) for name in names if (folder / name).is_file()}
    try:
        return KINDS[kind].from_documents(documents)
    except Exception as error:  # tokenizers raises nothing more specific
        raise CheckpointError(
            f"tokenizer.json and tasks.json in {folder} are not a vocabulary of the kind {kind!r} "
            f"({type(error).__name__}: {error}); copy the checkpoint again"
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
