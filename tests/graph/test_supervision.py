"""Supervision with real messages: arming, guards, contact, driver faults, home, emergency stop, speed, timings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, WrenchStamped
from graph.fakes import LATCHED, RELIABLE, START, TIP, World
from graph.node_rig import Rig, rig
from graph.test_arm_node import assert_limited, send_chunk
from std_msgs.msg import Bool, Empty
from std_srvs.srv import Trigger

from vipa_msgs.msg import DriverStatus, ExecutionState
from vipa_msgs.srv import SetSpeed, Stop
from vipa_policy.control.executor import State
from vipa_policy.nodes.conversions import matrix_from_pose, seconds_of

pytestmark = pytest.mark.graph

GOAL = np.array([0.7, 0.2, 0.15])
SUPERVISED = {"driver_status": "required", "driver_timeout": 0.5, "contact_force": 30.0, "contact_torque": 8.0}


class Driver:
    """What an arm's driver and an operator's switch say, at every step of the world's clock."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.silent: set[str] = set()  # "status", "wrench", "deadman"
        self.state, self.reason = DriverStatus.READY, ""
        self.force, self.pressed = 0.0, True
        self.recoveries = 0
        self._status = world.create_publisher(DriverStatus, "driver/status", LATCHED)
        self._wrench = world.create_publisher(WrenchStamped, "driver/external_wrench", RELIABLE)
        self._deadman = world.create_publisher(Bool, "deadman", RELIABLE)
        world.create_service(Trigger, "driver/recover", self._recover)
        world.each_step.append(self._speak)

    def _speak(self, stamp: Any) -> None:
        if "status" not in self.silent and self.world.steps % 10 == 0:
            status = DriverStatus(state=self.state, reason=self.reason)
            status.header.stamp = stamp
            self._status.publish(status)
        if "wrench" not in self.silent:
            wrench = WrenchStamped()
            wrench.header.stamp, wrench.header.frame_id = stamp, "fr3_link0"
            wrench.wrench.force.z = self.force
            self._wrench.publish(wrench)
        if "deadman" not in self.silent:
            self._deadman.publish(Bool(data=self.pressed))

    def _recover(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.recoveries += 1
        self.state, self.reason = DriverStatus.READY, ""
        response.success, response.message = True, "cleared"
        return response


class Supervised:
    """An arm node between a world and a driver, and short words for what is done with them."""

    def __init__(self, made: Rig, driver: Driver) -> None:
        self.made, self.world, self.driver = made, made.world, driver
        self._chunks = 0

    @property
    def state(self) -> ExecutionState:
        return self.world.states[-1]

    def call(self, name: str, kind: type = Trigger, **request: object) -> Any:
        client = self.world.create_client(kind, name)
        assert self.world.wait(client.service_is_ready), name
        future = client.call_async(kind.Request(**request))  # type: ignore[attr-defined]
        assert self.world.wait(future.done), name
        self.world.settle()
        return future.result()

    def chunks(self, count: int, goal: np.ndarray = GOAL) -> None:
        """Send chunks as a policy would, one an image."""
        for _ in range(count):
            self._chunks += 1
            send_chunk(self.world, self._chunks, goal)
            self.world.run(7)

    def move(self) -> None:
        """Send chunks until the arm is well under way."""
        self.world.run(20)
        self.chunks(6)
        assert self.state.state == State.FOLLOWING, (self.state.hold_reason, self.state.mode_reason, self.state.guards)

    def stands(self) -> None:
        """Run until the arm stands; it must brake at once and keep every limit."""
        assert self.world.run(100, until=lambda: self.state.state == State.HOLDING), self.state.hold_reason
        assert_limited(self.world.targets)


@contextmanager
def supervised(**parameters: Any) -> Iterator[Supervised]:
    with rig(with_policy=False, **{**SUPERVISED, **parameters}) as made:
        driver = Driver(made.world)
        for topic in ("/driver/status", "/driver/external_wrench"):
            assert made.world.wait(lambda topic=topic: made.world.count_subscribers(topic) > 0)
        yield Supervised(made, driver)


def test_it_comes_up_disarmed_and_only_arming_lets_it_move_from_where_it_is() -> None:
    with supervised(armed_at_start=False) as arm:
        world = arm.world
        world.run(20)
        arm.chunks(3)
        assert arm.state.mode == ExecutionState.DISARMED
        assert arm.state.mode_reason == "came up disarmed; call arm/arm"
        assert "call arm/arm" in world.health["arm"]
        assert not arm.call("arm/home").success
        assert "nothing moves" in arm.call("arm/resume").message
        assert world.targets == []
        assert arm.call("arm/arm").success
        arm.chunks(4)
        assert arm.state.mode == ExecutionState.ARMED
        assert arm.state.state == State.FOLLOWING
        assert np.linalg.norm(matrix_from_pose(world.targets[0].pose)[:3, 3] - START[:3, 3]) < 0.001
        assert arm.call("arm/disarm").success
        assert "still brakes" in arm.call("arm/arm").message
        arm.stands()
        count = len(world.targets)
        world.base_from_tip = START.copy()  # somebody moves the arm meanwhile
        arm.chunks(3)
        assert len(world.targets) == count
        assert "disarmed by arm/disarm" in arm.state.hold_reason
        assert arm.call("arm/arm").success
        arm.chunks(3)
        assert np.linalg.norm(matrix_from_pose(world.targets[count].pose)[:3, 3] - START[:3, 3]) < 0.002


def test_arming_names_every_guard_that_does_not_pass() -> None:
    with supervised(armed_at_start=False, deadman_timeout=0.2) as arm:
        arm.driver.silent = {"status", "wrench", "deadman"}
        arm.world.broken = {"tf"}
        arm.world.run(15)
        answer = arm.call("arm/arm")
        assert not answer.success
        for words in ("tip: ", "driver: driver/status was never heard", "deadman: the operator's switch", "wrench: "):
            assert words in answer.message
        arm.driver.silent, arm.world.broken = set(), set()
        arm.world.run(30)
        assert arm.call("arm/arm").success
        arm.driver.state, arm.driver.reason = DriverStatus.UNAVAILABLE, "brakes closed"
        arm.world.run(30)
        assert arm.state.mode == ExecutionState.DISARMED
        assert "unavailable, brakes closed" in arm.call("arm/arm").message


@pytest.mark.parametrize(
    ("lost", "within", "reason"),
    [
        ("status", 0.75, "driver: driver/status is silent"),
        ("wrench", 0.2, "wrench: the external wrench is silent"),
        ("deadman", 0.3, "deadman: the operator's switch is silent"),
        ("released", 0.1, "deadman: let go of"),
        ("rival", 0.1, "controller: /target_pose is published by /world, too"),
    ],
)
def test_a_guard_that_speaks_up_holds_a_moving_arm_until_it_is_well_again(
    lost: str, within: float, reason: str
) -> None:
    with supervised(deadman_timeout=0.2) as arm:
        world = arm.world
        arm.move()
        since, seen = world.time, len(world.states)
        rival = None
        if lost == "released":
            arm.driver.pressed = False
        elif lost == "rival":
            rival = world.create_publisher(PoseStamped, "target_pose", 1)
            assert world.wait(lambda: arm.made.arm.count_publishers("/target_pose") == 2)  # type: ignore[union-attr]
        else:
            arm.driver.silent = {lost}
        for _ in range(14):
            arm.chunks(1)
        holds = [state for state in world.states[seen:] if state.state == State.RAMPING]
        assert reason in holds[0].hold_reason
        assert any(reason in guard for guard in holds[0].guards)
        assert seconds_of(holds[0].header.stamp) - since <= within
        assert arm.state.state == State.HOLDING  # no chunk is taken while it lasts
        assert arm.state.mode == ExecutionState.ARMED
        assert_limited(world.targets)
        arm.driver.silent, arm.driver.pressed = set(), True
        if rival is not None:
            world.destroy_publisher(rival)
            assert world.wait(lambda: arm.made.arm.count_publishers("/target_pose") == 1)  # type: ignore[union-attr]
        world.run(15)
        arm.chunks(3)
        assert arm.state.state == State.FOLLOWING, arm.state.guards


def test_a_contact_stops_and_latches_until_a_person_lets_it_go_on() -> None:
    with supervised() as arm:
        arm.driver.force = 12.0  # the bias of this arm
        arm.move()
        arm.driver.force = 37.0
        arm.chunks(3)
        assert arm.state.state == State.FOLLOWING  # 25 N more than while it was armed
        arm.driver.force = 60.0
        arm.chunks(2)
        arm.stands()
        assert arm.state.stopped
        assert "contact: " in arm.state.hold_reason
        assert "more than 30 N" in arm.state.hold_reason
        assert "contact: " in arm.world.health["arm"]
        arm.chunks(3)
        assert arm.state.state == State.HOLDING
        assert arm.call("arm/resume").success
        arm.chunks(3)
        assert arm.state.state == State.FOLLOWING  # the contact that is known may go on
        arm.driver.force = 90.0
        arm.chunks(1)
        arm.stands()


def test_a_fault_is_recovered_and_confirmed_before_anything_moves() -> None:
    with supervised() as arm:
        world, driver = arm.world, arm.driver
        arm.move()
        driver.state, driver.reason = DriverStatus.FAULT, "reflex: joint 4"
        arm.chunks(3)
        arm.stands()
        assert arm.state.mode == ExecutionState.FAULT
        assert "reflex: joint 4" in arm.state.hold_reason
        assert "call arm/recover" in arm.state.mode_reason
        assert "reflex" in world.health["arm"]
        assert "arm/recover" in arm.call("arm/arm").message
        # Not even a brake: a driver that is cleared meanwhile would follow what is left of it.
        begun = next(state for state in world.states if state.mode == ExecutionState.FAULT)
        assert seconds_of(world.targets[-1].header.stamp) <= seconds_of(begun.header.stamp)
        count = len(world.targets)
        assert arm.call("arm/recover").success
        arm.chunks(5)
        assert driver.recoveries == 1
        assert arm.state.mode == ExecutionState.CONFIRM
        assert "call arm/arm to confirm" in arm.state.mode_reason
        assert not arm.call("arm/recover").success
        assert len(world.targets) == count
        world.base_from_tip = START.copy()
        world.run(10)
        assert arm.call("arm/arm").success
        arm.chunks(3)
        assert np.linalg.norm(matrix_from_pose(world.targets[count].pose)[:3, 3] - START[:3, 3]) < 0.002


@pytest.mark.parametrize("way", ["topic", "service"])
def test_an_emergency_stop_disarms(way: str) -> None:
    with supervised() as arm:
        publisher = arm.world.create_publisher(Empty, "emergency_stop", RELIABLE)
        assert arm.world.wait(lambda: publisher.get_subscription_count() > 0)
        arm.move()
        seen = arm.world.time
        if way == "topic":
            publisher.publish(Empty())
            assert arm.world.wait(lambda: arm.state.mode == ExecutionState.DISARMED)
        else:
            assert arm.call("arm/emergency_stop").success
        arm.stands()
        assert seconds_of(arm.state.header.stamp) - seen <= 0.6
        assert "emergency stop by" in arm.state.hold_reason
        arm.world.say("go left")  # no words arm it
        arm.chunks(3)
        assert arm.state.mode == ExecutionState.DISARMED
        assert arm.state.state == State.HOLDING


def test_home_is_gone_to_within_limits_and_broken_off_by_a_guard() -> None:
    with supervised(home_position=[0.5, -0.1, 0.25], deadman_timeout=0.2) as arm:
        world = arm.world
        arm.move()
        assert "stop it first" in arm.call("arm/home").message
        assert arm.call("arm/stop").success
        arm.stands()
        assert arm.call("arm/home").success
        assert arm.state.state == State.HOMING
        world.run(30)
        arm.driver.pressed = False
        world.run(2)
        arm.stands()
        assert "deadman" in arm.state.hold_reason
        assert not arm.call("arm/home").success
        arm.driver.pressed = True
        world.run(10)
        assert arm.call("arm/home").success
        assert world.run(600, until=lambda: arm.state.hold_reason == "home: arrived"), arm.state.hold_reason
        arm.stands()
        assert np.linalg.norm(world.base_from_tip[:3, 3] - [0.5, -0.1, 0.25]) < 0.002
        assert arm.state.stopped  # going home undoes no stop


def test_a_stop_says_why_and_a_wish_for_less_speed_is_granted() -> None:
    with supervised() as arm:
        arm.move()
        assert arm.call("arm/set_speed", SetSpeed, source="camera", factor=0.5, reason="bumped").speed == 0.5
        assert arm.call("arm/set_speed", SetSpeed, source="posture", factor=0.3, reason="near a limit").speed == 0.3
        assert arm.call("arm/set_speed", SetSpeed, source="posture", factor=1.0).speed == 0.5
        refused = arm.call("arm/set_speed", SetSpeed, source="camera", factor=0.0)
        assert not refused.success
        assert "call arm/stop" in refused.message
        arm.chunks(8)
        assert arm.state.speed == 0.5
        places = np.array([matrix_from_pose(target.pose)[:3, 3] for target in arm.world.targets[-10:]])
        assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() / 0.01 < 0.5 * 0.25 + 0.01
        assert "camera 0.5: bumped" in arm.made.arm.diagnostic_values()["speed"]  # type: ignore[union-attr]
        assert arm.call("arm/stop_because", Stop, reason="the scene camera was bumped").success
        arm.stands()
        assert arm.state.hold_reason.startswith("the scene camera was bumped; ")
        assert arm.state.stopped


def test_timings_of_a_chunk_and_the_state_of_the_guards_are_told() -> None:
    with supervised(latency_budget=0.01) as arm:
        heard: list[DiagnosticArray] = []
        arm.world.create_subscription(DiagnosticArray, "diagnostics", heard.append, RELIABLE)
        arm.move()
        state = next(state for state in reversed(arm.world.states) if state.state == State.FOLLOWING)
        timings = state.timings
        instants = [timings.captured, timings.received, timings.transformed, timings.accepted, timings.first_setpoint]
        assert timings.chunk_id >= state.chunk_id > 0
        times = [seconds_of(instant) for instant in instants]
        assert times == sorted(times)
        assert times[1] - times[0] >= 0.07
        assert state.ahead > 0.0
        assert 0.0 < seconds_of(state.first_due) - seconds_of(state.header.stamp) < 0.5
        values = arm.made.arm.diagnostic_values()  # type: ignore[union-attr]
        assert values["capture to accept (ms)"].count(" ") == 2
        assert not values["over budget"].startswith("0 of")
        assert float(values["rate of setpoints (Hz)"]) == pytest.approx(100.0, rel=0.2)
        assert float(values["rate of wrenches (Hz)"]) == pytest.approx(100.0, rel=0.2)
        assert values["guard driver"].startswith("well (since")
        assert values["mode"] == "ARMED"
        arm.world.broken = {"tf"}
        arm.world.run(20)
        assert f"TF of {TIP}" in arm.made.arm.diagnostic_values()["guard tip"]  # type: ignore[union-attr]
