"""Packets between the processes of an arm: whatever is not exactly one is refused, and moves nothing."""

from __future__ import annotations

import dataclasses
import math
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.errors import ArmError
from vipa_policy.franka.follower import FollowerSettings, Target
from vipa_policy.franka.frames import (
    MARK,
    VERSION,
    ArmState,
    Frame,
    FrameError,
    HandOrder,
    HandState,
    Note,
    pack,
    unpack,
)
from vipa_policy.franka.settings import ArmSettings, HandSettings, arm_from_json, hand_from_json, to_json

number = st.floats(-1e6, 1e6)
small = st.integers(0, 2**32 - 1)
large = st.integers(0, 2**64 - 1)


def numbers(size: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(*[number] * size)


targets = st.builds(Target, epoch=small, sequence=large, stamp=number, joints=numbers(7))
frames: st.SearchStrategy[Frame] = st.one_of(
    targets,
    st.builds(
        ArmState,
        stamp=number,
        readiness=st.integers(0, 2),
        motion=st.integers(0, 2),
        controlled=st.integers(0, 1),
        epoch=small,
        age=st.floats(0.0, math.inf),
        success_rate=st.floats(0.0, 1.0),
        joints=numbers(7),
        velocities=numbers(7),
        commanded=numbers(7),
        wrench=numbers(6),
        missed=large,
        refused=large,
        longest=number,
    ),
    st.builds(Note, kind=st.text(max_size=20), values=st.dictionaries(st.text(max_size=9), st.text(max_size=20))),
    st.builds(
        HandOrder,
        number=small,
        grasp=st.booleans(),
        width=number,
        speed=number,
        force=number,
        inner=number,
        outer=number,
    ),
    st.builds(HandState, stamp=number, width=number, maximum=number, grasped=st.booleans()),
)


@settings(max_examples=25)
@given(frames)
def test_a_frame_comes_back_as_it_was(frame: Frame) -> None:
    read = unpack(pack(frame))
    assert read == frame
    if isinstance(read, HandOrder):
        assert isinstance(read.grasp, bool)


@given(st.binary(max_size=400))
def test_garbage_is_refused_in_words(packet: bytes) -> None:
    with pytest.raises(FrameError, match="expected"):
        unpack(packet)


@settings(max_examples=25)
@given(frames, st.data())
def test_a_changed_or_cut_packet_is_refused(frame: Frame, data: st.DataObject) -> None:
    packet = bytearray(pack(frame))
    place = data.draw(st.integers(0, len(packet) - 1))
    if data.draw(st.booleans()):
        packet = packet[:place]
    else:
        packet[place] ^= data.draw(st.integers(1, 255))
    try:
        read = unpack(bytes(packet))
    except FrameError:
        return
    # The kind is the one thing the checksum does not cover: it must then fit another kind of body by its length.
    assert type(read) is not type(frame)


@pytest.mark.parametrize("place", [*range(5), *range(6, 12)])
def test_a_change_of_any_byte_of_the_header_but_the_kind_is_refused(place: int) -> None:
    packet = bytearray(pack(Note("stop", {})))
    packet[place] ^= 1
    with pytest.raises(FrameError, match="expected"):
        unpack(bytes(packet))


STATE = ArmState(1.0, 0, 1, 1, 1, 0.0, 1.0, (0.0,) * 7, (0.0,) * 7, (0.0,) * 7, (0.0,) * 6, 0, 0, 0.0)
FINITE: list[tuple[Frame, str]] = [
    (Target(1, 0, 1.0, (0.0,) * 7), "stamp"),
    *((STATE, name) for name in ("stamp", "success_rate", "joints", "velocities", "commanded", "wrench", "longest")),
    *((HandOrder(1, True, 0.0, 0.1, 9.0, 0.0, 0.0), name) for name in ("width", "speed", "force", "inner", "outer")),
    *((HandState(1.0, 0.0, 0.08, False), name) for name in ("stamp", "width", "maximum")),
]


@pytest.mark.parametrize(("frame", "name"), FINITE)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_number_that_is_not_finite_arrives(frame: Frame, name: str, bad: float) -> None:
    value = getattr(frame, name)
    wrong = (*value[:-1], bad) if isinstance(value, tuple) else bad
    with pytest.raises(FrameError, match="expected finite numbers"):
        unpack(pack(dataclasses.replace(frame, **{name: wrong})))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"kind": "stop"}',
        b'{"kind": 1, "values": {}}',
        b'{"kind": "stop", "values": []}',
        b"[" * 30000,
        b"\xff",
    ],
)
def test_a_note_that_is_none_is_refused(body: bytes) -> None:
    packet = struct.pack("<4sBBHI", MARK, VERSION, 3, len(body), zlib.crc32(body)) + body
    with pytest.raises(FrameError, match="expected a body of kind 3"):
        unpack(packet)


@given(st.integers(1, 5), st.binary(max_size=300))
def test_a_well_wrapped_body_of_garbage_is_refused_or_finite(kind: int, body: bytes) -> None:
    packet = struct.pack("<4sBBHI", MARK, VERSION, kind, len(body), zlib.crc32(body)) + body
    try:
        read = unpack(packet)
    except FrameError:
        return
    if isinstance(read, Target):
        assert all(math.isfinite(value) for value in (read.stamp, *read.joints))


@settings(max_examples=25)
@given(targets, st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 6))
def test_a_target_that_is_not_finite_is_refused(target: Target, bad: float, joint: int) -> None:
    joints = [*target.joints[:joint], bad, *target.joints[joint + 1 :]]
    with pytest.raises(FrameError, match="expected finite numbers"):
        unpack(pack(Target(target.epoch, target.sequence, target.stamp, tuple(joints))))


def test_another_build_is_named() -> None:
    packet = bytearray(pack(Note("stop", {})))
    packet[4] = VERSION + 1
    with pytest.raises(FrameError, match="are both sides of one build"):
        unpack(bytes(packet))


def test_settings_come_back_as_they_were() -> None:
    arm = ArmSettings("10.0.0.1", load_mass=0.2, follower=FollowerSettings(delay=0.03))
    read = unpack(pack(Note("settings", to_json(arm))))
    assert isinstance(read, Note)
    assert arm_from_json(read.values) == arm
    hand = HandSettings("10.0.0.1", homing=True)
    assert hand_from_json(to_json(hand)) == hand
    with pytest.raises(ArmError, match="expected the settings of an arm"):
        arm_from_json({"adress": "10.0.0.1"})
    with pytest.raises(ArmError, match="expected the settings of a hand"):
        hand_from_json({"homing": True})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"realtime": "maybe"}, "expected realtime of auto, enforce, ignore"),
        ({"load_centre": (0.0,)}, "expected 3 finite numbers for load_centre"),
        ({"stiffness": (math.nan,) * 7}, "expected 7 finite numbers for stiffness"),
        ({"contact_force": (90.0,) * 6}, "expected contact_force of at most collision_force"),
    ],
)
def test_settings_that_are_none_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ArmError, match=words):
        ArmSettings("10.0.0.1", **values)  # type: ignore[arg-type]
