"""Scripted experts for reach, pick and place, and the words that go with the tasks.

An expert is a function of the present state alone, never of what came before, so that a policy that sees the state can
imitate it from wherever it finds itself. A plan is that function applied again and again to an ideal arm that does as
it is told. Guarded by tests/sim/test_experts.py.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vipa_policy.geometry import Array, inverse
from vipa_sim.rotations import rotation_from_vector, rotation_vector
from vipa_sim.scene import BOWL_DIAMETER, BOWL_FLOOR, BOWLS, COLOURS, CellObject, CellSnapshot, pointing_down

TASKS: Final = ("reach", "pick", "place")
TEMPLATES: Final = {
    "reach": "reach the {colour} block",
    "pick": "pick up the {colour} block",
    "place": "put the {colour} block in the {bowl} bowl",
}

# Half of what the arm allows on each axis: room for the arm to catch up, and for blending.
SPEED: Final = 0.13
ANGULAR_SPEED: Final = 0.8
# 1/s: near a goal speed is proportional to distance, so the arm slows down smoothly (at most 0.45 m/s^2).
APPROACH_RATE: Final = 3.5
# The funnel: over a goal the tip may be low only when it is near the axis; at CRUISE height it may be anywhere.
CRUISE: Final = 0.10
# Open fingers clear a block by 2 cm on each side: the funnel forgives what a policy that sees 3 mm a pixel cannot know.
FUNNEL_RADIUS: Final = 0.014
FUNNEL_SLOPE: Final = 2.5
# m of misplacement that a rad of misalignment counts as: the lever of a finger about the tool axis.
LEVER: Final = 0.06
OPEN: Final = 0.08
CLOSED: Final = 0.0
# Fingers narrower than this may not come down around a block.
OPEN_ENOUGH: Final = 0.066
GRIPPER_SPEED: Final = 0.1
HELD_MARGIN: Final = 0.004
GRASP_TOLERANCE: Final = 0.012
GRASP_ANGLE: Final = 0.3
# m along the tool's axes (across the fingers' pads, along their travel, along the tool) within which they hold a block.
GRASP_REACH: Final = (0.016, 0.022, 0.020)
LIFT_HEIGHT: Final = 0.17
RETREAT_HEIGHT: Final = 0.18
BOWL_TOLERANCE: Final = 0.008


@dataclass(frozen=True)
class Plan:
    """What an expert does next. Row i is due (i + 1) control periods from now.

    Attributes:
        base_from_tip: (steps, 4, 4).
        gripper: (steps,) commanded m between the fingers.
    """

    base_from_tip: Array
    gripper: Array


@dataclass(frozen=True)
class Words:
    """What an instruction asks for: a task, the colour of the block, and of the bowl where the task has one."""

    task: str
    colour: str
    bowl: str | None = None


def instruction(task: str, colour: str, bowl: str | None = None) -> str:
    """Return the words for a task, the colour of a block and, for place, that of a bowl."""
    if task not in TEMPLATES:
        raise ValueError(f"expected a task of {', '.join(TASKS)}; got '{task}'")
    if task == "place" and bowl is None:
        raise ValueError("the task 'place' needs the colour of a bowl; got None")
    return TEMPLATES[task].format(colour=colour, bowl=bowl)


def parse_instruction(words: str) -> Words:
    """Return what words of the templates ask for; raises ValueError that lists the templates for any others."""
    for task, template in TEMPLATES.items():
        pattern = template.replace("{colour}", f"(?P<colour>{'|'.join(COLOURS)})")
        pattern = pattern.replace("{bowl}", f"(?P<bowl>{'|'.join(BOWLS)})")
        match = re.fullmatch(pattern, words.strip().lower())
        if match:
            found = match.groupdict()
            return Words(task, found["colour"], found.get("bowl"))
    raise ValueError(f"expected words like {'; '.join(TEMPLATES.values())}; got '{words}'")


def plan(
    task: str, state: CellSnapshot, target: str, destination: str | None, control_period: float, steps: int
) -> Plan:
    """Return the next ``steps`` rows of an expert from any state.

    Args:
        task: "reach", "pick" or "place".
        state: the truth now.
        target: name of a block.
        destination: name of a bowl, for "place".
        control_period: s between rows.
        steps: number of rows.

    Raises KeyError where the cell lacks the target or destination, ValueError for another task.
    """
    if task not in TASKS:
        raise ValueError(f"expected a task of {', '.join(TASKS)}; got '{task}'")
    block = state.find(target)
    bowl = state.find(destination or "") if task == "place" else None
    scene = _Scene(state.base_from_tip, state.gripper_width, block)
    poses, gripper = np.empty((steps, 4, 4)), np.empty(steps)
    for row in range(steps):
        motion = _decide(task, scene, bowl, control_period)
        poses[row], gripper[row] = motion.tip, motion.gripper
        scene = _imagine(scene, motion, bowl, control_period)
    return Plan(poses, gripper)


def grasp_pose(block: CellObject) -> Array:
    """Return base_from_tip (4, 4) around a block: at its grasp point, pointing down, fingers along its sides."""
    x_axis = block.world_from_object[:3, 0]
    # A cube looks the same after every quarter turn; take the turn nearest to zero. A tumbled one keeps a sane yaw too.
    yaw = math.atan2(x_axis[1], x_axis[0])
    yaw -= 0.5 * math.pi * round(yaw / (0.5 * math.pi))
    x, y, z = (float(value) for value in block.grasp_point)
    return pointing_down(x, y, z, yaw)


def is_held(tip: Array, gripper_width: float, block: CellObject) -> bool:
    """Tell whether a block is between fingers that have closed on it."""
    return _is_between(tip, block) and gripper_width <= block.size + HELD_MARGIN


@dataclass(frozen=True)
class _Scene:
    """What an expert looks at."""

    tip: Array
    width: float
    block: CellObject


@dataclass(frozen=True)
class _Motion:
    """Where the tip should be one control period from now, and the width to command."""

    tip: Array
    gripper: float


def _decide(task: str, scene: _Scene, bowl: CellObject | None, period: float) -> _Motion:
    """Return the next motion of a task."""
    if task == "reach":
        return _surround(scene, period)
    held = is_held(scene.tip, scene.width, scene.block)
    if bowl is not None:
        return _place(scene, bowl, held, period)
    if held:
        return _Motion(_vertical(scene.tip, LIFT_HEIGHT, period), CLOSED)
    return _grasp(scene, period)


def _surround(scene: _Scene, period: float) -> _Motion:
    """Bring open fingers around the block."""
    return _Motion(_funnel(scene.tip, grasp_pose(scene.block), _closedness(scene.width), period), OPEN)


def _grasp(scene: _Scene, period: float) -> _Motion:
    """Bring open fingers around the block, and close them once it is between them."""
    goal = grasp_pose(scene.block)
    if _is_near(scene.tip, goal):
        return _Motion(_funnel(scene.tip, goal, 0.0, period), CLOSED)
    return _surround(scene, period)


def _place(scene: _Scene, bowl: CellObject, held: bool, period: float) -> _Motion:
    """Carry the block over the bowl, let go and rise; grasp it first where it is not yet held."""
    over = bowl.grasp_point[:2] - scene.block.grasp_point[:2]
    offset = float(np.hypot(over[0], over[1]))
    if held:
        # The block belongs over the middle of the bowl, wherever between the fingers it sits.
        x, y = scene.tip[:2, 3] + over
        yaw = math.atan2(scene.tip[1, 0], scene.tip[0, 0])
        goal = pointing_down(float(x), float(y), float(bowl.grasp_point[2]), yaw)
        arrived = offset < BOWL_TOLERANCE and abs(scene.tip[2, 3] - goal[2, 3]) < BOWL_TOLERANCE
        return _Motion(_funnel(scene.tip, goal, 0.0, period), OPEN if arrived else CLOSED)
    if offset < BOWL_DIAMETER / 2 - 0.01:
        if scene.width < OPEN_ENOUGH:
            return _Motion(scene.tip.copy(), OPEN)
        return _Motion(_vertical(scene.tip, RETREAT_HEIGHT, period), OPEN)
    return _grasp(scene, period)


def _funnel(tip: Array, goal: Array, penalty: float, period: float) -> Array:
    """Return the next tip pose on the way to a goal that is entered from above.

    Far from the goal's axis (or turned away from it, or under a ``penalty`` in m) the tip stays at least CRUISE above
    it and first rises where it is lower; near the axis the permitted height shrinks to zero.
    """
    to_goal = goal[:3, 3] - tip[:3, 3]
    distance = math.hypot(to_goal[0], to_goal[1])
    height = -float(to_goal[2])
    turn = rotation_vector(goal[:3, :3] @ tip[:3, :3].T)
    angle = float(np.linalg.norm(turn))
    misplaced = distance + LEVER * angle + penalty
    lowest = min(max((misplaced - FUNNEL_RADIUS) * FUNNEL_SLOPE, 0.0), CRUISE)
    # Below the funnel: rise first, move sideways in the measure that height is gained.
    freedom = min(max(1.0 - (lowest - 0.01 - height) / 0.03, 0.0), 1.0)
    result = np.eye(4)
    if distance > 0.0:
        result[:2, 3] = tip[:2, 3] + to_goal[:2] / distance * _advance(distance, freedom * SPEED, period)
    else:
        result[:2, 3] = tip[:2, 3]
    result[2, 3] = tip[2, 3] + math.copysign(_advance(abs(lowest - height), SPEED, period), lowest - height)
    turned = turn * (_advance(angle, freedom * ANGULAR_SPEED, period) / angle) if angle > 1e-9 else np.zeros(3)
    result[:3, :3] = rotation_from_vector(turned) @ tip[:3, :3]
    return result


def _vertical(tip: Array, height: float, period: float) -> Array:
    """Return the next tip pose on the way straight up or down to a height in m."""
    result = tip.copy()
    climb = height - tip[2, 3]
    result[2, 3] += math.copysign(_advance(abs(climb), SPEED, period), climb)
    return result


def _advance(distance: float, speed: float, period: float) -> float:
    """Return how far to go in one period: at most at a speed, and near the goal in proportion to the distance."""
    return min(speed * period, distance * (1.0 - math.exp(-APPROACH_RATE * period)))


def _closedness(width: float) -> float:
    """Return the penalty in m on coming down with fingers too narrow for a block."""
    return max(0.0, OPEN_ENOUGH - width) * 4.0


def _is_near(tip: Array, goal: Array) -> bool:
    """Tell whether the tip is where fingers may close."""
    offset = goal[:3, 3] - tip[:3, 3]
    angle = float(np.linalg.norm(rotation_vector(goal[:3, :3] @ tip[:3, :3].T)))
    return (
        math.hypot(offset[0], offset[1]) < GRASP_TOLERANCE and abs(offset[2]) < GRASP_TOLERANCE and angle < GRASP_ANGLE
    )


def _is_between(tip: Array, block: CellObject) -> bool:
    """Tell whether a block's centre is between the fingers."""
    offset = block.grasp_point - tip[:3, 3]
    if float(offset @ offset) > GRASP_REACH[0] ** 2 + GRASP_REACH[1] ** 2 + GRASP_REACH[2] ** 2:
        return False
    return bool(np.all(np.abs(tip[:3, :3].T @ offset) < GRASP_REACH))


def _imagine(scene: _Scene, motion: _Motion, bowl: CellObject | None, period: float) -> _Scene:
    """Return the scene one control period later, on an arm that does as it is told."""
    between = _is_between(scene.tip, scene.block)
    held = between and scene.width <= scene.block.size + HELD_MARGIN
    narrowest = scene.block.size if between else 0.0
    step = GRIPPER_SPEED * period
    width = max(scene.width + min(max(motion.gripper - scene.width, -step), step), min(narrowest, scene.width))
    block = scene.block
    if held and width <= block.size + HELD_MARGIN:
        pose = motion.tip @ inverse(scene.tip) @ block.world_from_object
        block = replace(block, world_from_object=pose, grasp_point=pose[:3, 3])
    elif held and bowl is not None:
        # Let go over the bowl: it drops to the bowl's floor.
        pose = block.world_from_object.copy()
        pose[2, 3] = bowl.world_from_object[2, 3] + BOWL_FLOOR + block.size / 2
        block = replace(block, world_from_object=pose, grasp_point=pose[:3, 3])
    return _Scene(motion.tip, width, block)
