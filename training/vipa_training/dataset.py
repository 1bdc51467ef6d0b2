"""Training sets on disk: frames (prepared views and the measured tip) and samples (words, chunk, pointed position).

One frame serves several samples: the same picture with other words. A set is a folder of append-only arrays and a
``meta.json`` that says how many rows of them count; a writer killed at any moment leaves a set that reads, and that
the next writer continues. Guarded by tests/unit/test_dataset.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipa_policy import contract as contracts
from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.errors import DatasetError
from vipa_policy.geometry import Array
from vipa_policy.model.policy import measured_state
from vipa_policy.model.preparation import prepare_view, sampled_rays
from vipa_policy.model.spatial.cache import FeatureCache
from vipa_policy.observation import Observation

VERSION = 1
SAVE_EVERY = 50  # frames between two updates of meta.json: what a kill may lose


def frame_type(views: int) -> np.dtype[Any]:
    """Return the record of a frame with this many views."""
    return np.dtype(
        [
            ("stamp", "f8"),
            ("intrinsics", "f8", (views, 3, 3)),
            ("source_size", "i4", (views, 2)),  # height, width of the uncropped image
            ("reference_from_camera", "f8", (views, 4, 4)),
            ("base_from_camera", "f8", (4, 4)),
            ("state", "f8", (10,)),  # vipa_policy.model.policy.measured_state
        ]
    )


def sample_type(horizon: int) -> np.dtype[Any]:
    """Return the record of a sample."""
    return np.dtype(
        [
            ("frame", "i8"),
            ("instruction", "i4"),
            ("action", "f4", (horizon, 10)),  # position m, 6-D rotation, gripper m; reference optical frame
            ("valid", "?", (horizon,)),
            ("pointed", "f4", (3,)),
            ("pointed_known", "?"),
        ]
    )


class DatasetWriter:
    """Appends frames and samples to a set; opens an existing one to continue it."""

    def __init__(self, folder: Path, contract: ActionContract) -> None:
        """Open or create a set; raises ContractMismatch where the existing one means other actions."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.contract = contract
        self._size = contract.cameras[0].width
        views = len(contract.cameras)
        shape = (views, self._size, self._size)
        self._types = {
            "rgb": np.dtype(("u1", (*shape, 3))),
            "depth": np.dtype(("u2", shape)),
            "frames": frame_type(views),
            "samples": sample_type(contract.horizon),
        }
        self.meta = self._open_meta()
        counts = {name: self.meta["samples" if name == "samples" else "frames"] for name in self._types}
        self._files = {name: self._open_array(name, counts[name]) for name in self._types}
        self._instructions = {text: index for index, text in enumerate(self.meta["instructions"])}

    def _open_meta(self) -> dict[str, Any]:
        path = self.folder / "meta.json"
        if not path.exists():
            return {
                "version": VERSION, "contract": self.contract.to_dict(), "frames": 0, "samples": 0,
                "instructions": [], "sources": [],
            }  # fmt: skip
        meta: dict[str, Any] = json.loads(path.read_text())
        contracts.check(
            ActionContract.from_dict(meta["contract"]),
            f"the dataset {self.folder}",
            self.contract,
            "the new recordings",
        )
        return meta

    def _open_array(self, name: str, count: int) -> Any:
        path = self.folder / f"{name}.bin"
        path.touch()
        # Rows beyond the count were being written when the last writer was killed.
        os.truncate(path, count * self._types[name].itemsize)
        return path.open("ab")

    def add_frame(self, observation: Observation, base_from_camera: Array) -> int:
        """Append an observation and return its index; raises ObservationError where it cannot be used.

        Views without depth are taken, for encoders that estimate it; they are stored as depth that is nowhere valid.
        """
        prepared = [prepare_view(view, self._size, needs_depth=view.depth is not None) for view in observation.views]
        record = np.zeros((), dtype=self._types["frames"])
        record["stamp"] = observation.stamp
        record["intrinsics"] = [view.intrinsics for view in observation.views]
        record["source_size"] = [view.rgb.shape[:2] for view in observation.views]
        record["reference_from_camera"] = [view.reference_from_camera for view in observation.views]
        record["base_from_camera"] = base_from_camera
        record["state"] = measured_state(observation.camera_from_tip, observation.gripper_width)
        self._files["rgb"].write(np.stack([view.rgb for view in prepared]).tobytes())
        none = np.zeros((self._size, self._size), dtype=np.uint16)
        depth = [none if view.depth is None else view.depth for view in prepared]
        self._files["depth"].write(np.stack(depth).tobytes())
        self._files["frames"].write(record.tobytes())
        self.meta["frames"] += 1
        if self.meta["frames"] % SAVE_EVERY == 0:
            self.save()
        return int(self.meta["frames"]) - 1

    def add_sample(
        self,
        frame: int,
        instruction: str,
        camera_from_tip: Array,
        gripper: Array,
        valid: NDArray[np.bool_],
        pointed: Array | None,
    ) -> None:
        """Append a label for a frame.

        Args:
            frame: index that ``add_frame`` returned.
            instruction: the words.
            camera_from_tip: (horizon, 4, 4) poses in the reference camera's optical frame at the frame's stamp.
            gripper: (horizon,) m.
            valid: (horizon,) False where the demonstration had ended.
            pointed: (3,) m, the named thing's grasp point in the same frame, or None where it is not known.

        Raises:
            DatasetError: another horizon, not finite, or a frame that does not exist.
        """
        horizon = self.contract.horizon
        if camera_from_tip.shape != (horizon, 4, 4) or gripper.shape != (horizon,) or valid.shape != (horizon,):
            raise DatasetError(
                f"expected a chunk of {horizon} rows, got poses {camera_from_tip.shape}, gripper {gripper.shape}, "
                f"valid {valid.shape}"
            )
        if not (np.all(np.isfinite(camera_from_tip)) and np.all(np.isfinite(gripper))):
            raise DatasetError("expected a finite chunk, got NaN or infinity; the episode's TF is broken there")
        if not 0 <= frame < self.meta["frames"]:
            raise DatasetError(f"expected a frame below {self.meta['frames']}, got {frame}")
        if instruction not in self._instructions:
            self._instructions[instruction] = len(self._instructions)
            self.meta["instructions"].append(instruction)
        record = np.zeros((), dtype=self._types["samples"])
        record["frame"] = frame
        record["instruction"] = self._instructions[instruction]
        record["action"][:, :3] = camera_from_tip[:, :3, 3]
        record["action"][:, 3:9] = geometry.rotation_to_6d(camera_from_tip[:, :3, :3])
        record["action"][:, 9] = gripper
        record["valid"] = valid
        if pointed is not None:
            record["pointed"] = pointed
            record["pointed_known"] = True
        self._files["samples"].write(record.tobytes())
        self.meta["samples"] += 1

    def add_source(self, source: str) -> None:
        """Remember that an episode or a generation step is complete in here, so that it is not added twice."""
        self.meta["sources"].append(source)
        self.save()

    def save(self) -> None:
        """Bring everything added so far to disk."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        fresh = self.folder / "meta.json.writing"
        fresh.write_text(json.dumps(self.meta, indent=1))
        fresh.replace(self.folder / "meta.json")

    def close(self) -> None:
        """Save and close."""
        self.save()
        for file in self._files.values():
            file.close()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Batch:
    """Arrays of B frames with K samples each; see vipa_policy.model.network.Targets for the labels."""

    rgb: NDArray[np.uint8]  # (B, V, S, S, 3)
    depth: NDArray[np.int32]  # (B, V, S, S)
    rays: NDArray[np.float32]  # (B, V, S, S, 2)
    reference_from_camera: NDArray[np.float32]  # (B, V, 4, 4)
    state: NDArray[np.float32]  # (B, 10)
    instructions: list[str]  # B * K, frame by frame
    action: NDArray[np.float32]  # (B, K, horizon, 10)
    valid: NDArray[np.bool_]  # (B, K, horizon)
    pointed: NDArray[np.float32]  # (B, K, 3)
    pointed_known: NDArray[np.bool_]  # (B, K)
    features: dict[str, NDArray[Any]] = field(default_factory=dict)  # of a frozen encoder, each (B, ...); {} uncached


class Dataset:
    """One or several sets, read in place."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Open sets; raises DatasetError where one is missing or empty, ContractMismatch where two do not match."""
        self.parts = [Part(Path(folder)) for folder in folders]
        if not self.parts:
            raise DatasetError("expected at least one dataset folder, got none")
        first = self.parts[0]
        for part in self.parts[1:]:
            contracts.check(first.contract, f"the dataset {first.folder}", part.contract, f"the dataset {part.folder}")
        self.contract = first.contract
        self._starts = np.cumsum([0] + [part.frame_count for part in self.parts])

    def __len__(self) -> int:
        """Return the number of frames."""
        return int(self._starts[-1])

    @property
    def sample_count(self) -> int:
        """Number of samples in all sets."""
        return sum(len(part.samples) for part in self.parts)

    @property
    def instructions(self) -> list[str]:
        """Every instruction in the sets, sorted."""
        return sorted({text for part in self.parts for text in part.instructions})

    def all_samples(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Return action (N, horizon, 10), state (N, 10), pointed (N, 3) and pointed_known (N,) of every sample."""
        actions = np.concatenate([part.samples["action"] for part in self.parts])
        states = np.concatenate([part.frames["state"][part.samples["frame"]] for part in self.parts])
        pointed = np.concatenate([part.samples["pointed"] for part in self.parts])
        known = np.concatenate([part.samples["pointed_known"] for part in self.parts])
        return actions, states.astype(np.float32), pointed, known

    def batch(self, frames: Sequence[int], count: int, random: np.random.Generator) -> Batch:
        """Return frames with ``count`` randomly chosen samples each."""
        rows = []
        for index in frames:
            which = int(np.searchsorted(self._starts, index, side="right")) - 1
            rows.append(self.parts[which].row(int(index - self._starts[which]), count, random))
        apart = ("instructions", "features")
        joined = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name not in apart}
        features = {name: np.stack([row["features"][name] for row in rows]) for name in rows[0]["features"]}
        instructions = [text for row in rows for text in row["instructions"]]
        return Batch(instructions=instructions, features=features, **joined)


class Part:
    """One set on disk, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        path = folder / "meta.json"
        if not path.is_file():
            raise DatasetError(
                f"expected a training set in {folder}, found none; "
                "make one with training/generate.py or training/convert.py"
            )
        meta = json.loads(path.read_text())
        if meta["version"] > VERSION:
            raise DatasetError(f"{folder} is of version {meta['version']}, expected {VERSION} or older; update VIPA")
        self.folder = folder
        self.contract = ActionContract.from_dict(meta["contract"])
        self.instructions: list[str] = meta["instructions"]
        self.sources: list[str] = meta["sources"]
        views, size = len(self.contract.cameras), self.contract.cameras[0].width
        self.frames = np.fromfile(folder / "frames.bin", dtype=frame_type(views), count=meta["frames"])
        self.samples = np.fromfile(
            folder / "samples.bin", dtype=sample_type(self.contract.horizon), count=meta["samples"]
        )
        self.rgb: NDArray[np.uint8] = np.memmap(
            folder / "rgb.bin", np.uint8, "r", shape=(meta["frames"], views, size, size, 3)
        )
        self.depth: NDArray[np.uint16] = np.memmap(
            folder / "depth.bin", np.uint16, "r", shape=(meta["frames"], views, size, size)
        )
        order = np.argsort(self.samples["frame"], kind="stable")
        labelled, starts = np.unique(self.samples["frame"][order], return_index=True)
        self._samples_of = dict(zip(labelled.tolist(), np.split(order, starts[1:]), strict=True))
        self._labelled = np.asarray(labelled)
        self._size = size
        self.features: FeatureCache | None = None  # vipa_training.encoder_cache
        if len(self._labelled) == 0:
            raise DatasetError(f"the training set {folder} holds no sample; its episodes had no usable frame")

    @property
    def frame_count(self) -> int:
        """Number of frames that have a sample."""
        return len(self._labelled)

    def row(self, index: int, count: int, random: np.random.Generator) -> dict[str, Any]:
        """Return one labelled frame with ``count`` of its samples, each at most once more often than another."""
        frame = int(self._labelled[index])
        own = self._samples_of[frame]
        repeats = -(-count // len(own))
        chosen = np.concatenate([random.permutation(own) for _ in range(repeats)])[:count]
        samples = self.samples[chosen]
        return self.frame(frame) | {
            "features": {} if self.features is None else self.features.row(frame),
            "instructions": [self.instructions[sample["instruction"]] for sample in samples],
            "action": samples["action"],
            "valid": samples["valid"],
            "pointed": samples["pointed"],
            "pointed_known": samples["pointed_known"],
        }

    def frame(self, frame: int) -> dict[str, Any]:
        """Return what is seen and measured in a frame, labelled or not, as ``Batch`` has it."""
        record = self.frames[frame]
        rays = [
            sampled_rays(matrix, int(height), int(width), self._size)
            for matrix, (height, width) in zip(record["intrinsics"], record["source_size"], strict=True)
        ]
        return {
            "rgb": np.asarray(self.rgb[frame]),
            "depth": self.depth[frame].astype(np.int32),
            "rays": np.stack(rays),
            "reference_from_camera": record["reference_from_camera"].astype(np.float32),
            "state": record["state"].astype(np.float32),
        }
