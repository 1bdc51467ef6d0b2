"""Where a model's folder is found: by path, by name under the models folders, or by id in the Hugging Face hub cache.

The single place that turns a name into a folder and refuses pickles. Guarded by tests/unit/test_hub.py.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from vipa_policy.errors import CheckpointError

CHECKPOINT_FOLDER_VARIABLE = "VIPA_MODELS"  # folder in which checkpoints are looked up by name
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def find_folder(name: str, revision: str | None = None) -> Path:
    """Return the folder of a model.

    Args:
        name: path of a folder; name of one under the folder in VIPA_MODELS or under ./models; or a hub id
            "owner/name", which is taken from the local hub cache if it is there and downloaded otherwise.
        revision: of a hub id.

    Raises:
        CheckpointError: there is none, or the hub cannot be reached; says where it was looked for.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    for root in (os.environ.get(CHECKPOINT_FOLDER_VARIABLE), "models"):
        if root and (Path(root) / name).is_dir():
            return Path(root) / name
    if HUB_ID.fullmatch(name):
        return from_hub(name, revision)
    raise CheckpointError(
        f"expected a checkpoint folder at {path}, or of that name under ${CHECKPOINT_FOLDER_VARIABLE} or ./models, "
        "there is none; give the path of one or a hub id (owner/name), or make one with: "
        "python training/finetune.py --config training/configs/cell.yaml"
    )


def from_hub(name: str, revision: str | None) -> Path:
    """Return the snapshot of a hub id; a robot that has it in its cache asks nobody. Errors as in ``find_folder``."""
    patterns = list(WANTED)
    with suppress(LocalEntryNotFoundError):  # not in the cache: the hub itself is asked next
        cached = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
        if has_weights(cached):
            return cached
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"expected {name!r} in the hub cache or on the hub, got {type(error).__name__}: {first_line(error)}; "
            "check the name and the network, or download it elsewhere and give the folder's path"
        ) from error
    if not has_weights(folder):
        raise CheckpointError(
            f"expected all weights of {name!r} as safetensors, got a part of them in {folder}; the hub holds none, or "
            "was not asked (HF_HUB_OFFLINE): download it elsewhere and give the folder's path"
        )
    return folder


def has_weights(folder: Path) -> bool:
    """Tell whether all weights are there: a cache may hold a configuration alone, or what a cut connection left."""
    if not (folder / INDEX).is_file():
        return (folder / WEIGHTS).is_file()
    try:
        return all(
            (folder / name).is_file() for name in json.loads((folder / INDEX).read_text())["weight_map"].values()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return (str(error).splitlines() or [""])[0]


def refuse_pickles(folder: Path) -> None:
    """Raise CheckpointError where a folder holds no safetensors but a pickle, which could run any code when read."""
    if (folder / WEIGHTS).is_file() or (folder / INDEX).is_file():
        return
    found = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
    if found:
        raise CheckpointError(
            f"expected {WEIGHTS} in {folder}, got the pickle {found[0]}, which can run any code when it is read and is "
            "refused; convert it with safetensors where you trust it"
        )
