"""The analysis of a recording with a fault in it notices what must not be: the check checks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.control.executor import State
from vipa_policy.control.limits import Bounds, Limits
from vipa_policy.control.motion import LimitedMotion
from vipa_policy.geometry import Array
from vipa_sim.faults.judge import Moment, Outcome, Recording, judge
from vipa_sim.faults.report import plot, table
from vipa_sim.faults.results import OutcomesFile, summarise
from vipa_sim.faults.stream import Stream, inspect_stream
from vipa_sim.faults.table import FAULTS, End, find, markdown

PERIOD = 0.01
LIMITS = Limits()
DOWN = np.diag([1.0, -1.0, -1.0])
START = np.array([0.4, -0.1, 0.3])
STRUCK, LIFTED, ENDED = 2.0, 3.5, 6.0
REASON = "policy: no depth of camera scene: nothing for 0.13 s on depth"
FAULT = find("depth_stops")


def poses_at(places: Array) -> Array:
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, :3, :3] = DOWN
    poses[:, :3, 3] = places
    return poses


@cache
def motion(brake_from: float = STRUCK + 0.1, brake_until: float = LIFTED + 0.1) -> Stream:
    """A command that goes to and fro at 0.15 m/s and stands while it is braked: within limits by construction."""
    tracker = LimitedMotion(Bounds.linear(LIMITS, PERIOD), PERIOD)
    place, places = START.copy(), []
    stamps = np.arange(1, round(ENDED / PERIOD) + 1) * PERIOD
    for stamp in stamps:
        braked = brake_from <= stamp < brake_until
        way = (0.0, 0.15, 0.0) if stamp % 4.0 < 2.8 else (0.0, -0.15, 0.0)
        place = place + (tracker.brake() if braked else tracker.follow((0.0, 0.0, 0.0), way, (0.0, 0.0, 0.0)))
        places.append(place)
    return Stream(stamps, poses_at(np.array(places)))


def moments(begun: float = STRUCK + 0.1, resumed: float = LIFTED + 0.1, reason: str = REASON) -> list[Moment]:
    told = []
    for stamp in np.arange(0.05, ENDED, 0.05):
        state = State.FOLLOWING if not begun <= stamp < resumed else State.HOLDING
        told.append(Moment(float(stamp), int(state), False, "" if state == State.FOLLOWING else reason))
    return sorted([*told, Moment(begun, int(State.RAMPING), False, reason)], key=lambda moment: moment.stamp)


def recording(**changes: object) -> Recording:
    setpoints = changes.pop("setpoints", None) or motion()
    assert isinstance(setpoints, Stream)
    truth = Stream(setpoints.stamps[::7] + 0.03, setpoints.poses[::7])
    whole = Recording(setpoints, truth, moments(), STRUCK, LIFTED, ENDED, PERIOD)
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_what_is_as_required_is_found_so() -> None:
    outcome = judge(FAULT, recording(), LIMITS)
    assert outcome.as_required, (outcome.unsafe, outcome.shortfalls)
    assert outcome.begun == pytest.approx(0.1)
    assert outcome.rest is not None
    assert 0.1 < outcome.rest < 0.6
    assert 0.015 < outcome.travel < 0.06
    assert outcome.deviation == pytest.approx(0.15 * 0.03, rel=0.3)
    assert outcome.recovery is not None
    assert outcome.recovery < 0.5
    assert 0.5 < outcome.worst["linear_velocity"] < 0.7


@pytest.mark.parametrize(
    ("name", "factor"),
    [("linear_velocity", 2.0), ("linear_acceleration", 2.0), ("linear_jerk", 2.0), ("linear_step", 20.0)],
)
def test_a_broken_limit_is_unsafe(name: str, factor: float) -> None:
    tight = replace(LIMITS, **{name: getattr(LIMITS, name) / factor})
    outcome = judge(FAULT, recording(), tight)
    assert any(name in complaint for complaint in outcome.unsafe)
    assert not outcome.as_required


@pytest.mark.parametrize("kind", ["angular_velocity", "angular_acceleration", "angular_jerk", "angular_step"])
def test_a_turn_that_is_too_fast_is_unsafe(kind: str) -> None:
    stream = motion()
    turned = stream.poses.copy()
    angle = np.deg2rad(8.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
    turned[230:, :3, :3] = turned[230:, :3, :3] @ turn
    outcome = judge(FAULT, recording(setpoints=Stream(stream.stamps, turned)), LIMITS)
    assert any(kind in complaint for complaint in outcome.unsafe), outcome.unsafe


def test_places_that_are_not_allowed_are_unsafe() -> None:
    for limits in (replace(LIMITS, table_height=0.35), replace(LIMITS, upper=(0.8, 0.1, 0.6))):
        outcome = judge(FAULT, recording(truth=Stream()), limits)
        if limits.table_height:
            # Inward only: a start below the table that goes no deeper is allowed.
            assert not any("table" in complaint for complaint in outcome.unsafe)
        else:
            assert any("workspace" in complaint for complaint in outcome.unsafe), outcome.unsafe


def test_a_jump_of_the_command_at_rest_is_unsafe_unless_it_goes_to_where_the_arm_is() -> None:
    stream = motion()
    moved = stream.poses.copy()
    moved[280:, 0, 3] += 0.1  # while the command stands
    jumped = Stream(stream.stamps, moved)
    lies = judge(FAULT, recording(setpoints=jumped, truth=motion()), LIMITS)
    assert any("start" in complaint for complaint in lies.unsafe), lies.unsafe
    pushed = stream.poses.copy()
    pushed[260:, 0, 3] += 0.1  # somebody moved the arm before
    assert inspect_stream(jumped, LIMITS, PERIOD, Stream(stream.stamps, pushed)).violations == {}


def test_motion_after_the_hold_is_unsafe() -> None:
    late = judge(FAULT, recording(setpoints=motion(brake_from=STRUCK + 0.6)), LIMITS)
    assert any("the command moved until" in complaint for complaint in late.unsafe)
    crept = motion()
    poses = crept.poses.copy()
    poses[:, 2, 3] += np.clip(crept.stamps - 2.9, 0.0, 0.4) * 2e-4  # 0.2 mm/s downwards
    creeping = judge(FAULT, recording(setpoints=Stream(crept.stamps, poses)), LIMITS)
    assert any("the command moved until" in complaint for complaint in creeping.unsafe)


def test_an_arm_that_goes_on_by_itself_is_unsafe() -> None:
    still = motion()
    drifting = still.poses[::7].copy()
    drifting[:, 0, 3] += np.clip(still.stamps[::7] - 2.5, 0.0, 1.0) * 0.05
    outcome = judge(FAULT, recording(truth=Stream(still.stamps[::7] + 0.03, drifting)), LIMITS)
    assert any("the arm moved" in complaint for complaint in outcome.unsafe)


def test_a_late_hold_a_wrong_reason_no_hold_and_no_recovery_are_told() -> None:
    late = judge(FAULT, recording(moments=moments(begun=STRUCK + 0.2)), LIMITS)
    assert any("began after 0.20 s" in complaint for complaint in late.shortfalls)
    wrong = judge(FAULT, recording(moments=moments(reason="no new chunk for 0.3 s")), LIMITS)
    assert any("the reason recorded is 'no new chunk" in complaint for complaint in wrong.shortfalls)
    never = judge(FAULT, recording(moments=moments(begun=ENDED), setpoints=motion(brake_from=ENDED)), LIMITS)
    assert "no hold began" in never.shortfalls
    for_good = recording(moments=moments(resumed=ENDED), setpoints=motion(brake_until=ENDED))
    assert not judge(FAULT, for_good, LIMITS).recovered
    assert not judge(FAULT, for_good, LIMITS).as_required


def test_a_stream_that_ends_is_judged_by_the_arm() -> None:
    killed = find("arm_killed")
    assert killed.end is End.STAND
    stream = motion(brake_until=LIFTED + 1.0)
    silent = Stream(*(values[(stream.stamps < STRUCK) | (stream.stamps > LIFTED + 1.0)] for values in _parts(stream)))
    truth = Stream(stream.stamps[::7] + 0.03, stream.poses[::7])
    stands = judge(killed, recording(setpoints=silent, truth=truth, moments=moments(begun=ENDED)), LIMITS)
    assert stands.as_required, (stands.unsafe, stands.shortfalls)
    assert stands.rest is not None
    assert 0.2 < stands.rest < 0.6
    moving = motion(brake_from=ENDED)
    runs_on = recording(setpoints=silent, truth=Stream(moving.stamps[::7], moving.poses[::7]))
    assert judge(killed, runs_on, LIMITS).unsafe


def _parts(stream: Stream) -> tuple[Array, Array]:
    return stream.stamps, stream.poses


def test_an_arm_that_should_go_on_must_get_somewhere() -> None:
    flood = find("instruction_flood")
    assert judge(flood, recording(), LIMITS).as_required
    resting = motion(brake_from=0.0, brake_until=ENDED)
    outcome = judge(flood, recording(setpoints=resting), LIMITS)
    assert any("went on by 0 mm" in complaint for complaint in outcome.shortfalls)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_a_thinned_stream_breaks_no_limit_that_the_whole_one_keeps(seed: int, share: float) -> None:
    """A busy machine leaves setpoints out; what is left must not look as if it had broken anything."""
    stream = motion()
    kept = np.random.default_rng(seed).random(len(stream.stamps)) < share
    kept[::9] = True  # no silence of more than a stall
    thin = Stream(stream.stamps[kept], stream.poses[kept])
    verdict = inspect_stream(thin, LIMITS, PERIOD, stream)
    assert verdict.violations == {}
    whole = inspect_stream(stream, LIMITS, PERIOD, stream)
    for name, share in verdict.worst.items():
        assert share <= whole.worst[name] * (1.0 + 1e-6) + 1e-6, name


def test_faults_are_found_by_their_names() -> None:
    assert [find(fault.name) for fault in FAULTS] == list(FAULTS)
    with pytest.raises(ValueError, match="expected a fault of camera_dies"):
        find("earthquake")


def test_the_table_in_the_docs_is_the_one_that_is_judged_by(repository: Path) -> None:
    assert markdown() in (repository / "docs" / "faults.md").read_text(encoding="utf-8")


def test_an_unfinished_run_goes_on_and_a_finished_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    names = ["depth_stops", "tf_stops"]
    outcome = judge(FAULT, recording(), LIMITS)
    first = OutcomesFile(path, "version 1", names)
    first.append(outcome)
    first.close()
    with path.open("a", encoding="utf-8") as cut:
        cut.write('{"fault": "tf_st')  # killed while it wrote
    again = OutcomesFile(path, "version 1", names)
    assert again.outcomes == [outcome]
    again.append(replace(outcome, fault="tf_stops"))
    again.close()
    for key, fresh in (("version 1", False), ("version 2", False), ("version 1", True)):
        done = OutcomesFile(path, key, names, fresh)
        assert done.outcomes == []
        done.close()


def test_figures_table_and_picture_tell_the_same(tmp_path: Path) -> None:
    good = judge(FAULT, recording(), LIMITS)
    bad = Outcome("tf_jumps", False, unsafe=("the command moved",), reason="x" * 200)
    summary = summarise([good, bad])
    assert (summary["faults"], summary["as_required"], summary["unsafe"], summary["recovered"]) == (2, 1, 1, 1)
    assert summary["table"][0]["begun_s"] == pytest.approx(0.1)
    text = table([good, bad])
    for words in ("UNSAFE", "the command moved", "no depth of camera scene"):
        assert words in text
    plot([good, bad], tmp_path / "faults.png")
    assert (tmp_path / "faults.png").stat().st_size > 5000
