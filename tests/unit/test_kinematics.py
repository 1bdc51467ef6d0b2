"""Forward and inverse kinematics: at limits, singularities and out of reach.

tests/sim/test_robot.py compares them with the simulated arm.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from vipa_policy import geometry
from vipa_policy.control.box_least_squares import bounded_step
from vipa_policy.control.kinematics import Kinematics, Solution
from vipa_policy.errors import KinematicsError
from vipa_policy.geometry import Array
from vipa_sim.description import robot_description
from vipa_sim.model import HOME

URDF = robot_description()
ARM = Kinematics(URDF, "fr3_link0", "fr3_hand_tcp")
START = np.array(HOME)
# A posture whose Jacobian has lost a direction.
SINGULAR = np.array([1.63267, 0.0, -1.71476, -0.32967, 0.52135, 2.05541, 2.14795])

shares = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7).map(np.array)
postures = shares.map(lambda share: ARM.innermost_lower + share * (ARM.innermost_upper - ARM.innermost_lower))
directions = st.lists(st.floats(-1.0, 1.0), min_size=6, max_size=6).map(np.array)


def moved(pose: Array, twist: Array) -> Array:
    """Return a pose (4, 4) moved by a twist (6,) of m and rad, base frame."""
    result = pose.copy()
    result[:3, 3] += twist[:3]
    result[:3, :3] = geometry.rotation_from_vector(twist[3:]) @ pose[:3, :3]
    return result


def assert_within_limits(solution: Solution) -> None:
    assert np.all(solution.joints >= ARM.lower + 0.02 - 1e-12)
    assert np.all(solution.joints <= ARM.upper - 0.02 + 1e-12)


def test_limits_are_those_of_the_arm() -> None:
    assert ARM.joint_names == tuple(f"fr3_joint{number}" for number in range(1, 8))
    assert ARM.lower == pytest.approx([-2.9007, -1.8361, -2.9007, -3.077, -2.8763, 0.4398, -3.0508])
    assert ARM.velocity == pytest.approx([2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26])


@given(postures)
@settings(max_examples=40, deadline=None)
def test_the_jacobian_is_the_derivative(joints: Array) -> None:
    step = 1e-6
    numeric = np.empty((6, 7))
    for column, unit in enumerate(np.eye(7)):
        ahead, behind = ARM.forward(joints + step * unit), ARM.forward(joints - step * unit)
        numeric[:3, column] = (ahead - behind)[:3, 3] / (2.0 * step)
        numeric[3:, column] = Rotation.from_matrix(ahead[:3, :3] @ behind[:3, :3].T).as_rotvec() / (2.0 * step)
    assert np.allclose(ARM.jacobian(joints), numeric, atol=1e-6)


@given(postures, postures)
@settings(max_examples=60, deadline=None)
def test_what_is_said_of_a_solution_is_true_and_limits_hold(goal: Array, start: Array) -> None:
    pose = ARM.forward(goal)
    solution = ARM.solve(pose, start)
    assert_within_limits(solution)
    found = ARM.forward(solution.joints)
    assert math.dist(found[:3, 3], pose[:3, 3]) == pytest.approx(solution.position_error, abs=1e-9)
    assert geometry.rotation_angle(found, pose) == pytest.approx(solution.rotation_error, abs=1e-6)
    assert solution.reached == (solution.position_error < 1e-5 and solution.rotation_error < 1e-4)


@given(postures, directions)
@settings(max_examples=60, deadline=None)
def test_a_small_step_of_the_pose_is_a_small_step_of_the_joints(start: Array, direction: Array) -> None:
    solution = ARM.solve(moved(ARM.forward(start), 0.002 * direction), start)
    length = float(np.linalg.norm(direction * [1.0, 1.0, 1.0, 0.25, 0.25, 0.25])) * 0.002
    least = ARM.smallest_singular_value(start)
    assert_within_limits(solution)
    if least > 0.08:
        inside = np.all((start > ARM.lower + 0.15) & (start < ARM.upper - 0.15))
        assert solution.reached or not inside
        assert np.linalg.norm(solution.joints - start) <= 2.0 * length / least + 1e-9 or not inside


@given(postures, postures, st.floats(0.001, 0.2))
@settings(max_examples=60, deadline=None)
def test_bounds_hold_however_far_the_pose_is(goal: Array, start: Array, width: float) -> None:
    solution = ARM.solve(ARM.forward(goal), start, start - width, start + width)
    assert_within_limits(solution)
    assert np.all(np.abs(solution.joints - start) <= width + 1e-12)


@given(shares, shares, st.floats(0.2, 1.0), st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_smooth_paths_are_followed_smoothly(phases: Array, rates: Array, size: float, seed: int) -> None:
    joints, previous = START, np.zeros(7)
    origin = ARM.forward(START)
    amplitude = size * np.array([0.12, 0.2, 0.12, 0.3, 0.3, 0.3])
    for tick in range(150):
        angle = (0.5 + rates[:6]) * tick * 0.01
        twist = amplitude * (np.sin(angle + 6.28 * phases[:6]) - np.sin(6.28 * phases[:6]))
        solution = ARM.solve(moved(origin, twist), joints)
        assert_within_limits(solution)
        step = solution.joints - joints
        if solution.reached and ARM.smallest_singular_value(joints) > 0.05:
            assert np.abs(step).max() < 0.12
            assert tick < 2 or np.abs(step - previous).max() < 0.03
        joints, previous = solution.joints, step


@given(st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7).map(np.array))
@settings(max_examples=8, deadline=None)
def test_through_a_singularity_the_joints_stay_calm(direction: Array) -> None:
    """The tip is taken through the singularity and back, the joints no faster than the stream lets them."""
    assert ARM.smallest_singular_value(SINGULAR) < 1e-3
    joints = np.clip(SINGULAR + 0.25 * direction, ARM.innermost_lower, ARM.innermost_upper)
    goal = np.clip(SINGULAR - 0.25 * direction, ARM.innermost_lower, ARM.innermost_upper)
    start, worst = joints, 0.0
    for tick in range(101):
        share = 0.5 - 0.5 * math.cos(2.0 * math.pi * tick / 100)
        solution = ARM.solve(
            ARM.forward(start + share * (goal - start)), joints, joints - 0.025, joints + 0.025, iterations=8
        )
        assert_within_limits(solution)
        assert np.abs(solution.joints - joints).max() <= 0.025 + 1e-12
        joints, worst = solution.joints, max(worst, solution.position_error)
    assert worst < 0.05
    assert solution.position_error < 0.02


def test_beyond_the_reach_and_back_the_joints_stay_calm() -> None:
    """Stretched out by half a metre too far, as the stream would, and back: no jump, and the pose is reached again."""
    joints, origin, largest = START, ARM.forward(START), 0.0
    for tick in range(200):
        twist = np.array([0.9 * math.sin(math.pi * tick / 150), 0.0, 0.0, 0.0, 0.0, 0.0]) if tick < 150 else np.zeros(6)
        solution = ARM.solve(moved(origin, twist), joints, joints - 0.03, joints + 0.03, iterations=8)
        assert_within_limits(solution)
        joints, largest = solution.joints, max(largest, solution.position_error)
    assert largest > 0.1
    assert solution.reached


def test_out_of_reach_goes_as_near_as_it_gets_and_says_so() -> None:
    pose = moved(ARM.forward(START), np.array([2.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    solution = ARM.solve(pose, START)
    assert not solution.reached
    assert_within_limits(solution)
    reach = float(np.linalg.norm(ARM.forward(solution.joints)[:3, 3] - [0.0, 0.0, 0.333]))
    assert solution.position_error == pytest.approx(math.dist(ARM.forward(solution.joints)[:3, 3], pose[:3, 3]))
    assert reach > 0.7


def test_a_pull_moves_the_joints_where_the_pose_leaves_freedom() -> None:
    pose = ARM.forward(START)
    turned = ARM.solve(pose, START, pull=np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    assert turned.reached
    assert turned.joints[0] - START[0] > 0.01
    assert np.array_equal(ARM.solve(pose, START).joints, START)


def test_velocity_bounds_fall_towards_the_limits_as_the_robot_wants() -> None:
    lower, upper = ARM.velocity_bounds(0.5 * (ARM.lower + ARM.upper))
    assert upper == pytest.approx(-lower)
    assert np.all(upper <= ARM.velocity)
    assert upper[0] == pytest.approx(2.62)
    near = 0.5 * (ARM.lower + ARM.upper)
    near[0] = ARM.upper[0] - 0.1
    lower, upper = ARM.velocity_bounds(near)
    assert upper[0] == pytest.approx(math.sqrt(2.0 * 6.0 * 0.1) - 0.652)
    assert lower[0] == pytest.approx(-2.62)
    assert ARM.velocity_bounds(ARM.upper)[1] == pytest.approx(np.zeros(7))


def test_joints_come_in_the_order_asked_for() -> None:
    order = [f"fr3_joint{number}" for number in (3, 1, 2, 7, 4, 5, 6)]
    places = [2, 0, 1, 6, 3, 4, 5]
    shuffled = Kinematics(URDF, "fr3_link0", "fr3_hand_tcp", order)
    assert np.allclose(shuffled.forward(START[places]), ARM.forward(START))
    assert np.allclose(shuffled.jacobian(START[places]), ARM.jacobian(START)[:, places])
    assert np.allclose(shuffled.upper, ARM.upper[places])


def test_a_base_frame_that_is_turned_against_the_world_is_honoured() -> None:
    mounted = URDF.replace(
        '<joint name="fr3_base_joint" type="fixed">', '<joint name="fr3_base_joint" type="fixed"><!-- -->'
    ).replace('<origin rpy="0 0 0" xyz="0 0 0"/>', '<origin rpy="0.3 -0.2 1.0" xyz="0.5 0.1 0.7"/>', 1)
    assert mounted.count("0.3 -0.2 1.0") == 1
    arm = Kinematics(mounted, "fr3_link0", "fr3_hand_tcp")
    assert np.allclose(arm.forward(START), ARM.forward(START), atol=1e-12)
    assert np.allclose(arm.jacobian(START), ARM.jacobian(START), atol=1e-12)


@pytest.mark.parametrize(
    ("urdf", "base", "tip", "joints", "words"),
    [
        ("<robot", "fr3_link0", "fr3_hand_tcp", (), "URDF"),
        (URDF, "fr3_link00", "fr3_hand_tcp", (), "fr3_link00"),
        (URDF, "fr3_link0", "gripper", (), "gripper"),
        (URDF, "fr3_link3", "fr3_hand_tcp", (), "no joint moves"),
        (URDF, "fr3_link0", "fr3_hand_tcp", ("fr3_finger_joint1",), "fr3_joint1, "),
        (URDF, "fr3_link0", "fr3_link0", (), "got"),
        (
            URDF.replace('upper="2.9007" velocity="2.62"', 'upper="2.9007" velocity="0"'),
            "fr3_link0",
            "fr3_hand_tcp",
            (),
            "limits",
        ),
        (URDF.replace('velocity_offset="0.652"', 'velocity_offset="much"'), "fr3_link0", "fr3_hand_tcp", (), "numbers"),
    ],
)
def test_a_description_that_will_not_do_is_refused_in_words(
    urdf: str, base: str, tip: str, joints: tuple[str, ...], words: str
) -> None:
    with pytest.raises(KinematicsError, match=words):
        Kinematics(urdf, base, tip, joints)


@pytest.mark.parametrize("joints", [np.zeros(6), np.full(7, np.nan), np.full(7, np.inf)])
def test_joint_angles_that_are_none_are_refused(joints: Array) -> None:
    for use in (ARM.forward, ARM.jacobian, lambda bad: ARM.solve(np.eye(4), bad)):
        with pytest.raises(KinematicsError, match="7 finite"):
            use(joints)


@pytest.mark.parametrize("pose", [np.eye(3), np.full((4, 4), np.nan), np.diag([1.0, 1.0, -1.0, 1.0])])
def test_a_pose_that_is_none_is_refused(pose: Array) -> None:
    with pytest.raises(KinematicsError, match="rigid transform"):
        ARM.solve(pose, START)


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1.0))
@settings(max_examples=150, deadline=None)
def test_the_bounded_step_is_the_best_there_is(seed: int, width: float) -> None:
    random = np.random.default_rng(seed)
    matrix, wanted, preferred = random.normal(size=(6, 7)), random.normal(size=6), random.normal(size=7) * 0.1
    lower, upper = -width * random.uniform(0.0, 1.0, 7), width * random.uniform(0.0, 1.0, 7)
    lower[random.integers(7)] = 0.0
    damping = 10.0 ** random.uniform(-6, -1)
    ours = bounded_step(matrix, wanted, damping, preferred, lower, upper)
    assert np.all((ours >= lower) & (ours <= upper))
    stacked = np.vstack([matrix, math.sqrt(damping) * np.eye(7)])
    right = np.concatenate([wanted, math.sqrt(damping) * preferred])
    widened = np.maximum(upper, lower + 1e-12)
    best = lsq_linear(stacked, right, (lower, widened), method="bvls").x
    assert np.sum((stacked @ ours - right) ** 2) <= np.sum((stacked @ best - right) ** 2) + 1e-9


def test_damping_makes_a_small_step_in_the_direction_that_is_nearly_lost() -> None:
    """0.2 mm that way would take 0.1 rad, which leads astray and is taken back; damped, 25 rad for a metre at most."""
    posture = SINGULAR + 0.05
    weighted = ARM.jacobian(posture) * np.array([1.0, 1.0, 1.0, 0.25, 0.25, 0.25])[:, None]
    twist = 2e-4 * np.linalg.svd(weighted)[0][:, -1]
    twist[3:] /= 0.25
    solution = ARM.solve(moved(ARM.forward(posture), twist), posture, iterations=1)
    assert 5e-4 < np.linalg.norm(solution.joints - posture) < 5e-3
