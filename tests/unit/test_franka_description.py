"""The built-in description of an FR3 against the simulated arm's model and pinocchio; targets and wrench from it."""

from __future__ import annotations

import importlib.resources
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.control.kinematics import Kinematics
from vipa_policy.errors import ArmError
from vipa_policy.franka.chain import Chain
from vipa_policy.franka.commander import Commander, Tool, wrench_at_tip
from vipa_policy.franka.description import FLANGE_FRAME, fr3_urdf
from vipa_policy.franka.frames import ArmState
from vipa_policy.franka.limits import FINGER_NAMES, FR3, JOINT_NAMES, outside
from vipa_policy.geometry import inverse

BASE, TIP = "fr3_link0", "fr3_hand_tcp"
START = (0.0, -0.55, 0.0, -2.35, 0.0, 1.80, 0.785)
CHAIN = Chain(fr3_urdf(), (*JOINT_NAMES, *FINGER_NAMES))
KINEMATICS = Kinematics(fr3_urdf(), BASE, TIP, JOINT_NAMES)
SIMULATED = Kinematics(
    (importlib.resources.files("franky_sim") / "assets" / "fr3.urdf").read_text(), BASE, TIP, JOINT_NAMES
)
postures = st.tuples(*[st.floats(limit.lower, limit.upper) for limit in FR3])


def state(epoch: int = 1, motion: int = 0, joints: tuple[float, ...] = START) -> ArmState:
    nothing = (0.0,) * 7
    return ArmState(0.0, 0, motion, 0, epoch, math.inf, 1.0, joints, nothing, joints, (0.0,) * 6, 0, 0, 0.0)


@settings(max_examples=25)
@given(postures)
def test_the_chain_is_where_pinocchio_has_it(joints: tuple[float, ...]) -> None:
    pose = CHAIN.pose(BASE, TIP, CHAIN.transforms(joints))
    assert np.allclose(pose, KINEMATICS.forward(np.array(joints)), atol=1e-9)


@settings(max_examples=15)
@given(postures)
def test_the_built_in_description_is_the_arm_that_is_simulated(joints: tuple[float, ...]) -> None:
    other = SIMULATED
    assert np.allclose(other.forward(np.array(joints)), KINEMATICS.forward(np.array(joints)), atol=1e-6)
    # Limits of the arm are nowhere wider than those that stand there.
    assert np.all(KINEMATICS.lower >= other.lower)
    assert np.all(KINEMATICS.upper <= other.upper)
    assert np.all(KINEMATICS.velocity == other.velocity)
    slowest, fastest = other.velocity_bounds(np.array(joints))
    for joint, (limit, place) in enumerate(zip(FR3, joints, strict=True)):
        assert limit.velocity_up(place) <= fastest[joint] + 1e-9
        assert limit.velocity_down(place) <= -slowest[joint] + 1e-9


def test_fingers_open_by_half_the_width_each() -> None:
    left, right = (
        CHAIN.pose("fr3_hand", name, CHAIN.transforms((*START, 0.03, 0.03)))
        for name in ("fr3_leftfinger", "fr3_rightfinger")
    )
    assert left[:3, 3] - right[:3, 3] == pytest.approx([0.0, 0.06, 0.0])


def test_descriptions_that_are_none_are_refused() -> None:
    with pytest.raises(ArmError, match="expected a URDF"):
        Chain("no urdf", JOINT_NAMES)
    with pytest.raises(ArmError, match="it lacks elbow"):
        Chain(fr3_urdf(), (*JOINT_NAMES, "elbow"))
    with pytest.raises(ArmError, match="expected joints from 'table' on"):
        CHAIN.pose("table", TIP, CHAIN.transforms(START))


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.floats(-0.06, 0.06)] * 3))
def test_a_stream_of_poses_becomes_a_stream_of_joints_without_jumps(way: tuple[float, float, float]) -> None:
    commander = Commander(fr3_urdf(), BASE, TIP, START)
    commander.note(state())
    start = KINEMATICS.forward(np.array(START))
    before = np.array(START)
    for step in range(1, 31):
        pose = start.copy()
        pose[:3, 3] += np.array(way) * step / 30.0
        target = commander.target(pose, 1.0)
        assert (target.epoch, target.sequence) == (1, step)
        assert outside(target.joints) == ""
        assert np.abs(np.array(target.joints) - before).max() < 0.02
        before = np.array(target.joints)
        assert np.allclose(KINEMATICS.forward(before)[:3, 3], pose[:3, 3], atol=1e-4)


def test_a_motion_that_begins_anew_begins_where_the_arm_is() -> None:
    commander = Commander(fr3_urdf(), BASE, TIP, START)
    with pytest.raises(ArmError, match="has not told where it is yet"):
        commander.target(np.eye(4), 1.0)
    commander.note(state())
    moved = (0.3, *START[1:])
    commander.note(state(epoch=2, motion=1, joints=moved))
    target = commander.target(KINEMATICS.forward(np.array(moved)), 1.0)
    assert target.epoch == 2
    assert np.allclose(target.joints, moved, atol=2e-3)
    beyond = KINEMATICS.forward(np.array(moved))
    beyond[0, 3] += 2.0
    with pytest.raises(ArmError, match="it is out of reach"):
        commander.target(beyond, 1.0)


def told(joints: tuple[float, ...], off: float = 0.0) -> dict[str, list[float]]:
    """What an arm tells whose effector lies 0.2 m beyond its flange."""
    flange_from_effector, effector_from_stiffness = np.eye(4), np.eye(4)
    flange_from_effector[2, 3], effector_from_stiffness[0, 3] = 0.2, 0.05
    effector = CHAIN.pose(BASE, FLANGE_FRAME, CHAIN.transforms(joints)) @ flange_from_effector
    effector[1, 3] += off
    frames = {"O_T_EE": effector, "F_T_EE": flange_from_effector, "EE_T_K": effector_from_stiffness}
    return {"q": list(joints)} | {name: list(matrix.ravel(order="F")) for name, matrix in frames.items()}


def test_an_arm_that_is_not_the_one_described_is_noticed() -> None:
    assert Tool(told(START)).disagreement(CHAIN, BASE) == ""
    assert "20 mm" in Tool(told(START, off=0.02)).disagreement(CHAIN, BASE)


def test_a_wrench_moves_with_its_lever() -> None:
    tool = Tool(told(START))
    base_from_flange = CHAIN.pose(BASE, FLANGE_FRAME, CHAIN.transforms(START))
    stiffness = base_from_flange @ tool.flange_from_stiffness
    tip = KINEMATICS.forward(np.array(START))
    force = np.array([3.0, -2.0, 5.0])  # base frame, at the tip's origin
    lever = tip[:3, 3] - stiffness[:3, 3]
    turned = stiffness[:3, :3].T
    measured = [*(turned @ force), *(turned @ np.cross(lever, force))]
    assert wrench_at_tip(measured, stiffness, tip) == pytest.approx([*force, 0.0, 0.0, 0.0], abs=1e-12)
    assert np.allclose((inverse(base_from_flange) @ stiffness)[:3, 3], [0.05, 0.0, 0.2])
