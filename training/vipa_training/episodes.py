"""Recorded episodes as demonstrations: observations, words, and the trajectory that was executed. Imports no ROS.

A frame is an image together with depth, CameraInfo, TF and joint states of its own stamp; where one is missing the
frame is skipped and counted with the reason. Nothing is filled in and nothing is used twice.
Guarded by tests/unit/test_episodes.py and, against the live path, tests/graph/test_live_and_export_agree.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipa_policy import contract as contracts
from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.episode import EpisodeInfo, EpisodeReader, RecordedMessage
from vipa_policy.errors import DatasetError, ObservationError
from vipa_policy.geometry import Array
from vipa_policy.instruction import InstructionLatch
from vipa_policy.observation import CameraView, Observation
from vipa_policy.presets import franka_contract
from vipa_training import recorded_messages as messages
from vipa_training.transforms import TransformTable, bracket

# Parts of one camera carry one stamp, or stamps of one exposure a few ms apart; at 90 Hz the next one is 11 ms away.
SAME_EXPOSURE_NS = 5_000_000
# Two cameras are not triggered together: half a period at 30 Hz.
OTHER_CAMERA_NS = 17_000_000
# Joint states come at 100 Hz or more; across a wider gap the gripper's width is not known.
JOINT_GAP_NS = 100_000_000


@dataclass(frozen=True)
class SceneObject:
    """What the simulator knew of an object: its name and its grasp point (3,) m in the reference optical frame."""

    name: str
    grasp_point: Array


@dataclass(frozen=True)
class DemonstrationFrame:
    """One usable image of an episode.

    Attributes:
        stamp_ns: of the reference image.
        observation: what the live policy would have been given.
        instruction: words in force at the stamp, "" where there were none or a stop was latched.
        instruction_end_ns: when those words ceased to be in force.
        base_from_camera: (4, 4) pose of the reference camera's optical frame in the episode's base frame at the stamp.
        objects: ground truth of the same stamp, empty where none was recorded.
    """

    stamp_ns: int
    observation: Observation
    instruction: str
    instruction_end_ns: int
    base_from_camera: Array
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class Trajectory:
    """What the arm did: stamps (n,) ns, base_from_tip (n, 4, 4), gripper (n,) m commanded, or measured without."""

    stamps_ns: NDArray[np.int64]
    base_from_tip: Array
    gripper: Array

    def until(self, end_ns: int) -> Trajectory:
        """Return the part up to and with ``end_ns``."""
        count = int(np.searchsorted(self.stamps_ns, end_ns, side="right"))
        return Trajectory(self.stamps_ns[:count], self.base_from_tip[:count], self.gripper[:count])


@dataclass
class _Stream:
    """Messages of one topic by header stamp; their bytes stay in the file until they are needed."""

    stamps: list[int] = field(default_factory=list)
    items: list[RecordedMessage] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def add(self, message: RecordedMessage) -> None:
        self.stamps.append(messages.header_stamp(message.data))
        self.items.append(message)

    def nearest(self, stamp: int, tolerance: int) -> int | None:
        """Return the row nearest to a stamp, None where none lies within the tolerance."""
        if not self.stamps:
            return None
        row = int(np.argmin(np.abs(np.asarray(self.stamps, dtype=np.int64) - stamp)))
        return row if abs(self.stamps[row] - stamp) <= tolerance else None


class Demonstration:
    """An episode opened for training. Use as a context manager.

    Args:
        folder: of the episode.
        contract: whose cameras and tip are read; None takes the one recorded with the episode.

    Raises DatasetError where the folder is no episode, ContractMismatch where both contracts are given and differ.
    """

    def __init__(self, folder: Path | str, contract: ActionContract | None = None) -> None:
        self.reader = EpisodeReader(folder)
        self.info = self.reader.info
        self.skipped: Counter[str] = Counter()
        self.contract = self._agree_on_contract(contract)
        self._read = messages.Deserialiser()
        self._transforms = TransformTable()
        self._streams: dict[str, _Stream] = {}
        self._widths: dict[int, float] = {}
        self._commanded: dict[int, float] = {}
        self._objects: dict[int, RecordedMessage] = {}
        self._words: list[tuple[int, str]] = []
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    @cached_property
    def _measured_widths(self) -> tuple[NDArray[np.int64], Array]:
        return _series(self._widths)

    def _agree_on_contract(self, contract: ActionContract | None) -> ActionContract:
        recorded = self.info.contract
        if contract is not None and recorded is not None:
            contracts.check(contract, "the training set", recorded, f"the episode {self.info.name}")
        chosen = contract or recorded
        if chosen is None:
            raise DatasetError(
                f"the episode {self.info.name} was recorded without an action contract; name the one to train for"
            )
        missing = [camera.name for camera in chosen.cameras if camera.name not in self.info.cameras]
        if missing:
            raise DatasetError(
                f"the episode {self.info.name} has the cameras {sorted(self.info.cameras)}, the contract asks for "
                f"{missing} too; record with these cameras, or train for a contract without them"
            )
        return chosen

    def _load(self) -> None:
        topics = self.info.topics
        cameras = [self.info.cameras[camera.name] for camera in self.contract.cameras]
        self._streams = {
            name: _Stream() for camera in cameras for name in (camera.color, camera.depth, camera.camera_info)
        }
        latch = InstructionLatch()
        self._words = [(-(2**62), self._words_after(latch, self.info.instruction, 0))]
        handlers = {
            topics.get("tf"): self._take_transforms,
            topics.get("tf_static"): self._take_static,
            topics.get("joint_states"): self._take_joints,
            topics.get("execution_state"): self._take_execution,
            topics.get("cell_state"): self._take_objects,
        }
        for message in self.reader.messages():
            name = message.topic.name
            if name in self._streams:
                self._streams[name].add(message)
            elif name == topics.get("instruction"):
                words = self._words_after(latch, self._read(message).data, message.stamp_ns)
                self._words.append((message.stamp_ns, words))
            elif name in handlers:
                handlers[name](message)

    @staticmethod
    def _words_after(latch: InstructionLatch, text: str, stamp_ns: int) -> str:
        latch.offer(text, stamp_ns * 1e-9)
        return latch.instruction if latch.active else ""

    def _take_transforms(self, message: RecordedMessage) -> None:
        for item in self._read(message).transforms:
            value = item.transform
            self._transforms.add(
                item.header.frame_id,
                item.child_frame_id,
                messages.stamp_ns(item.header.stamp),
                messages.vector(value.translation),
                messages.quaternion(value.rotation),
            )

    def _take_static(self, message: RecordedMessage) -> None:
        for item in self._read(message).transforms:
            value = item.transform
            self._transforms.add_static(
                item.header.frame_id,
                item.child_frame_id,
                message.stamp_ns,
                messages.vector(value.translation),
                messages.quaternion(value.rotation),
            )

    def _take_joints(self, message: RecordedMessage) -> None:
        state = self._read(message)
        width = messages.gripper_width(state.name, state.position)
        if width is not None:
            self._widths[messages.stamp_ns(state.header.stamp)] = width

    def _take_execution(self, message: RecordedMessage) -> None:
        state = self._read(message)
        if len(state.committed_gripper):
            self._commanded[messages.stamp_ns(state.header.stamp)] = float(state.committed_gripper[0])

    def _take_objects(self, message: RecordedMessage) -> None:
        self._objects[messages.header_stamp(message.data)] = message

    @property
    def image_stamps(self) -> list[int]:
        """Stamps in ns of the reference camera's images, sorted."""
        return sorted(self._reference_stream().stamps)

    @property
    def image_count(self) -> int:
        """Images of the reference camera in the recording."""
        return len(self._reference_stream().stamps)

    def trajectory(self) -> Trajectory:
        """Return what the arm did. Raises DatasetError where TF or the gripper's width was not recorded."""
        stamps = self._transforms.stamps(self.info.base_frame, self.contract.tip_frame)
        poses, known = self._transforms.lookup(self.info.base_frame, self.contract.tip_frame, stamps)
        stamps, poses = stamps[known], poses[known]
        widths = self._commanded or self._widths
        if not len(stamps) or not widths:
            raise DatasetError(
                f"the episode {self.info.name} holds {len(stamps)} poses of {self.contract.tip_frame} and "
                f"{len(widths)} gripper widths; expected both, from /tf and /joint_states"
            )
        own, values = _series(widths)
        row, fraction = bracket(own, stamps)
        if self._commanded:
            # A command holds until the next one; before the first, the first.
            return Trajectory(stamps, poses, values[row])
        after = np.minimum(row + 1, len(own) - 1)
        return Trajectory(stamps, poses, (1.0 - fraction) * values[row] + fraction * values[after])

    def frames(self) -> Iterator[DemonstrationFrame]:
        """Yield every usable image; ``skipped`` counts the others by reason."""
        self.skipped.clear()
        for stream in self._streams.values():
            stream.used.clear()
        reference = self._reference_stream()
        for row in np.argsort(reference.stamps, kind="stable"):
            try:
                yield self._frame(int(row))
            except _Unusable as reason:
                self.skipped[str(reason)] += 1

    def _frame(self, row: int) -> DemonstrationFrame:
        stamp = self._reference_stream().stamps[row]
        base_from_camera: Array | None = None
        views: list[CameraView] = []
        names = [camera.name for camera in self.contract.cameras]
        # The reference first: the others are placed relative to it.
        for name in sorted(names, key=lambda name: name != self.contract.reference_camera):
            view, base_from_view = self._view(name, stamp, base_from_camera)
            base_from_camera = base_from_view if base_from_camera is None else base_from_camera
            views.append(view)
        assert base_from_camera is not None
        views.sort(key=lambda view: names.index(view.name))
        base_from_tip = self._lookup(self.contract.tip_frame, stamp)
        camera_from_base = geometry.inverse(base_from_camera)
        observation = Observation(
            stamp=stamp * 1e-9,
            views=tuple(views),
            camera_from_tip=camera_from_base @ base_from_tip,
            gripper_width=self._width_at(stamp),
        )
        words, end = self._words_at(stamp)
        return DemonstrationFrame(
            stamp, observation, words, end, base_from_camera, self._objects_at(stamp, camera_from_base)
        )

    def _view(self, name: str, stamp: int, base_from_reference: Array | None) -> tuple[CameraView, Array]:
        topics = self.info.cameras[name]
        tolerance = 0 if base_from_reference is None else OTHER_CAMERA_NS
        color, own_stamp = self._take(topics.color, stamp, tolerance, f"no image of camera {name}")
        depth, _ = self._take(topics.depth, own_stamp, SAME_EXPOSURE_NS, f"no depth for the image of camera {name}")
        info, _ = self._take(
            topics.camera_info, own_stamp, SAME_EXPOSURE_NS, f"no CameraInfo for the image of camera {name}"
        )
        try:
            rgb, metres = messages.rgb_from_image(color), messages.depth_from_image(depth)
            intrinsics = messages.intrinsics_from_camera_info(info, rgb.shape[1], rgb.shape[0])
        except ObservationError as error:
            raise _Unusable(f"camera {name}: {error}") from error
        if metres.shape != rgb.shape[:2]:
            raise _Unusable(
                f"camera {name}: depth of {metres.shape[1]} x {metres.shape[0]} pixels for an image of "
                f"{rgb.shape[1]} x {rgb.shape[0]}; record depth aligned to colour"
            )
        base_from_camera = self._lookup(color.header.frame_id, own_stamp)
        # Identity for the reference itself, to the last digit.
        relative = np.eye(4)
        if base_from_reference is not None:
            relative = geometry.inverse(base_from_reference) @ base_from_camera
        return CameraView(name, rgb, metres, intrinsics, relative), base_from_camera

    def _take(self, topic: str, stamp: int, tolerance: int, missing: str) -> tuple[Any, int]:
        stream = self._streams[topic]
        row = stream.nearest(stamp, tolerance)
        if row is None or row in stream.used:
            raise _Unusable(missing)
        stream.used.add(row)
        return self._read(stream.items[row]), stream.stamps[row]

    def _lookup(self, frame: str, stamp: int) -> Array:
        try:
            matrices, known = self._transforms.lookup(self.info.base_frame, frame, [stamp])
        except DatasetError as error:
            raise _Unusable(str(error)) from error
        if not known[0]:
            raise _Unusable(f"no TF from {self.info.base_frame} to {frame} at the image's stamp")
        return np.asarray(matrices[0])

    def _width_at(self, stamp: int) -> float:
        own, values = self._measured_widths
        if not len(own) or not own[0] <= stamp <= own[-1]:
            raise _Unusable("no joint state of both fingers at the image's stamp")
        rows, fractions = bracket(own, np.array([stamp], dtype=np.int64))
        row, fraction = int(rows[0]), float(fractions[0])
        after = min(row + 1, len(own) - 1)
        if own[after] - own[row] > JOINT_GAP_NS and own[row] != stamp:
            raise _Unusable("no joint state of both fingers near the image's stamp")
        return float((1.0 - fraction) * values[row] + fraction * values[after])

    def _words_at(self, stamp: int) -> tuple[str, int]:
        row = max(index for index, (since, _) in enumerate(self._words) if since <= stamp)
        words = self._words[row][1]
        end = next((since for since, later in self._words[row + 1 :] if later != words), 2**62)
        return words, end

    def _objects_at(self, stamp: int, camera_from_base: Array) -> tuple[SceneObject, ...]:
        message = self._objects.get(stamp)
        if message is None:
            return ()
        state = self._read(message)
        camera_from_world = camera_from_base @ self._lookup(state.header.frame_id, stamp)
        return tuple(
            SceneObject(item.name, geometry.apply(camera_from_world, messages.vector(item.grasp_point)))
            for item in state.objects
        )

    def _reference_stream(self) -> _Stream:
        return self._streams[self.info.cameras[self.contract.reference_camera].color]

    def close(self) -> None:
        """Close the file."""
        self._streams.clear()
        self._objects.clear()
        self.reader.close()

    def __enter__(self) -> Demonstration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def contract_for(folders: Sequence[Path], place: Path | None) -> ActionContract:
    """Return the contract in a JSON file, else the one recorded with an episode, else the one of ``vipa-tiny``.

    Raises DatasetError or ContractMismatch where the file is none.
    """
    if place is not None:
        try:
            return ActionContract.from_json(place.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"the contract {place} cannot be read: {error}") from error
    recorded = [info.contract for info in map(EpisodeInfo.load, folders) if info.contract is not None]
    return recorded[0] if recorded else franka_contract()


class _Unusable(Exception):
    """A frame lacks a part; the text is the reason under which it is counted."""


def _series(values: dict[int, float]) -> tuple[NDArray[np.int64], Array]:
    stamps = np.array(sorted(values), dtype=np.int64)
    return stamps, np.array([values[int(stamp)] for stamp in stamps])
