"""Guards the transform tree of the stand-in for tf2 against analytic motion and against tf2's rules."""

from __future__ import annotations

import numpy as np
import pytest
from _tf2_tree.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
)
from _tf2_tree.rigid import IDENTITY, Pose, compose, interpolate, invert
from _tf2_tree.tree import FrameTree
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND  # a date of today: stamps must not lose their nanoseconds
PERIOD = SECOND // 200
DURATION = 2 * SECOND

components = st.floats(-1.0, 1.0)
vectors = st.tuples(components, components, components)


@st.composite
def poses(draw: st.DrawFn) -> Pose:
    rotation = Rotation.from_rotvec(np.pi * np.array(draw(vectors)))
    return (*draw(vectors), *(float(value) for value in rotation.as_quat()))


def matrix(pose: Pose) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat(pose[3:]).as_matrix()
    result[:3, 3] = pose[:3]
    return result


class Screw:
    """A frame that turns about a fixed axis through ``point`` and slides along it, both at constant speed."""

    def __init__(self, axis: np.ndarray, point: np.ndarray, turn: float, slide: float, start: Pose) -> None:
        self.axis, self.point, self.turn, self.slide = axis, point, turn, slide
        self.start = matrix(start)

    def at(self, seconds: float) -> np.ndarray:
        rotation = Rotation.from_rotvec(self.axis * self.turn * seconds).as_matrix()
        motion = np.eye(4)
        motion[:3, :3] = rotation
        motion[:3, 3] = self.point - rotation @ self.point + self.axis * self.slide * seconds
        return motion @ self.start

    def samples(self, seconds: np.ndarray) -> list[Pose]:
        turns = Rotation.from_rotvec(self.axis * self.turn * seconds[:, None])
        positions = turns.apply(self.start[:3, 3] - self.point) + self.point + self.axis * self.slide * seconds[:, None]
        quaternions = (turns * Rotation.from_matrix(self.start[:3, :3])).as_quat()
        return [tuple(row) for row in np.hstack([positions, quaternions]).tolist()]

    def chord_error(self) -> float:
        """How far a point on a circle leaves the chord between two samples, m."""
        radius = np.linalg.norm(self.start[:3, 3] - self.point)
        return float(radius * (1.0 - np.cos(self.turn * PERIOD * 1e-9 / 2.0)))


@st.composite
def screws(draw: st.DrawFn) -> Screw:
    direction = np.array(draw(vectors.filter(lambda v: np.linalg.norm(v) > 0.1)))
    turn, slide = draw(st.floats(-3.0, 3.0)), draw(st.floats(-1.0, 1.0))
    return Screw(direction / np.linalg.norm(direction), np.array(draw(vectors)), turn, slide, draw(poses()))


def tree(cache_seconds: float = 10.0) -> FrameTree:
    complaints: list[str] = []
    result = FrameTree(int(cache_seconds * SECOND), complaints.append)
    result.complaints = complaints  # type: ignore[attr-defined]
    return result


def add(target: FrameTree, parent: str, child: str, seconds: float, pose: Pose = IDENTITY, fixed: bool = False) -> bool:
    return target.insert(parent, child, round(seconds * SECOND), pose, "test", fixed)


@settings(max_examples=30)
@given(
    st.lists(screws(), min_size=2, max_size=2), st.lists(poses(), min_size=4, max_size=4), st.integers(0, DURATION - 1)
)
def test_chain_of_moving_and_fixed_frames_follows_analytic_motion(
    joints: list[Screw], fixed: list[Pose], offset: int
) -> None:
    frames = tree()
    frames.insert("world", "base", 0, fixed[0], "test", True)
    frames.insert("upper", "elbow", 0, fixed[1], "test", True)
    frames.insert("lower", "tip", 0, fixed[2], "test", True)
    frames.insert("world", "camera", 0, fixed[3], "test", True)
    stamps = np.arange(DURATION // PERIOD + 1) * PERIOD
    for parent, child, joint in (("base", "upper", joints[0]), ("elbow", "lower", joints[1])):
        for stamp, pose in zip(stamps.tolist(), joint.samples(stamps * 1e-9), strict=True):
            frames.insert(parent, child, START + stamp, pose, "test", False)
    now = offset * 1e-9
    world_from_tip = matrix(fixed[0]) @ joints[0].at(now) @ matrix(fixed[1]) @ joints[1].at(now) @ matrix(fixed[2])
    expected = np.linalg.inv(matrix(fixed[3])) @ world_from_tip

    stamp, found = frames.lookup("camera", "tip", START + offset)

    error = np.linalg.inv(expected) @ matrix(found)
    assert stamp == START + offset
    assert Rotation.from_matrix(error[:3, :3]).magnitude() < 1e-7
    assert np.linalg.norm(error[:3, 3]) < sum(joint.chord_error() for joint in joints) + 1e-7
    _, back = frames.lookup("tip", "camera", START + offset)
    assert np.allclose(matrix(back) @ matrix(found), np.eye(4), atol=1e-9)
    _, camera_from_elbow = frames.lookup("camera", "elbow", START + offset)
    _, elbow_from_tip = frames.lookup("elbow", "tip", START + offset)
    assert np.allclose(matrix(camera_from_elbow) @ matrix(elbow_from_tip), matrix(found), atol=1e-9)


@given(poses(), poses())
def test_composition_and_inverse_are_those_of_matrices(first: Pose, second: Pose) -> None:
    assert np.allclose(matrix(compose(first, second)), matrix(first) @ matrix(second), atol=1e-12)
    assert np.allclose(matrix(invert(first)), np.linalg.inv(matrix(first)), atol=1e-12)


@given(poses(), poses(), st.floats(0.0, 1.0))
def test_interpolation_turns_evenly_on_the_shorter_arc(first: Pose, second: Pose, fraction: float) -> None:
    start, end = Rotation.from_quat(first[3:]), Rotation.from_quat(second[3:])
    between = interpolate(first, second, fraction)
    whole = (start.inv() * end).magnitude()
    assert (start.inv() * Rotation.from_quat(between[3:])).magnitude() == pytest.approx(fraction * whole, abs=1e-6)
    assert np.linalg.norm(between[3:]) == pytest.approx(1.0, abs=1e-9)
    straight = (1.0 - fraction) * np.array(first[:3]) + fraction * np.array(second[:3])
    assert np.allclose(between[:3], straight, atol=1e-12)


@given(st.permutations(range(1, 9)), st.floats(1.0, 8.0))
def test_order_of_arrival_does_not_matter(order: list[int], seconds: float) -> None:
    frames = tree()
    for second in order:
        assert add(frames, "world", "cart", second, (second**2, 0.0, 0.0, *IDENTITY[3:]))
    _, pose = frames.lookup("world", "cart", round(seconds * SECOND))
    assert pose[0] == pytest.approx(np.interp(seconds, range(1, 9), [second**2 for second in range(1, 9)]), abs=1e-6)


def test_stamp_zero_takes_the_newest_common_time() -> None:
    frames = tree()
    for second in (1.0, 2.0, 3.0):
        add(frames, "world", "arm", second)
    for second in (1.0, 2.5):
        add(frames, "world", "camera", second)
    add(frames, "camera", "optical", 0.0, fixed=True)
    assert frames.lookup("optical", "arm", 0)[0] == round(2.5 * SECOND)
    assert frames.lookup("world", "arm", 0)[0] == 3 * SECOND
    assert frames.lookup("camera", "optical", 0)[0] == 0


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (
            2.5,
            "Lookup would require extrapolation into the future.  Requested time 2.500000 but the latest data is at "
            "time 2.000000, when looking up transform from frame [arm] to frame [world]",
        ),
        (
            0.25,
            "Lookup would require extrapolation into the past.  Requested time 0.250000 but the earliest data is at "
            "time 1.000000, when looking up transform from frame [arm] to frame [world]",
        ),
    ],
)
def test_extrapolation_is_refused_with_the_stamps(seconds: float, message: str) -> None:
    frames = tree()
    add(frames, "world", "arm", 1.0)
    add(frames, "world", "arm", 2.0)
    for target, source in (("world", "arm"), ("arm", "world")):
        with pytest.raises(ExtrapolationException) as caught:
            frames.lookup(target, source, round(seconds * SECOND))
        assert str(caught.value) == message.replace("[arm] to frame [world]", f"[{source}] to frame [{target}]")
        assert frames.why_not(target, source, round(seconds * SECOND)) == str(caught.value)


def test_a_single_sample_answers_its_own_stamp_only() -> None:
    frames = tree()
    add(frames, "world", "arm", 1.0)
    assert frames.lookup("world", "arm", SECOND)[0] == SECOND
    with pytest.raises(ExtrapolationException, match=r"at time 1.500000, but only time 1.000000 is in the buffer"):
        frames.lookup("world", "arm", 3 * SECOND // 2)


def test_a_gap_above_the_common_ancestor_does_not_matter() -> None:
    frames = tree()
    add(frames, "world", "base", 1.0)
    add(frames, "base", "arm", 0.0, fixed=True)
    add(frames, "base", "camera", 0.0, fixed=True)
    assert frames.lookup("camera", "arm", 9 * SECOND) == (9 * SECOND, IDENTITY)


def test_disconnected_trees_are_named() -> None:
    frames = tree()
    add(frames, "world", "arm", 1.0)
    add(frames, "moon", "rover", 1.0)
    for stamp in (0, SECOND):
        with pytest.raises(ConnectivityException, match="'rover' and 'arm' because they are not part of the same tree"):
            frames.lookup("rover", "arm", stamp)


def test_unknown_empty_and_slashed_frames_are_refused() -> None:
    frames = tree()
    add(frames, "world", "arm", 1.0)
    with pytest.raises(LookupException, match='"nowhere" passed to lookupTransform argument source_frame does not'):
        frames.lookup("world", "nowhere", 0)
    with pytest.raises(InvalidArgumentException, match="cannot be empty"):
        frames.lookup("", "arm", 0)
    with pytest.raises(InvalidArgumentException, match="cannot start with a '/'"):
        frames.lookup("/world", "arm", 0)
    assert frames.why_not("world", "nowhere", 0) == (
        'Invalid frame ID "nowhere" passed to canTransform argument source_frame - frame does not exist'
    )


def test_leading_slashes_are_stripped_on_the_way_in() -> None:
    frames = tree()
    assert add(frames, "/world", "/arm", 1.0)
    assert frames.lookup("world", "arm", 0)[0] == SECOND


NAN = float("nan")


@pytest.mark.parametrize(
    ("parent", "child", "pose", "complaint"),
    [
        ("arm", "arm", IDENTITY, "TF_SELF_TRANSFORM"),
        ("arm", "/arm", IDENTITY, "TF_SELF_TRANSFORM"),
        ("world", "", IDENTITY, "TF_NO_CHILD_FRAME_ID"),
        ("", "arm", IDENTITY, "TF_NO_FRAME_ID"),
        ("world", "arm", (NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), "TF_NAN_INPUT"),
        ("world", "arm", (0.0, 0.0, 0.0, 0.0, NAN, 0.0, 1.0), "TF_NAN_INPUT"),
        ("world", "arm", (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), "TF_DENORMALIZED_QUATERNION"),
    ],
)
def test_bad_transforms_are_dropped_with_a_complaint(parent: str, child: str, pose: Pose, complaint: str) -> None:
    frames = tree()
    assert not add(frames, parent, child, 1.0, pose)
    assert frames.complaints[0].startswith(complaint)  # type: ignore[attr-defined]
    assert not frames.exists("arm")


def test_quaternions_of_another_length_are_normalised_as_tf2_does() -> None:
    frames = tree()
    add(frames, "world", "arm", 1.0, (0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0))
    assert frames.lookup("world", "arm", 0)[1][3:] == pytest.approx((0.0, 0.0, 0.6, 0.8))


def test_history_is_kept_for_the_cache_time_only() -> None:
    frames = tree(cache_seconds=1.0)
    for sample in range(2000):
        add(frames, "world", "arm", 1.0 + sample / 200.0)
    latest = 1.0 + 1999 / 200.0
    assert frames.lookup("world", "arm", round((latest - 0.99) * SECOND))[0] > 0
    with pytest.raises(ExtrapolationException, match="into the past"):
        frames.lookup("world", "arm", round((latest - 1.02) * SECOND))
    assert not add(frames, "world", "arm", latest - 1.5)
    assert frames.complaints[-1].startswith("TF_OLD_DATA")  # type: ignore[attr-defined]


def test_a_frame_given_another_parent_moves_at_that_stamp() -> None:
    frames = tree()
    add(frames, "world", "gripper", 0.0, fixed=True)
    for second in (1.0, 2.0):
        add(frames, "world", "block", second, (second, 0.0, 0.0, *IDENTITY[3:]))
    for second in (3.0, 4.0):
        add(frames, "gripper", "block", second, (0.0, second, 0.0, *IDENTITY[3:]))
    assert frames.lookup("world", "block", 3 * SECOND // 2)[1][:3] == pytest.approx((1.5, 0.0, 0.0))
    # Between two parents there is nothing to interpolate: the older entry stands.
    assert frames.lookup("world", "block", 5 * SECOND // 2)[1][:3] == pytest.approx((2.0, 0.0, 0.0))
    assert frames.lookup("gripper", "block", 7 * SECOND // 2)[1][:3] == pytest.approx((0.0, 3.5, 0.0))


def test_a_loop_is_reported() -> None:
    frames = tree()
    add(frames, "a", "b", 1.0)
    add(frames, "b", "a", 1.0)
    add(frames, "world", "c", 1.0)
    with pytest.raises(LookupException, match="contains a loop"):
        frames.lookup("c", "a", SECOND)


def test_clearing_forgets_motion_and_keeps_what_is_fixed() -> None:
    frames = tree()
    add(frames, "world", "arm", 5.0)
    add(frames, "world", "camera", 0.0, (1.0, 0.0, 0.0, *IDENTITY[3:]), fixed=True)
    frames.clear()
    assert frames.lookup("world", "camera", 0)[1][0] == 1.0
    with pytest.raises(ExtrapolationException):
        frames.lookup("world", "arm", 5 * SECOND)
    assert add(frames, "world", "arm", 1.0)
    assert frames.lookup("world", "arm", 0)[0] == SECOND
