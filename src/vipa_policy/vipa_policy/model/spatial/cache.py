"""What a frozen encoder computes, kept on disk for the rows of a data set: computed once, read ever after.

A cache belongs to one encoder (kind, choices and weights), one version of the preparation and one list of rows, each
known by a fingerprint; it says which of them differs before anything of it is used. Files are append-only and
``meta.json`` says how many rows of them count, so a writer killed at any moment leaves a cache that the next one
continues. Guarded by tests/unit/test_spatial_cache.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vipa_policy.errors import DatasetError
from vipa_policy.model import preparation
from vipa_policy.model.spatial.interface import SpatialEncoder
from vipa_policy.model.spatial.pretrained import state_digest

VERSION = 1
META = "meta.json"
ROWS = "rows.bin"
SAVE_EVERY = 256  # rows between two updates of meta.json: what a kill may lose


def cache_key(encoder: SpatialEncoder) -> dict[str, Any]:
    """Return what the features of an encoder depend on, beside the rows.

    Raises DatasetError where nothing of the encoder is frozen.
    """
    weights = encoder.frozen_weights()
    if not weights:
        raise DatasetError(
            f"expected an encoder with a frozen part to cache, got {type(encoder).__name__}, all of which trains; set "
            "spatial.frozen, take another spatial.kind, or leave cache_encoder off"
        )
    return {
        "version": VERSION,
        "encoder": type(encoder).__name__,
        "choices": json.loads(json.dumps(encoder.frozen_choices())),
        "weights": state_digest(weights).hex(),
        "preparation": preparation.VERSION,
    }


def fingerprint(*parts: bytes) -> int:
    """Return a 64-bit number that tells one row from another."""
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "little")


def to_arrays(features: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return features as arrays; numpy has no bfloat16, so that becomes float32."""
    return {
        name: (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
        for name, value in features.items()
    }


def mismatch(folder: Path, key: Mapping[str, Any], rows: NDArray[np.uint64]) -> str:
    """Return why a cache does not belong to an encoder and to rows, "" where it does (as far as it goes)."""
    if not (folder / META).is_file():
        return f"there is no cache in {folder}"
    try:
        meta = json.loads((folder / META).read_text())
        kept, done = dict(meta["key"]), int(meta["done"])
        known = np.fromfile(folder / ROWS, np.uint64, done)
        sizes = {name: record_type(field).itemsize for name, field in meta["fields"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"the cache in {folder} is cut short ({error})"
    for name in sorted(set(kept) | set(key)):
        if kept.get(name) != key.get(name):
            return f"the cache in {folder} is of another {name}: {kept.get(name)!r} there, {key.get(name)!r} here"
    short = [name for name, size in sizes.items() if file_size(folder / f"{name}.bin") < done * size]
    if short or len(known) < done:
        return f"the cache in {folder} is cut short ({(short or [ROWS])[0]})"
    common = min(done, len(rows))
    other = np.flatnonzero(known[:common] != rows[:common])
    if len(other):
        return f"row {other[0]} of the data is another one than the cache in {folder} was made of"
    return ""


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def record_type(field: Sequence[Any]) -> np.dtype[Any]:
    """Return the record of a field [type, shape] as meta.json has it."""
    return np.dtype((np.dtype(field[0]), tuple(field[1])))


class FeatureCache:
    """A complete cache, memory-mapped."""

    def __init__(self, folder: Path, key: Mapping[str, Any], rows: NDArray[np.uint64]) -> None:
        """Open a cache; raises DatasetError, with the reason, where it is not this encoder's for these rows."""
        reason = mismatch(folder, key, rows)
        if not reason and done_rows(folder) < len(rows):
            reason = f"the cache in {folder} holds {done_rows(folder)} of {len(rows)} rows"
        if reason:
            raise DatasetError(f"expected cached features of this encoder and these rows, but {reason}; make them anew")
        meta = json.loads((folder / META).read_text())
        self._fields: dict[str, NDArray[Any]] = {
            name: np.memmap(folder / f"{name}.bin", np.dtype(kind), "r", shape=(meta["done"], *shape))
            for name, (kind, shape) in meta["fields"].items()
        }

    def row(self, index: int) -> dict[str, NDArray[Any]]:
        """Return the features of a row, without a batch axis."""
        return {name: np.asarray(values[index]) for name, values in self._fields.items()}


def done_rows(folder: Path) -> int:
    """Return how many rows of a cache count."""
    return int(json.loads((folder / META).read_text())["done"])


def fill_cache(
    folder: Path,
    key: Mapping[str, Any],
    rows: NDArray[np.uint64],
    compute: Callable[[Sequence[int]], Mapping[str, NDArray[Any]]],
    batch: int = 8,
) -> FeatureCache:
    """Return the cache of these rows, computing what is missing.

    A cache that does not belong to the encoder or the rows is made anew; ``mismatch`` tells why beforehand.

    Args:
        folder: of the cache.
        key: from ``cache_key``.
        rows: fingerprint of every row.
        compute: from indices of rows to features, each (len(indices), ...).
        batch: rows computed at once.

    Raises:
        DatasetError: another process is writing this cache.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if mismatch(folder, key, rows):
            for path in folder.iterdir():
                if path.name != LOCK:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        start = done_rows(folder) if (folder / META).is_file() else 0
        if start < len(rows):
            append(folder, key, rows, start, compute, batch)
    return FeatureCache(folder, key, rows)


LOCK = "writing.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the writer's lock of a cache, which the system lets go of when its holder dies."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatasetError(f"another process is writing the cache in {folder}; wait for it, or stop it") from error
        yield


def append(
    folder: Path,
    key: Mapping[str, Any],
    rows: NDArray[np.uint64],
    start: int,
    compute: Callable[[Sequence[int]], Mapping[str, NDArray[Any]]],
    batch: int,
) -> None:
    """Compute the rows from ``start`` on and write them; meta.json follows once they are on disk."""
    fields: dict[str, list[Any]] | None = json.loads((folder / META).read_text())["fields"] if start else None
    files: dict[str, Any] = {}
    saved = start
    try:
        for first in range(start, len(rows), batch):
            indices = range(first, min(first + batch, len(rows)))
            arrays = compute(indices)
            found = {name: [values.dtype.str, list(values.shape[1:])] for name, values in arrays.items()}
            if fields is None:
                fields = found
            if found != fields:
                raise DatasetError(f"expected features of {fields} for rows {indices}, got {found}; clear {folder}")
            if not files:
                sizes = {f"{name}.bin": record_type(field).itemsize for name, field in fields.items()}
                files = {name: open_at(folder / name, start * size) for name, size in (sizes | {ROWS: 8}).items()}
            for name, values in arrays.items():
                files[f"{name}.bin"].write(np.ascontiguousarray(values).tobytes())
            files[ROWS].write(rows[indices.start : indices.stop].tobytes())
            if indices.stop - saved >= SAVE_EVERY or indices.stop == len(rows):
                for file in files.values():
                    file.flush()
                    os.fsync(file.fileno())
                fresh = folder / f"{META}.writing"
                fresh.write_text(json.dumps({"key": dict(key), "fields": fields, "done": indices.stop}, indent=1))
                fresh.replace(folder / META)
                saved = indices.stop
    finally:
        for file in files.values():
            file.close()


def open_at(path: Path, size: int) -> Any:
    """Open a file for appending after ``size`` bytes; what lies beyond was being written when a writer was killed."""
    path.touch()
    os.truncate(path, size)
    return path.open("ab")
