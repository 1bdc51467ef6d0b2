"""Samples recorded through the ROS graph and samples generated in process are the same thing.

One reach is demonstrated and recorded by the whole graph (cell, scripted policy, arm, recorder, each a process of its
own), then converted. For images of it a cell in this process is put in the recorded state; what the generator makes of
that state must be what came out of the recording: pictures to the bit, geometry to rounding, the pointed position too.
Chunks differ in kind: a recorded one is what the arm did, a generated one what the expert would have it do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.processes import ProcessStarter

from vipa_policy.episode import EpisodeReader
from vipa_policy.presets import franka_contract
from vipa_sim.cell import Cell
from vipa_sim.observing import observe
from vipa_sim.scene import sample_layout
from vipa_training.convert import convert, find_episodes
from vipa_training.dataset import DatasetWriter, Part
from vipa_training.episodes import Demonstration
from vipa_training.generate import Generator, Spread
from vipa_training.recorded_messages import Deserialiser, header_stamp

pytestmark = pytest.mark.graph

LONGEST = 200.0  # s of wall time, start of the graph included
STRIDE = 4  # every fourth image is compared
CONTRACT = franka_contract()
# The scripted policy's arm starts from rest while an ideal one is at full speed at once: 48 mm behind at the start.
# Under way it stays within some 5 mm over the 16 rows, turns included: the lead is the arm's own lag, and limits hardly
# slow the motion (docs/motion.md). A row at full speed is 8.7 mm; the rest is for the clocks of a busy machine.
UNDER_WAY = 3  # images of those compared
WHILE_STARTING, WHEN_UNDER_WAY = 0.06, 0.015  # m


@dataclass(frozen=True)
class Recorded:
    """An episode, and the joint states and the truth at each of its images."""

    folder: Path
    words: str
    seed: int
    joints: dict[int, dict[str, float]]
    objects: dict[int, list[Any]]

    def restore(self, cell: Cell, stamp_ns: int) -> None:
        """Put a cell that holds the layout in the state it had when the image of this stamp was taken."""
        for name, value in self.joints[stamp_ns].items():
            # The assets call the fingers' joints by their short names.
            joint = cell.model.joint(name.removeprefix("fr3_") if "finger" in name else name)
            cell.data.qpos[int(joint.qposadr[0])] = value
        for item in self.objects[stamp_ns]:
            place, turn = item.pose.position, item.pose.orientation
            start = int(cell.model.joint(item.name).qposadr[0])
            cell.data.qpos[start : start + 7] = (place.x, place.y, place.z, turn.w, turn.x, turn.y, turn.z)
        cell.set_state(cell.state())  # brings frames and cameras to these angles


@pytest.fixture(scope="module")
def recorded(module_launch_process: ProcessStarter, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    place = tmp_path_factory.mktemp("recorded")
    launch = ("ros2", "launch", "vipa_bringup", "record_cell.launch.py", "episodes:=1", "tasks:=reach")
    process = module_launch_process(*launch, working_directory=place)
    assert process.wait_for_exit(LONGEST) == 0, process.output[-4000:]
    # A launch that a node ended early exits 0, too.
    assert "done: 1 of 1 episodes succeeded" in process.output, process.output[-4000:]
    (folder,) = find_episodes([place])
    read = Deserialiser()
    joints: dict[int, dict[str, float]] = {}
    objects: dict[int, list[Any]] = {}
    with EpisodeReader(folder) as reader:
        for message in reader.messages():
            if message.topic.name == "/joint_states":
                state = read(message)
                joints[header_stamp(message.data)] = dict(zip(state.name, state.position, strict=True))
            elif message.topic.name == "/cell/state":
                objects[header_stamp(message.data)] = read(message).objects
        return Recorded(folder, reader.info.instruction, int(reader.info.seed or 0), joints, objects)


@pytest.fixture(scope="module")
def generator(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generator]:
    """A generator whose cell has the recorded layout, its camera where the launch file has it."""
    with DatasetWriter(tmp_path_factory.mktemp("generated"), CONTRACT) as writer:
        generator = Generator(writer, CONTRACT, held_out=False, spread=Spread())
        generator.cell.reset(sample_layout(recorded.seed, False))
        yield generator
        generator.cell.close()


def samples_of(part: Part, words: str) -> NDArray[Any]:
    """The samples of a set for one instruction, in the order of frames."""
    return part.samples[part.samples["instruction"] == part.instructions.index(words)]


def test_observations_are_equal(recorded: Recorded, generator: Generator) -> None:
    compared = 0
    with Demonstration(recorded.folder, CONTRACT) as demonstration:
        for index, frame in enumerate(demonstration.frames()):
            if index % STRIDE:
                continue
            recorded.restore(generator.cell, frame.stamp_ns)
            made, read = observe(generator.cell, frame.stamp_ns), frame.observation
            (ours,), (theirs,) = made.views, read.views
            np.testing.assert_array_equal(ours.rgb, theirs.rgb)
            np.testing.assert_array_equal(ours.depth, theirs.depth)
            assert ours.depth.dtype == theirs.depth.dtype
            np.testing.assert_array_equal(ours.intrinsics, theirs.intrinsics)
            np.testing.assert_array_equal(ours.reference_from_camera, theirs.reference_from_camera)
            np.testing.assert_allclose(made.camera_from_tip, read.camera_from_tip, atol=1e-9)
            assert made.gripper_width == pytest.approx(read.gripper_width, abs=1e-9)
            assert (made.stamp, ours.name) == (read.stamp, theirs.name)
            compared += 1
    assert compared >= 8


@pytest.fixture(scope="module")
def sets(recorded: Recorded, generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> tuple[Part, Part]:
    """The converted recording, and the generator's samples for every STRIDE-th image of it."""
    out = tmp_path_factory.mktemp("converted")
    assert convert([recorded.folder], out, CONTRACT, progress=False).refused == {}
    converted = Part(out)
    for stamp in converted.frames["stamp"][::STRIDE]:
        stamp_ns = round(float(stamp) * 1e9)
        recorded.restore(generator.cell, stamp_ns)
        generator.add(stamp_ns)
    generator.writer.save()
    return converted, Part(generator.writer.folder)


def test_frames_and_labels_of_the_training_set_are_equal(recorded: Recorded, sets: tuple[Part, Part]) -> None:
    converted, generated = sets
    assert len(generated.frames) >= 8
    np.testing.assert_array_equal(converted.rgb[::STRIDE], generated.rgb)
    np.testing.assert_array_equal(converted.depth[::STRIDE], generated.depth)
    for name in converted.frames.dtype.names or ():
        np.testing.assert_allclose(
            converted.frames[::STRIDE][name], generated.frames[name], atol=1e-9, err_msg=str(name)
        )

    did, would = samples_of(converted, recorded.words)[::STRIDE], samples_of(generated, recorded.words)
    assert len(did) == len(would) == len(generated.frames)
    assert did["pointed_known"].all()
    np.testing.assert_allclose(did["pointed"], would["pointed"], atol=1e-6)
    valid = did["valid"]
    apart = np.linalg.norm(did["action"][:, :, :3] - would["action"][:, :, :3], axis=2)
    assert apart[valid].max() < WHILE_STARTING
    assert apart[UNDER_WAY:][valid[UNDER_WAY:]].max() < WHEN_UNDER_WAY
    turned = np.abs(did["action"][:, :, 3:9] - would["action"][:, :, 3:9]).max(axis=2)
    assert turned[UNDER_WAY:][valid[UNDER_WAY:]].max() < 0.03
    assert np.abs(did["action"][:, :, 9] - would["action"][:, :, 9])[valid].max() < 1e-6  # both keep the hand open


def test_rows_of_both_kinds_of_chunk_mean_the_same_moments(recorded: Recorded, sets: tuple[Part, Part]) -> None:
    """Under way the recorded chunk fits the expert's plan best as it stands, not moved by a row either way."""
    converted, generated = sets
    moving = slice(UNDER_WAY, UNDER_WAY + 6)
    did = samples_of(converted, recorded.words)[::STRIDE][moving]["action"][:, :, :3]
    would = samples_of(generated, recorded.words)[moving]["action"][:, :, :3]

    def apart(shift: int) -> float:
        rows = slice(1 + shift, CONTRACT.horizon - 1 + shift)
        return float(np.linalg.norm(did[:, rows] - would[:, 1:-1], axis=2).mean())

    assert apart(0) < 0.8 * apart(1)
    assert apart(0) < 0.8 * apart(-1)
