"""episode.json: what the messages of an episode do not say. The single place for its fields and its version."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from vipa_policy.contract import ActionContract
from vipa_policy.errors import DatasetError

VERSION = 1
FILE_NAME = "episode.json"


class Outcome(StrEnum):
    """How an episode ended. RECORDING is what a killed recorder leaves behind until the episode is recovered."""

    RECORDING = "recording"
    SUCCESS = "success"
    FAILURE = "failure"
    DISCARD = "discard"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class CameraTopics:
    """Resolved topic names of one camera."""

    color: str
    depth: str
    camera_info: str


@dataclass
class EpisodeInfo:
    """The contents of episode.json.

    Attributes:
        name: of the episode, the name of its folder when it was made.
        instruction: the words the episode was started with.
        demonstrator: who demonstrated, free text.
        cameras: view name of the contract -> topics of that camera.
        topics: role ("joint_states", "instruction", "chunk", ...) -> resolved topic name.
        base_frame, tip_frame: TF frames the demonstration is about.
        outcome: see ``Outcome``.
        note: free text given at the end.
        reason: why an interrupted episode was interrupted, "" otherwise.
        started_ns, ended_ns: on the recorder's ROS clock; 0 until known.
        started_at: wall time, ISO 8601, UTC.
        seed: of the simulated layout, None where there was none.
        contract: the action contract in force, None where none was known.
        calibration: "cameras": view name -> frame_id, width, height, distortion_model, d, k, p of the first
            CameraInfo seen; "static_transforms": list of parent, child, translation (m), rotation (x, y, z, w);
            "hand_eye": list of hand-eye calibrations in force, with frames, pose, date and residuals, one a camera.
        software_version: of vipa_policy.
        counts: topic -> messages written.
        lost: topic -> messages that arrived and could not be written.
        recovered: whether the file was completed after the recorder was killed.
    """

    name: str
    instruction: str
    demonstrator: str = ""
    cameras: dict[str, CameraTopics] = field(default_factory=dict)
    topics: dict[str, str] = field(default_factory=dict)
    base_frame: str = "fr3_link0"
    tip_frame: str = "fr3_hand_tcp"
    outcome: Outcome = Outcome.RECORDING
    note: str = ""
    reason: str = ""
    started_ns: int = 0
    ended_ns: int = 0
    started_at: str = ""
    seed: int | None = None
    contract: ActionContract | None = None
    calibration: dict[str, Any] = field(
        default_factory=lambda: {"cameras": {}, "static_transforms": [], "hand_eye": []}
    )
    software_version: str = field(default_factory=lambda: software_version())
    counts: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    recovered: bool = False
    version: int = VERSION

    def to_json(self) -> str:
        """Return the text of episode.json."""
        values = dataclasses.asdict(self)
        values["outcome"] = self.outcome.value
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = FILE_NAME) -> EpisodeInfo:
        """Read what ``to_json`` wrote. Raises DatasetError on anything else, naming ``where``."""
        try:
            values: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{where} is not JSON ({error}); expected what the recorder wrote") from error
        if not isinstance(values, Mapping):
            raise DatasetError(f"{where} holds a {type(values).__name__}; expected the mapping the recorder wrote")
        version = values.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise DatasetError(
                f"{where} is of version {version}; this software reads version {VERSION} and older: update vipa_policy"
            )
        known = {item.name for item in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise DatasetError(f"{where} has unknown fields: {', '.join(unknown)}")
        try:
            fields = dict(values)
            fields["outcome"] = Outcome(fields.get("outcome", "recording"))
            fields["cameras"] = {name: CameraTopics(**topics) for name, topics in fields.get("cameras", {}).items()}
            if fields.get("contract") is not None:
                fields["contract"] = ActionContract.from_dict(fields["contract"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(f"{where} is not an episode's description: {error}") from error

    def save(self, folder: Path) -> None:
        """Write episode.json, whole or not at all."""
        write_atomically(folder / FILE_NAME, self.to_json())

    @classmethod
    def load(cls, folder: Path) -> EpisodeInfo:
        """Read the episode.json of an episode folder. Raises DatasetError where it is missing or unreadable."""
        path = folder / FILE_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(
                f"{folder} is not an episode: {FILE_NAME} cannot be read ({error}); give the folder of one episode"
            ) from error
        return cls.from_json(text, str(path))


def write_atomically(path: Path, text: str) -> None:
    """Replace a file by one with this text: a kill at any moment leaves the old text or the new, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def software_version() -> str:
    """Return the installed version of vipa_policy, or "unknown" where it runs from its sources."""
    try:
        return importlib.metadata.version("vipa_policy")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
