"""Demonstrations made in process, by the same cell, experts and dataset writer that the ROS graph uses.

Two kinds of source. A *scene* is one picture of a layout with the arm somewhere on its way: cheap, for variety. An
*episode* is a pick carried out in physics, seen at several moments, with a block between the fingers towards its end.
Each picture is labelled for every block in it, and both tasks: what the expert would do from there.
"""

from __future__ import annotations

import argparse
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import numpy as np
from tqdm import tqdm

from vipa_policy import geometry
from vipa_policy.contract import ActionContract
from vipa_policy.errors import ObservationError
from vipa_policy.geometry import Array
from vipa_policy.presets import franka_contract
from vipa_sim import experts
from vipa_sim.cell import SCENE, SCENE_POSE, Cell, CellConfig
from vipa_sim.observing import observe
from vipa_sim.scene import pointing_down, sample_layout
from vipa_training.dataset import DatasetWriter

TASKS = ("reach", "pick")
OPEN_WIDTH = 0.08  # m
LOOK_AT = (0.55, 0.0, 0.04)  # m, world: the middle of the workspace
FREE_BOX = ((0.30, 0.78), (-0.26, 0.26), (0.03, 0.42))  # m, world: where the tip may find itself
CARRYING, ON_THE_WAY = 0.15, 0.6  # shares of the scenes; in the rest the tip is anywhere
PARTLY_CLOSED = 0.1  # share of the scenes without a block in the hand
PICTURES_OF_EPISODE = 8
EPISODE_PERIODS = 90  # control periods a pick takes at most


@dataclass(frozen=True)
class Spread:
    """How far cameras and arm poses are drawn about the nominal ones (m, rad, degrees of field of view)."""

    camera_position: tuple[float, float, float] = (0.06, 0.10, 0.06)
    camera_target: float = 0.03
    camera_roll: float = 0.05
    field_of_view: float = 2.0
    tip_position: float = 0.015
    tip_yaw: float = 0.15
    tip_tilt: float = 0.03


def look_at(position: Array, target: Array, roll: float) -> tuple[float, float, float, float, float, float]:
    """Return x y z roll pitch yaw (m, rad, REP 103 body axes) of a camera at a position that looks at a target."""
    x, y, z = (float(value) for value in target - position)
    pitch = math.atan2(-z, math.hypot(x, y))
    return float(position[0]), float(position[1]), float(position[2]), roll, pitch, math.atan2(y, x)


def move_camera(cell: Cell, spread: Spread, random: np.random.Generator) -> None:
    """Put the scene camera somewhere about its nominal pose, still looking at the workspace."""
    position = np.array(SCENE_POSE[:3]) + random.uniform(-1, 1, 3) * spread.camera_position
    target = np.array(LOOK_AT) + random.uniform(-1, 1, 3) * spread.camera_target
    pose = look_at(position, target, float(random.uniform(-1, 1)) * spread.camera_roll)
    angle = 50.0 + float(random.uniform(-1, 1)) * spread.field_of_view
    cell.set_camera_field_of_view(SCENE, angle)
    cell.set_camera_pose(SCENE, *pose)


def disturb(pose: Array, spread: Spread, random: np.random.Generator) -> Array:
    """Return a tip pose a little off: what a policy that errs will meet."""
    shaken = pose.copy()
    shaken[:3, 3] += random.normal(0.0, spread.tip_position, 3)
    shaken[2, 3] = max(shaken[2, 3], 0.012)
    axis_angle = random.normal(0.0, [spread.tip_tilt, spread.tip_tilt, spread.tip_yaw])
    shaken[:3, :3] = geometry.rotation_from_vector(axis_angle) @ shaken[:3, :3]
    return shaken


def free_pose(random: np.random.Generator) -> Array:
    """Return a tip pose anywhere over the table, pointing down."""
    x, y, z = (float(random.uniform(*limits)) for limits in FREE_BOX)
    return pointing_down(x, y, z, float(random.uniform(-0.5, 0.5)))


def blocks_of(cell: Cell) -> list[str]:
    """Return the names of the blocks in the cell."""
    return [item.name for item in cell.objects() if item.kind == "block"]


class Generator:
    """Draws frames into a dataset."""

    def __init__(self, writer: DatasetWriter, contract: ActionContract, held_out: bool, spread: Spread) -> None:
        self.writer = writer
        self.contract = contract
        self.held_out = held_out
        self.spread = spread
        self.cell = Cell(CellConfig())

    def begin(self, seed: int) -> np.random.Generator:
        """Lay the cell out for a seed, with a camera and an appearance of its own."""
        random = np.random.default_rng([seed, 7, int(self.held_out)])
        self.cell.reset(sample_layout(seed, self.held_out))
        move_camera(self.cell, self.spread, random)
        return random

    def scene(self, seed: int) -> None:
        """Add one picture of a fresh layout, the arm somewhere on an expert's way or anywhere over the table."""
        random = self.begin(seed)
        kind = random.random()
        if kind < CARRYING:
            placed = self.carry(random)
        else:
            pose = self.on_the_way(random) if kind < CARRYING + ON_THE_WAY else free_pose(random)
            closed = random.random() < PARTLY_CLOSED
            placed = self.cell.teleport(pose, float(random.uniform(0.0, OPEN_WIDTH)) if closed else OPEN_WIDTH)
        if placed:
            self.add(seed * 1_000_003)

    def carry(self, random: np.random.Generator) -> bool:
        """Put a block between the fingers, somewhere on its way up; returns whether the pose is in reach."""
        blocks = [item for item in self.cell.objects() if item.kind == "block"]
        block = blocks[int(random.integers(len(blocks)))]
        pose = experts.grasp_pose(block)
        pose[:2, 3] += random.normal(0.0, self.spread.tip_position, 2)
        pose[2, 3] += float(random.uniform(0.0, experts.LIFT_HEIGHT))
        return self.cell.teleport(pose, block.size, carry=block.name)

    def on_the_way(self, random: np.random.Generator) -> Array:
        """Return a disturbed pose on the expert's way from anywhere to a block, often near its end."""
        if random.random() < 0.6:
            self.cell.teleport(free_pose(random), OPEN_WIDTH)
        target = str(random.choice(blocks_of(self.cell)))
        plan = experts.plan("reach", self.cell.snapshot(), target, None, self.contract.control_period, 100)
        # The way takes about 50 periods; what lies beyond is the hold at its end.
        return disturb(plan.base_from_tip[int(random.integers(0, 70))], self.spread, random)

    def episode(self, seed: int) -> None:
        """Add pictures of a pick carried out in physics."""
        random = self.begin(seed)
        if random.random() < 0.5:
            self.cell.teleport(free_pose(random), OPEN_WIDTH)
        target = str(random.choice(blocks_of(self.cell)))
        moments = set(random.choice(EPISODE_PERIODS, PICTURES_OF_EPISODE, replace=False).tolist())
        period = self.contract.control_period
        for index in range(EPISODE_PERIODS):
            if index in moments:
                self.add(seed * 1_000_003 + index)
            plan = experts.plan("pick", self.cell.snapshot(), target, None, period, 2)
            self.cell.set_target(disturb(plan.base_from_tip[1], replace(self.spread, tip_position=0.003), random))
            self.cell.set_gripper(float(plan.gripper[0]))
            self.cell.step(period)

    def add(self, stamp_ns: int) -> None:
        """Add the present moment, labelled for every block and task."""
        snapshot = self.cell.snapshot()
        world_from_camera = self.cell.world_from_camera(SCENE)
        camera_from_world = geometry.inverse(world_from_camera)
        try:
            frame = self.writer.add_frame(observe(self.cell, stamp_ns), world_from_camera)
        except ObservationError as error:
            raise ObservationError(
                f"the cell drew a picture the policy may not use, at stamp {stamp_ns}: {error}"
            ) from error
        for item in snapshot.objects:
            if item.kind != "block":
                continue
            for task in TASKS:
                plan = experts.plan(
                    task, snapshot, item.name, None, self.contract.control_period, self.contract.horizon
                )
                self.writer.add_sample(
                    frame,
                    experts.instruction(task, item.colour, None),
                    camera_from_world @ plan.base_from_tip,
                    plan.gripper,
                    np.ones(self.contract.horizon, dtype=bool),
                    geometry.apply(camera_from_world, item.grasp_point),
                )


def generate(folder: Path, scenes: int, episodes: int, first_seed: int, held_out: bool) -> bool:
    """Fill a dataset; returns False where Ctrl-C ended it early. What is there already is not made again."""
    contract = franka_contract()
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with DatasetWriter(folder, contract) as writer:
            made = set(writer.meta["sources"])
            generator = Generator(writer, contract, held_out, Spread())
            jobs = [("scene", seed) for seed in range(scenes)] + [
                ("episode", scenes + seed) for seed in range(episodes)
            ]
            jobs = [(kind, first_seed + seed) for kind, seed in jobs]
            for kind, seed in tqdm(jobs, unit="scene", desc=str(folder)):
                if stopping:
                    return False
                name = f"{kind} {seed}"
                if name in made:
                    continue
                getattr(generator, kind)(seed)
                writer.add_source(name)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when all is made, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="Make demonstrations in the simulated cell. Ctrl-C saves; the same command continues."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the training set")
    parser.add_argument("--scenes", type=int, default=6000, help="single pictures, a layout each")
    parser.add_argument("--episodes", type=int, default=500, help="picks in physics, eight pictures each")
    parser.add_argument("--seed", type=int, default=0, help="first seed of layouts and noise")
    parser.add_argument("--held-out", action="store_true", help="layouts that training must not see: for validation")
    options = parser.parse_args(arguments)
    return 0 if generate(options.out, options.scenes, options.episodes, options.seed, options.held_out) else 130
