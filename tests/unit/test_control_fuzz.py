"""A small part of ``make fuzz``: hostile chunks break no limit, each limit's absence is noticed, Ctrl-C resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipa_policy.bench import fuzz
from vipa_policy.bench.hostile import FEWEST_SETPOINTS, SWITCHES, Session
from vipa_policy.bench.inspection import inspect


@given(st.integers(0, 10**9))
@settings(max_examples=15, deadline=None)
def test_hostile_chunks_break_no_limit(seed: int) -> None:
    trace = Session(seed).run(15)
    verdict, setpoints = inspect(trace)
    assert verdict.violations == {}
    assert setpoints >= FEWEST_SETPOINTS * trace.accepted
    assert trace.holds == [] or max(trace.holds) <= 0.6


# Each limit, and a seed from which on few sessions suffice to miss it.
FIRST_SEEDS = {
    "linear_velocity": 3,
    "linear_acceleration": 1,
    "linear_jerk": 0,
    "linear_step": 0,
    "angular_velocity": 20,
    "angular_acceleration": 1,
    "angular_jerk": 0,
    "angular_step": 0,
    "workspace": 2,
    "stay_out": 10,
    "table": 22,
    "tilt": 3,
    "following": 19,
    "patience": 0,
}


@pytest.mark.parametrize("off", SWITCHES)
def test_a_limit_that_is_switched_off_is_noticed(off: str) -> None:
    seeds = range(FIRST_SEEDS[off], FIRST_SEEDS[off] + 15)
    assert any(off in inspect(Session(seed, off).run(25))[0].violations for seed in seeds)


def test_most_of_what_is_sent_is_followed_and_all_kinds_of_refusal_happen() -> None:
    sent = accepted = 0
    for seed in range(4):
        trace = Session(seed).run()
        sent, accepted = sent + trace.chunks, accepted + trace.accepted
    assert 0.5 < accepted / sent < 0.9


def test_it_prints_one_line_of_json_and_goes_on_where_it_was_interrupted(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "SWITCHES", ("linear_jerk",))
    monkeypatch.setattr(fuzz, "SAVED_EVERY", 1)
    arguments = ["--chunks", "150", "--state", str(tmp_path / "state.json"), "--quiet"]
    run = fuzz.Tally.run

    def interrupted(self: fuzz.Tally, seed: int) -> None:
        if self.sessions == 1:
            raise KeyboardInterrupt
        run(self, seed)

    monkeypatch.setattr(fuzz.Tally, "run", interrupted)
    assert fuzz.main(arguments) == 130
    partial = json.loads(capsys.readouterr().out)
    assert 0 < partial["chunks"] < 150
    seeds = []
    monkeypatch.setattr(fuzz.Tally, "run", lambda self, seed: (seeds.append(seed), run(self, seed))[1])
    assert fuzz.main(arguments) == 0
    whole = json.loads(capsys.readouterr().out)
    assert seeds[0] == 1  # the first session was not run again
    assert whole["chunks"] >= 150
    assert whole["violations"] == 0
    assert whole["detects"] == ["linear_jerk"]
    assert set(whole) == {"chunks", "accepted", "setpoints", "violations", "worst", "detects"}
    assert all(0.0 <= share <= 1.0 + 1e-6 for share in whole["worst"].values())


def test_the_inspection_counts_what_it_is_shown() -> None:
    """A stretch that is moved by hand: a jump of a millimetre and a dip through the table are both named."""
    trace = Session(2).run(5)
    poses = trace.stretches[0].poses
    base = np.array(poses[0])
    trace.stretches[0].poses[:] = [base.copy() for _ in range(20)]
    clean, _ = inspect(trace)
    assert clean.violations == {}
    trace.stretches[0].poses[10][0, 3] += 0.001
    trace.stretches[0].poses[15][2, 3] = trace.limits.table_height - 0.01
    violations = inspect(trace)[0].violations
    assert {"linear_jerk", "linear_acceleration", "table"} <= set(violations)
