"""The arm's process against an arm made up here: what it tells, when it commands, faults, recovery, lost parents."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unit.test_franka_tracker import assert_within
from vipa_policy.errors import ArmError
from vipa_policy.franka.arm_process import ArmProcess, Readiness
from vipa_policy.franka.arm_robot import Robot, RobotGone, RobotStopped
from vipa_policy.franka.follower import Target
from vipa_policy.franka.frames import ArmState, Note
from vipa_policy.franka.link import Link, pair
from vipa_policy.franka.settings import ArmSettings

START = (0.0, -0.55, 0.0, -2.35, 0.0, 1.80, 0.785)
SETTINGS = ArmSettings("made.up", state_period=1, release=0.05, retry=0.01)


class MadeUpArm:
    """A clock that advances a millisecond with every state, and an arm that goes where it is told."""

    def __init__(self, script: Callable[[MadeUpArm], None]) -> None:
        self.script = script
        self.time = 0.0
        self.joints = START
        self.mode, self.errors = "Idle", "[]"
        self.prepared = self.recovered = self.begun = 0
        self.commands: list[tuple[float, ...]] = []
        self.moving = False
        self.fault = ""
        self.periods = 1
        self.refuses_recovery = self.connected = False

    def connect(self, settings: ArmSettings) -> Robot:
        if self.mode == "away":
            self.tick()
            raise RobotGone("nobody answers")
        self.connected = True
        return self

    def clock(self) -> float:
        # While there is no arm to wait for, looking at the clock is what takes time.
        self.time += 0.0 if self.connected else 0.002
        return self.time

    def tick(self) -> None:
        self.time += 0.001 * self.periods
        self.script(self)

    def prepare(self) -> None:
        self.prepared += 1

    def read(self) -> Any:
        self.tick()
        if self.mode == "away":
            self.connected = False
            raise RobotGone("the connection was lost")
        return SimpleNamespace(
            q=self.joints,
            dq=(0.0,) * 7,
            q_d=self.joints,
            K_F_ext_hat_K=(0.0,) * 6,
            O_T_EE=(0.0,) * 16,
            F_T_EE=(0.0,) * 16,
            EE_T_K=(0.0,) * 16,
            control_command_success_rate=1.0,
            current_errors=self.errors,
            last_motion_errors="[]",
            robot_mode=SimpleNamespace(name=self.mode),
        )

    def begin(self) -> Any:
        self.begun += 1
        self.moving = True
        return self.read()

    def next(self) -> tuple[Any, int]:
        state = self.read()
        if self.fault:
            self.mode, self.moving = "Reflex", False
            raise RobotStopped(self.fault)
        return state, self.periods

    def command(self, joints: list[float], last: bool = False) -> None:
        assert self.moving
        self.commands.append(tuple(joints))
        self.joints = tuple(joints)
        self.moving = not last

    def recover(self) -> None:
        if self.refuses_recovery:
            raise RobotStopped("not possible")
        self.recovered += 1
        self.mode, self.errors, self.fault = "Idle", "[]", ""


class Play:
    """A process, its made-up arm, and what the parent hears."""

    def __init__(self, script: Callable[[Play], None]) -> None:
        ours, theirs = pair()
        self.parent = Link(ours)
        self.script = script
        self.arm = MadeUpArm(lambda arm: self.beat())
        self.process = ArmProcess(Link(theirs), self.arm.connect, SETTINGS, self.arm.clock)
        self.states: list[ArmState] = []
        self.notes: list[Note] = []
        self.beats = 0
        self.sequence = 0

    def beat(self) -> None:
        for frame in self.parent.frames():
            if isinstance(frame, ArmState):
                self.states.append(frame)
            elif isinstance(frame, Note):
                self.notes.append(frame)
        self.beats += 1
        if self.beats > 20000:
            raise AssertionError("the script does not end")
        self.script(self)

    def run(self) -> Play:
        self.process.run()
        self.beat_rest()
        return self

    def beat_rest(self) -> None:
        self.script = lambda play: None
        self.beat()

    def send(self, offset: float, epoch: int | None = None) -> None:
        self.sequence += 1
        joints = (START[0] + offset, *START[1:])
        named = (self.states[-1].epoch if self.states else 0) if epoch is None else epoch
        self.parent.send(Target(named, self.sequence, self.arm.time, joints))

    def ask(self, kind: str, **values: Any) -> None:
        self.parent.send(Note(kind, values))

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [note.values for note in self.notes if note.kind == kind]


def test_it_follows_stops_by_itself_and_lets_the_arm_hold() -> None:
    def script(play: Play) -> None:
        if play.beats % 10 == 0 and 20 < play.beats < 300:
            play.send(0.0005 * (play.beats - 20))
        elif play.beats == 1500:
            play.ask("end", reason="that was all")

    play = Play(script).run()
    assert play.arm.prepared == play.arm.begun == 1
    assert not play.arm.moving
    assert_within(np.array([START] * 3 + play.arm.commands))
    (stopping,) = play.told("stopping")
    assert stopping["reason"] == "no target for 0.1 s"
    assert stopping["speed"] == pytest.approx(0.5, abs=0.01)
    assert play.told("status")[0] == {"readiness": Readiness.READY, "reason": ""}
    assert "that was all" in play.told("status")[-1]["reason"]
    # The command stays where it stopped, and the last one ends the motion.
    assert len(set(play.arm.commands[-40:])) == 1
    assert play.arm.commands[-1][0] > 0.1
    states = [state for state in play.states if state.controlled]
    assert states[-1].missed == 0
    assert np.allclose(states[-1].commanded, play.arm.commands[-1])
    assert play.told("robot")[0]["q"] == list(START)


def test_the_death_of_the_parent_is_a_smooth_stop_and_the_end() -> None:
    def script(play: Play) -> None:
        if play.beats % 10 == 0 and 20 < play.beats < 200:
            play.send(0.0005 * (play.beats - 20))
        elif play.beats == 200:
            play.parent.close()

    play = Play(script).run()
    assert play.process.ending == "its parent has gone"
    assert_within(np.array([START] * 3 + play.arm.commands))
    assert not play.arm.moving
    assert 0 < len(play.arm.commands) - 180 < 1000.0 * SETTINGS.follower.longest_stop


def test_a_reflex_is_a_fault_until_asked_to_recover_and_old_targets_die_with_it() -> None:
    def script(play: Play) -> None:
        if play.beats % 10 == 0 and play.beats > 20:
            # Long after the fault, somebody still sends targets of the motion before it.
            play.send(0.0005 * min(play.beats - 20, 200), epoch=1 if play.beats < 800 else None)
        if play.beats == 150:
            play.arm.fault = 'motion aborted by reflex! ["cartesian_reflex"]'
        elif play.beats == 500:
            assert play.states[-1].readiness == Readiness.FAULT
            play.ask("recover")
        elif play.beats == 700:
            assert play.states[-1].readiness == Readiness.READY
            assert play.arm.begun == 1  # recovering moves nothing, nor do the targets of before
        elif play.beats == 1200:
            play.ask("end")

    play = Play(script).run()
    statuses = play.told("status")
    assert {"readiness": Readiness.FAULT, "reason": 'motion aborted by reflex! ["cartesian_reflex"]'} in statuses
    assert play.told("recovered") == [{"problem": ""}]
    assert play.arm.recovered == 1
    assert play.arm.prepared == 2  # load and thresholds are set anew
    assert play.arm.begun == 2
    assert any("was made for motion 1" in told["reason"] for told in play.told("refused"))
    assert any("the arm takes none" in told["reason"] for told in play.told("refused"))


def test_a_recovery_that_fails_says_so() -> None:
    def script(play: Play) -> None:
        if play.beats == 5:
            play.arm.mode, play.arm.errors = "Reflex", '["joint_reflex"]'
            play.arm.refuses_recovery = True
        elif play.beats == 20:
            play.ask("recover")
        elif play.beats == 40:
            play.ask("end")

    play = Play(script).run()
    assert play.told("recovered") == [{"problem": "Reflex: joint_reflex; recovery failed: not possible"}]
    assert play.arm.begun == 0


def test_modes_in_which_a_person_must_act_are_told_and_pass() -> None:
    def script(play: Play) -> None:
        play.arm.mode = {10: "UserStopped", 20: "Guiding", 30: "Idle"}.get(play.beats, play.arm.mode)
        if play.beats in (15, 25):
            play.send(0.001)
            play.ask("recover")
        elif play.beats == 40:
            play.ask("end")

    play = Play(script).run()
    reasons = [(told["readiness"], told["reason"]) for told in play.told("status")[:-1]]
    assert [readiness for readiness, _ in reasons] == [0, 2, 2, 0]
    assert "stop button" in reasons[1][1]
    assert "guided by hand" in reasons[2][1]
    assert all("stop button" in told["problem"] or "guided" in told["problem"] for told in play.told("recovered"))
    assert play.arm.begun == 0


def test_a_lost_arm_is_looked_for_again() -> None:
    def script(play: Play) -> None:
        play.arm.mode = {30: "away", 60: "Idle"}.get(play.beats, play.arm.mode)
        if play.beats % 10 == 0 and 10 < play.beats < 30:
            play.send(0.001)
        elif play.beats == 120:
            play.ask("end")

    play = Play(script).run()
    reasons = [told["reason"] for told in play.told("status")]
    assert any("no connection to made.up: the connection was lost" in reason for reason in reasons)
    assert reasons[-2] == ""
    assert play.arm.prepared == 2
    epochs = [state.epoch for state in play.states]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 2


def test_a_library_that_is_not_there_is_told() -> None:
    def connect(settings: ArmSettings) -> Robot:
        raise ArmError("pylibfranka cannot be imported")

    ours, theirs = pair()
    parent, times = Link(ours), iter(range(1000))
    process = ArmProcess(Link(theirs), connect, SETTINGS, lambda: 0.1 * next(times))
    parent.send(Note("recover", {}))
    parent.close()
    process.run()
    assert process.ending == "its parent has gone"


def test_missed_periods_are_counted_and_made_up_for() -> None:
    def script(play: Play) -> None:
        play.arm.periods = 3 if 100 < play.beats < 150 else 1
        if play.beats % 10 == 0 and 20 < play.beats < 300:
            play.send(0.0005 * (play.beats - 20))
        elif play.beats == 400:
            play.ask("end")

    play = Play(script).run()
    assert play.states[-1].missed in range(90, 101)
